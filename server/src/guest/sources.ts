/** Runs the sources of executions: prepares what their compiled form needs, then has the host hand them to the engine. */
import { runSource, SourceAnswer, sourceAnswer } from "./host.js";
import { jsonParse } from "./intrinsics.js";
import { type Declared, declare } from "./names.js";
import { markFor } from "./positions.js";
import { syntaxError } from "./syntax-errors.js";

/** What the host answers instead of running a source; an array, whose elements exist whatever guest code made of prototypes. */
type Preparation = readonly [
  error: readonly [message: string, filename: string, line: number, column: number] | null,
  declared: Declared | null,
  /** JSON text of the map; empty for none. */
  positions: string,
];

/** What the promise of a source that awaits is fulfilled with. */
export interface Evaluated {
  readonly value: unknown;
}

/**
 * Compiles and runs the source that came with the input.
 *
 * @returns what `sourceAnswer` tells: the completion value, or for a source that awaits the promise of it
 * @throws what the source threw, or the error that it does not parse; `sourceAnswer` tells which
 */
export function evaluateSource(index: number): unknown {
  let answer = runSource(index, undefined);
  if (sourceAnswer() === SourceAnswer.PREPARE) answer = runSource(index, prepare(answer as string));
  // It can still turn out that the engine takes what could not be compiled.
  if (sourceAnswer() === SourceAnswer.PREPARE) prepare(answer as string);
  return answer;
}

/** Imports a module by the name that it was given when it was added. */
export let importModule: (name: string) => Promise<unknown>;

/** @param importInKernelsName a function that is not stripped of the name it imports in */
export function connectImports(importInKernelsName: (name: string) => Promise<unknown>): void {
  importModule = importInKernelsName;
}

/** @returns the mark that the source runs under */
function prepare(text: string): string {
  const preparation = jsonParse(text) as Preparation;
  const error = preparation[0];
  if (error !== null) throw syntaxError(error[0], error[1], error[2], error[3]);
  const declared = preparation[1];
  if (declared !== null) declare(declared);
  const positions = preparation[2];
  return positions === "" ? "" : markFor(positions);
}
