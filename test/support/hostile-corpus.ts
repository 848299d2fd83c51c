/** The corpus of guest programs that have broken sandboxes, and what a service must make of each. */
import { readFileSync } from "node:fs";
import { GuestError, Handle, type Livescope, type Session, StoppedError, type StopReason } from "@livescope/sdk";
import { expect } from "vitest";

/** One line of the corpus. */
export interface HostileCase {
  readonly id: string;
  readonly group: string;
  readonly code?: string;
  /** In place of `code`: texts, and texts to repeat, to be joined. */
  readonly code_gen?: readonly (string | readonly [text: string, count: number])[];
  /** `code` is then a function expression, to be called with them. */
  readonly args?: readonly unknown[];
  /** Executions before it in the same session, whatever becomes of them. */
  readonly setup?: readonly string[];
  /** An execution after it, which must give a value. */
  readonly then?: string;
  /** What `then` gives. */
  readonly then_want?: unknown;
  readonly expect: string;
  /** Other outcomes that will do. */
  readonly or?: readonly string[];
  /** For the outcome `limit`: which of them, several joined by `|`. */
  readonly limit?: string;
  /** The exact value, if it gives one. */
  readonly want?: unknown;
  /** The name of the error, if it throws one. */
  readonly error_name?: string;
}

/** How an execution ended: `ok` in the corpus is `value` or `error`. */
type Ending =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "error"; readonly error: GuestError }
  | { readonly kind: "limit"; readonly reason: StopReason };

/** What code is given that may be endless, and what all other code is, in milliseconds. */
const SHORT = 500;
const LONG = 10_000;

const REASONS: Readonly<Record<string, readonly StopReason[]>> = {
  time: ["TIMEOUT", "CPU_TIME"],
  memory: ["MEMORY"],
  size: ["VALUE_SIZE"],
  depth: ["VALUE_SIZE"],
  output: ["VALUE_SIZE"],
};

/** All cases of these groups. */
export function casesOf(groups: readonly string[]): HostileCase[] {
  return readFileSync(new URL("../corpus/hostile.jsonl", import.meta.url), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as HostileCase)
    .filter(({ group }) => groups.includes(group));
}

/** Runs a case in a session of its own, which must live afterwards; fails the test where something else came than must. */
export async function runCase(client: Livescope, hostile: HostileCase): Promise<void> {
  await using session = await client.createSession();
  for (const code of hostile.setup ?? []) await endingOf(session.execute(code, { timeout: SHORT }));
  const ending = await run(session, hostile);
  expect(outcomesOf(hostile), describe(ending)).toContain(ending.kind);
  if (ending.kind === "value" && "want" in hostile) expectWanted(ending.value, hostile.want);
  if (ending.kind === "error" && hostile.error_name !== undefined) {
    expect(ending.error.guestName).toBe(hostile.error_name);
  }
  if (ending.kind === "limit" && hostile.limit !== undefined) {
    expect(hostile.limit.split("|").flatMap((limit) => REASONS[limit] ?? [])).toContain(ending.reason);
  }
  if (hostile.then !== undefined) {
    const after = await endingOf(session.execute(hostile.then, { timeout: LONG }));
    expect(after.kind, describe(after)).toBe("value");
    if (after.kind === "value" && "then_want" in hostile) expectWanted(after.value, hostile.then_want);
  }
  // Whatever the corpus allows: what is stopped is undone, so a session outlives everything.
  expect(await session.execute("40 + 2")).toBe(42);
}

async function run(session: Session, { code, code_gen, args, limit = "" }: HostileCase): Promise<Ending> {
  const source = code ?? generated(code_gen ?? []);
  const options = { timeout: limit.includes("time") ? SHORT : LONG };
  if (args === undefined) return endingOf(session.execute(source, options));
  const called = await session.handle(`(${source})`);
  return endingOf(called.call(args.map(argumentOf), options));
}

function generated(pieces: NonNullable<HostileCase["code_gen"]>): string {
  return pieces.map((piece) => (typeof piece === "string" ? piece : piece[0].repeat(piece[1]))).join("");
}

async function endingOf(execution: Promise<unknown>): Promise<Ending> {
  try {
    return { kind: "value", value: await execution };
  } catch (error) {
    if (error instanceof GuestError) return { kind: "error", error };
    if (error instanceof StoppedError) return { kind: "limit", reason: error.reason };
    throw error;
  }
}

function outcomesOf({ expect: expected, or = [] }: HostileCase): string[] {
  return [...expected.split("|"), ...or].flatMap((outcome) => (outcome === "ok" ? ["value", "error"] : [outcome]));
}

function describe(ending: Ending): string {
  if (ending.kind === "error") return `it threw ${ending.error.guestName}: ${ending.error.message}`;
  return ending.kind === "limit" ? `it was stopped: ${ending.reason}` : "it gave a value";
}

interface Marked {
  readonly $: string;
  readonly v?: unknown;
  readonly kind?: string;
}

function isMarked(value: unknown): value is Marked {
  return typeof value === "object" && value !== null && "$" in value;
}

function argumentOf(value: unknown): unknown {
  if (isMarked(value) && value.$ === "rawmap") return meantBy(value.v);
  return meantBy(value);
}

/** The value that the corpus means, for what JSON cannot say. */
function meantBy(text: unknown): unknown {
  if (isMarked(text)) return markedValue(text);
  if (Array.isArray(text)) return text.map(meantBy);
  if (typeof text !== "object" || text === null) return text;
  const value = {};
  for (const [name, item] of Object.entries(text)) {
    const key = name === "__proto__own" ? "__proto__" : name;
    Object.defineProperty(value, key, { value: meantBy(item), enumerable: true, writable: true, configurable: true });
  }
  return value;
}

function markedValue({ $, v }: Marked): unknown {
  switch ($) {
    case "undefined":
      return undefined;
    case "number":
      return v === "-0" ? -0 : Number(v);
    case "bigint":
      return BigInt(String(v));
    case "date":
      return new Date(v as string | number);
    case "bytes":
      return new Uint8Array(Buffer.from(String(v), "hex"));
    case "wtf":
      return String.fromCharCode(...(String(v).match(/.{4}/g) ?? []).map((unit) => Number.parseInt(unit, 16)));
    default:
      throw new Error(`the corpus says ${$}, which is not known here`);
  }
}

function expectWanted(value: unknown, want: unknown): void {
  expect(value).toStrictEqual(withHandles(want, value));
}

/** What is wanted, with each handle of the kind that is wanted in its place. */
function withHandles(want: unknown, value: unknown): unknown {
  if (isMarked(want) && want.$ === "handle") {
    expect(value).toBeInstanceOf(Handle);
    expect((value as Handle).type).toBe(want.kind);
    return value;
  }
  if (isMarked(want) || typeof want !== "object" || want === null) return meantBy(want);
  const held = (key: string): unknown =>
    typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
  if (Array.isArray(want)) return want.map((item, i) => withHandles(item, held(String(i))));
  const names = Object.keys(want);
  return names.some((name) => name === "__proto__own")
    ? meantBy(want)
    : Object.fromEntries(names.map((name) => [name, withHandles(Reflect.get(want, name), held(name))]));
}
