/** How executions end, as data; texts of the guest are read here once, when somebody needs their parts. */
import { type Effect, type EncodedValue, type ExceptionPhase, encodedValue } from "../engine/kernel-protocol.js";

export type Value =
  | { readonly kind: "undefined" }
  | { readonly kind: "json"; readonly text: string }
  | { readonly kind: "graph"; readonly text: string }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "handle"; readonly handle: HandleDescription };

export interface HandleDescription {
  /** Empty where no handle can live, as in a session that ends with its execution. */
  readonly handleId: string;
  readonly type: string;
  readonly className: string;
  readonly preview: string;
  readonly arity: number;
}

export interface Frame {
  readonly functionName: string;
  readonly filename: string;
  readonly line: number;
  readonly column: number;
}

export interface GuestException {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  readonly frames: readonly Frame[];
  readonly phase?: ExceptionPhase;
  readonly cause?: GuestException;
  /** Of an AggregateError. */
  readonly errors: readonly GuestException[];
  /** JSON text of what was thrown, when it was plain data and no error. */
  readonly thrown?: string;
  /** What was thrown, when it was no error and the caller asked for an encoding. */
  readonly value?: Value;
}

export type StopReason =
  | "TIMEOUT"
  | "CPU_TIME"
  | "MEMORY"
  | "VALUE_SIZE"
  | "HANDLES"
  | "ENGINE_TRAP"
  | "CANCELLED"
  | "ROLLED_BACK";

export interface ConsoleEntry {
  readonly level: "debug" | "log" | "info" | "warn" | "error";
  readonly text: string;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** Where the method was called; of warnings and errors only. */
  readonly frame?: Frame;
  /** The turn that wrote it was undone. */
  readonly undone: boolean;
}

/** What is no error but is seldom meant. */
export interface Warning {
  readonly message: string;
  readonly frame?: Frame;
}

/**
 * @param text of one entry, as the guest's console wrote it. Of a session that broke its engine it could be anything: then it
 *   is shown as it came
 */
export function consoleEntryOf(text: string, undone: boolean): ConsoleEntry {
  try {
    return readConsoleEntry(text, undone);
  } catch {
    return { level: "error", time: Date.now(), text, undone };
  }
}

function readConsoleEntry(text: string, undone: boolean): ConsoleEntry {
  const entry = JSON.parse(text) as Pick<ConsoleEntry, "level" | "time" | "text"> & { readonly caller?: string };
  const frame = entry.caller === undefined ? undefined : innermostFrame(entry.caller);
  const { level, time } = entry;
  return { level, time, text: entry.text, ...(frame === undefined ? {} : { frame }), undone };
}

export interface Usage {
  /** Milliseconds from the first turn to the outcome. */
  readonly wallTime: number;
  /** Milliseconds its turns held a worker. */
  readonly cpuTime: number;
  /** Milliseconds it waited for the session. */
  readonly queueTime: number;
  /** Heap of the session afterwards, in bytes. */
  readonly memoryBytes: number;
  readonly turns: number;
  /** Milliseconds during which at least one of its host calls was under way. */
  readonly hostTime: number;
  readonly hostCalls: number;
}

export interface Outcome {
  readonly executionId: string;
  readonly result:
    | { readonly kind: "value"; readonly value: Value }
    | { readonly kind: "exception"; readonly exception: GuestException }
    | { readonly kind: "stopped"; readonly reason: StopReason; readonly message: string };
  readonly console: readonly ConsoleEntry[];
  readonly consoleTruncated: boolean;
  readonly warnings: readonly Warning[];
  readonly usage: Usage;
  readonly undone: boolean;
}

/** The value that left a session. */
export function valueFrom(value: EncodedValue): Value {
  switch (value.arm) {
    case "json":
      return { kind: "json", text: value.text };
    case "graph":
      return { kind: "graph", text: value.text };
    case "bytes":
      return { kind: "bytes", bytes: value.bytes };
    case "handle":
      return { kind: "handle", handle: JSON.parse(value.text) as HandleDescription };
    default:
      return { kind: "undefined" };
  }
}

