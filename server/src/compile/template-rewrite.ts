/**
 * Takes the code that a template became through the rewrite that follows executions through their awaits, as every source of
 * guest code, and its map with it.
 */
import type { Program } from "acorn";
import MagicString from "magic-string";
import { parse } from "./javascript-parser.js";
import { maySuspend, rewriteForLocals } from "./locals-transform.js";
import { type Positions, positionsOf } from "./positions.js";
import { LANGUAGE } from "./source-error.js";

/** Generated code, and where it stood in templates; see `CodeWriter.map`. */
export interface MappedCode {
  readonly source: string;
  readonly map: readonly number[];
}

export function rewrittenForLocals({ source, map }: MappedCode): MappedCode {
  if (!maySuspend(source)) return { source, map: composed(positionsOf(source), map) };
  const program = parsed(source);
  // The engine refuses it, and says where.
  if (program === undefined) return { source, map: composed(positionsOf(source), map) };
  const edited = new MagicString(source);
  rewriteForLocals(program, edited, "sync");
  const rewritten = edited.toString();
  return { source: rewritten, map: composed(positionsOf(rewritten, edited), map) };
}

/** @returns undefined for what does not parse: the pieces did, but not each may stand where it does */
function parsed(source: string): Program | undefined {
  try {
    return parse(source, { ecmaVersion: LANGUAGE, sourceType: "script" });
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

interface Group {
  readonly column: number;
  readonly site: number;
  readonly line: number;
  readonly placeColumn: number;
}

/** A stretch of a line, and the column that it had before. */
interface Stretch {
  readonly column: number;
  readonly before: number;
}

/**
 * The map of code whose lines are as they were and whose columns moved.
 *
 * @param positions where the code that the engine gets stood before; undefined where nothing moved
 */
function composed(positions: Positions | undefined, map: readonly number[]): readonly number[] {
  if (positions === undefined) return map;
  const moved = new Map<number, Stretch[]>();
  for (let i = 0; i < positions.length; i += 4) {
    const [line = 0, column = 0, , before = 0] = positions.slice(i, i + 4);
    const stretches = moved.get(line) ?? [];
    stretches.push({ column, before });
    moved.set(line, stretches);
  }
  const groups = new Map<number, Group[]>();
  for (let i = 0; i < map.length; i += 5) {
    const [row = 0, column = 0, site = 0, line = 0, placeColumn = 0] = map.slice(i, i + 5);
    groups.set(row, [...(groups.get(row) ?? []), { column, site, line, placeColumn }]);
  }
  const result: number[] = [];
  for (const [row, of] of groups) {
    for (const { column, site, line, placeColumn } of movedLine(moved.get(row) ?? [], of)) {
      result.push(row, column, site, line, placeColumn);
    }
  }
  return result;
}

function movedLine(stretches: readonly Stretch[], groups: readonly Group[]): Group[] {
  const all = stretches[0]?.column === 1 ? stretches : [{ column: 1, before: 1 }, ...stretches];
  return all.flatMap((stretch, i) => {
    const end = all[i + 1]?.before ?? Number.POSITIVE_INFINITY;
    const at = groups.findLast(({ column }) => column <= stretch.before);
    const within = groups.filter(({ column }) => column > stretch.before && column < end);
    const begin =
      at === undefined
        ? []
        : [{ ...at, column: stretch.column, placeColumn: at.placeColumn + stretch.before - at.column }];
    const others = within.map((group) => ({ ...group, column: stretch.column + group.column - stretch.before }));
    return [...begin, ...others];
  });
}
