/** Lets programs loose on a server, one after the other, and keeps those by which it does wrong. */
import { type Arena, isLate } from "../support/arena.js";
import type { HostileCase } from "../support/hostile-corpus.js";
import { isSameFault, judge, kindOf } from "./oracle.js";
import { type Program, programOf } from "./programs.js";
import { reduce } from "./reduce.js";

/** What was late has to be late again so many times: else it was the machine. */
const LATE_AGAIN = 2;
/** How long making one program smaller may take, in milliseconds. */
const REDUCED_WITHIN = 60_000;

export interface CampaignOptions {
  /** Where they run; started anew after each fault. */
  readonly start: () => Promise<Arena>;
  /** The same seed and corpus give the same programs. */
  readonly seed: number;
  /** Number of the first program; 0 if left out. */
  readonly from?: number;
  readonly count: number;
  /** Programs to change. */
  readonly corpus: readonly string[];
  /** After so many faults it ends. */
  readonly mostFaults?: number;
  /** Told of each program when it has run. */
  readonly onProgram?: (number: number) => void;
  /** Told of each fault when it is reduced. */
  readonly onFault?: (fault: Fault) => void;
}

export interface Fault {
  /** Which program it was. */
  readonly number: number;
  readonly program: Program;
  /** What the server did. */
  readonly fault: Error;
  /** The smallest text that has it do the same. */
  readonly reduced: string;
}

export interface Campaign {
  /** How many programs were run. */
  readonly count: number;
  /** Which ways they ended in, how many each, and the first of them. */
  readonly endings: ReadonlyMap<string, { readonly times: number; readonly first: number }>;
  readonly faults: readonly Fault[];
}

export async function campaign(options: CampaignOptions): Promise<Campaign> {
  const { start, seed, from = 0, mostFaults = 10 } = options;
  const endings = new Map<string, { times: number; first: number }>();
  const faults: Fault[] = [];
  let arena = await start();
  let number = from;
  for (; number < from + options.count && faults.length < mostFaults; number++) {
    const program = programOf(seed, number, options.corpus);
    let verdict = await judge(arena, program);
    for (let again = 0; "fault" in verdict && isLate(verdict.fault) && again < LATE_AGAIN; again++) {
      await arena[Symbol.asyncDispose]();
      arena = await start();
      verdict = await judge(arena, program);
    }
    if ("fault" in verdict) {
      await arena[Symbol.asyncDispose]();
      const fault = { number, program, fault: verdict.fault, reduced: await reduced(start, program, verdict.fault) };
      faults.push(fault);
      options.onFault?.(fault);
      arena = await start();
    } else {
      const { ending, session } = verdict;
      const name = session === "lives" ? ending : `${ending}, session ${session}`;
      const { times, first } = endings.get(name) ?? { times: 0, first: number };
      endings.set(name, { times: times + 1, first });
    }
    options.onProgram?.(number);
  }
  await arena.close();
  return { count: number - from, endings, faults };
}

/** A fault as a line of the corpus. */
export function caseOf(seed: number, { number, program, fault, reduced: code }: Fault): HostileCase & { note: string } {
  return {
    id: `found/${seed}-${number}`,
    group: "found",
    code,
    ...(program.mode === "module" ? { module: true } : {}),
    ...(program.mode === "atomic" ? { atomic: true } : {}),
    ...(program.mode === "handle" ? { inspected: true } : {}),
    ...(code.includes("hostEcho") ? { needs: ["hostEcho"] } : {}),
    expect: "value|error|limit",
    limit: "time|memory|size|handles|trap",
    note: kindOf(fault),
  };
}

async function reduced(start: () => Promise<Arena>, program: Program, fault: Error): Promise<string> {
  let arena = await start();
  const until = performance.now() + REDUCED_WITHIN;
  const fails = async (code: string): Promise<boolean> => {
    if (performance.now() > until) return false;
    const verdict = await judge(arena, { ...program, code });
    if (!("fault" in verdict)) return false;
    // What it did to this server must not be put down to the next program.
    if (!(await arena.isWell())) {
      await arena[Symbol.asyncDispose]();
      arena = await start();
    }
    return isSameFault(verdict.fault, fault);
  };
  try {
    return await reduce(program.code, fails);
  } finally {
    await arena[Symbol.asyncDispose]();
  }
}
