/** The corpus of guest programs that have broken sandboxes, and what a service must make of each. */
import { readFileSync } from "node:fs";
import type { Handle, Session, StopReason } from "@livescope/sdk";
import { expect } from "vitest";
import type { Arena } from "./arena.js";
import { argumentOf, expectWanted } from "./corpus-values.js";
import { describe, type Ending, endingOf } from "./ending.js";

/** One line of the corpus. */
export interface HostileCase {
  readonly id: string;
  readonly group: string;
  readonly code?: string;
  /** In place of `code`: texts, and texts to repeat, to be joined. */
  readonly code_gen?: readonly (string | readonly [text: string, count: number])[];
  /** `code` is then a function expression, to be called with them. */
  readonly args?: readonly unknown[];
  /** `code` is a module. */
  readonly module?: boolean;
  /** It is an atomic execution. */
  readonly atomic?: boolean;
  /** Its value is a handle, and its session is looked at afterwards. */
  readonly inspected?: boolean;
  /** Executions before it in the same session, whatever becomes of them. */
  readonly setup?: readonly string[];
  /** Names of HOST that the code calls; others say what every session has. */
  readonly needs?: readonly string[];
  /** An execution after it. */
  readonly then?: string;
  /** What `then` ends as; a value if left out. */
  readonly then_expect?: string;
  /** What `then` gives. */
  readonly then_want?: unknown;
  /** The name of the error that `then` throws. */
  readonly then_error_name?: string;
  /** `value`, `error` or `limit`, several joined by `|`; `ok` is a value or an error. */
  readonly expect: string;
  /** Other outcomes that will do. */
  readonly or?: readonly string[];
  /** For the outcome `limit`: which of them, several joined by `|`. */
  readonly limit?: string;
  /** The exact value, if it gives one. */
  readonly want?: unknown;
  /** The name of the error, if it throws one. */
  readonly error_name?: string;
  /** What was being done when it threw. */
  readonly error_phase?: string;
  /** It takes long, as what has to be stopped by a clock does. */
  readonly slow?: boolean;
}

/** What code is given that may be endless, and what all other code is, in milliseconds. */
const SHORT = 500;
const LONG = 10_000;

const REASONS: Readonly<Record<string, readonly StopReason[]>> = {
  time: ["TIMEOUT", "CPU_TIME"],
  memory: ["MEMORY"],
  size: ["VALUE_SIZE"],
  depth: ["VALUE_SIZE"],
  output: ["VALUE_SIZE"],
  handles: ["HANDLES"],
  trap: ["ENGINE_TRAP"],
};

/** What no guest may learn: where the server's own files are. */
const OF_THE_HOST = /node_modules|node:internal|server\/(dist|src)|\/home\//;

/** Functions of the client, by the names that cases need. */
const HOST = {
  hostEcho: (value: unknown) => value,
  hostThrow: () => {
    throw new Error("the host says no");
  },
  hostPromise: async () => 1,
  hostCall: (callback: Handle) => callback.call(),
};

/** All cases of a file of the corpus. */
export function readCorpus(name: string): HostileCase[] {
  return readFileSync(new URL(`../corpus/${name}`, import.meta.url), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as HostileCase);
}

/** Runs a case in a session of its own, which must live afterwards; fails the test where something else came than must. */
export async function runCase(arena: Arena, hostile: HostileCase): Promise<void> {
  await using session = await arena.client.createSession();
  const needs = Object.entries(HOST).filter(([name]) => hostile.needs?.includes(name));
  if (needs.length > 0) await session.expose(Object.fromEntries(needs));
  for (const code of hostile.setup ?? []) {
    await arena.inTime(SHORT, () => endingOf(session.execute(code, { timeout: SHORT })));
  }
  const ending = await run(arena, session, hostile);
  const { limit, error_name, error_phase } = hostile;
  expectOutcome(ending, [hostile.expect, ...(hostile.or ?? [])].join("|"), hostile, "want");
  if (ending.kind === "error") {
    if (error_name !== undefined) expect(ending.error.guestName).toBe(error_name);
    if (error_phase !== undefined) expect(ending.error.phase).toBe(error_phase);
  }
  if (ending.kind === "limit" && limit !== undefined) {
    expect(limit.split("|").flatMap((each) => REASONS[each] ?? [])).toContain(ending.error.reason);
  }
  if (hostile.then !== undefined) {
    const code = hostile.then;
    const after = await arena.inTime(LONG, () => endingOf(session.execute(code, { timeout: LONG })));
    expectOutcome(after, hostile.then_expect ?? "value", hostile, "then_want");
    if (after.kind === "error") expect(after.error.guestName).toBe(hostile.then_error_name);
  }
  // Looking runs nothing of the guest's, so nothing of it can go wrong.
  if (hostile.inspected === true) await session.inspect();
  // Whatever the corpus allows: what is stopped is undone, so a session outlives everything.
  expect(await arena.inTime(LONG, () => session.execute("40 + 2", { timeout: LONG }))).toBe(42);
}

function expectOutcome(ending: Ending, expected: string, hostile: HostileCase, want: "want" | "then_want"): void {
  const outcomes = expected.split("|").flatMap((outcome) => (outcome === "ok" ? ["value", "error"] : [outcome]));
  expect(outcomes, describe(ending)).toContain(ending.kind);
  if (ending.kind === "value" && want in hostile) expectWanted(ending.value, hostile[want]);
  if (ending.kind === "value" && typeof ending.value === "string") expect(ending.value).not.toMatch(OF_THE_HOST);
  if (ending.kind === "error") {
    const { message, guestStack } = ending.error;
    expect(`${message}\n${guestStack}`).not.toMatch(OF_THE_HOST);
  }
}

async function run(arena: Arena, session: Session, hostile: HostileCase): Promise<Ending> {
  const { code, code_gen, args, limit = "", module, atomic, needs } = hostile;
  const source = code ?? generated(code_gen ?? []);
  const timeout = limit.includes("time") ? SHORT : LONG;
  if (args !== undefined) {
    const called = await session.handle(`(${source})`);
    return arena.inTime(timeout, () => endingOf(called.call(args.map(argumentOf), { timeout })));
  }
  const bindings = needs?.includes("hostObj") ? { hostObj: { from: "the host" } } : {};
  const sourceType = module === true ? "module" : "script";
  const options = { timeout, bindings, sourceType, atomic } as const;
  return arena.inTime(timeout, () =>
    endingOf(hostile.inspected === true ? session.handle(source, options) : session.execute(source, options)),
  );
}

function generated(pieces: NonNullable<HostileCase["code_gen"]>): string {
  return pieces.map((piece) => (typeof piece === "string" ? piece : piece[0].repeat(piece[1]))).join("");
}