interface ThrownText {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  readonly cause?: ThrownText;
  readonly errors?: readonly ThrownText[];
  readonly thrown?: string;
  readonly value?: readonly [arm: number, text: string];
}

export function exceptionOf(effect: Effect & { kind: "exception" }): GuestException {
  return describe(JSON.parse(effect.text) as ThrownText, effect.phase);
}

function describe(thrown: ThrownText, phase?: ExceptionPhase): GuestException {
  const lines = guestLines(thrown.stack);
  return {
    name: thrown.name,
    message: thrown.message,
    stack: lines.join("\n"),
    frames: framesOf(lines),
    ...(phase === undefined ? {} : { phase }),
    ...(thrown.cause === undefined ? {} : { cause: describe(thrown.cause) }),
    errors: (thrown.errors ?? []).map((error) => describe(error)),
    ...(thrown.thrown === undefined ? {} : { thrown: thrown.thrown }),
    ...(thrown.value === undefined ? {} : { value: valueFrom(encodedValue(...thrown.value)) }),
  };
}

/** The innermost frame of a guest's stack; undefined where it has none. */
export function innermostFrame(stack: string): Frame | undefined {
  return framesOf(guestLines(stack).slice(0, 1))[0];
}

function framesOf(lines: readonly string[]): Frame[] {
  return lines.slice(0, MAXIMUM_FRAMES).flatMap(frameOf);
}

/** A warning out of the text of an effect. */
export function templateWarning({ text }: Effect & { kind: "templateWarning" }): Warning {
  const { message, stack } = JSON.parse(text) as { message: string; stack: string };
  const frame = innermostFrame(stack);
  return frame === undefined ? { message } : { message, frame };
}

/** The stack without the kernel, which stands at the bottom of each and between, with the built-in functions it calls guest code by. */
function guestLines(stack: string): string[] {
  const lines = stack.split("\n").filter((line) => line !== "");
  while (lines.at(-1)?.endsWith("(native)") || isOfKernel(lines.at(-1) ?? "")) lines.pop();
  return lines.filter((line, i) => !isOfKernel(line) && !(CALLS.test(line) && isOfKernel(lines[i + 1] ?? "")));
}

/** By these the kernel calls what it was given. */
const CALLS = /^ {4}at (?:apply|call|construct) \(native\)$/;

/** Frames of the kernel, which are of no use to anybody, tell no place: it is compiled without (engine/worker/guest-bytecode.ts). */
function isOfKernel(line: string): boolean {
  return line.startsWith("    at ") && !line.endsWith(")") && !/:\d+$/.test(line);
}

const MAXIMUM_FRAMES = 100;

/** What the engine calls code at top level, and functions without a name. */
const UNNAMED: ReadonlySet<string> = new Set(["<eval>", "<anonymous>"]);

/**
 * One line of a stack: `at name (file:line:column)`, `at name (native)`, or without a name where the source did not parse.
 * Guest code writes what it likes into it, so nothing here takes longer than the line is long.
 */
function frameOf(line: string): Frame[] {
  const text = line.trim();
  if (!text.startsWith("at ") || text.length > LONGEST_LINE) return [];
  const open = text.endsWith(")") ? text.lastIndexOf(" (") : -1;
  const functionName = open < 0 ? "" : text.slice(3, open);
  const place = open < 0 ? text.slice(3) : text.slice(open + 2, -1);
  const parts = place.split(":");
  const column = numberAtEnd(parts);
  const lineNumber = numberAtEnd(parts);
  const filename = parts.join(":");
  return [
    {
      functionName: UNNAMED.has(functionName) ? "" : functionName,
      filename: filename === "native" ? "" : filename,
      // With one number alone it is the line.
      line: lineNumber ?? column ?? 0,
      column: lineNumber === undefined ? 0 : (column ?? 0),
    },
  ];
}

const LONGEST_LINE = 2_000;

/** Takes the last part off if it is a number and not the only part. */
function numberAtEnd(parts: string[]): number | undefined {
  const last = parts.at(-1) ?? "";
  if (parts.length < 2 || last.length > 9 || !/^\d+$/.test(last)) return undefined;
  parts.pop();
  return Number(last);
}
