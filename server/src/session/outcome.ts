/** How executions end, as data; texts of the guest are read here once, when somebody needs their parts. */
import { armOf, type Effect, type ExceptionPhase } from "../engine/kernel-protocol.js";

export type Value =
  | { readonly kind: "undefined" }
  | { readonly kind: "json"; readonly text: string }
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
  /** JSON text of what was thrown, when it was plain data and no error. */
  readonly thrown?: string;
}

export type StopReason = "TIMEOUT" | "CPU_TIME" | "MEMORY" | "VALUE_SIZE" | "HANDLES" | "ENGINE_TRAP" | "CANCELLED";

export interface ConsoleEntry {
  readonly level: "debug" | "log" | "info" | "warn" | "error";
  readonly text: string;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** The turn that wrote it was undone. */
  readonly undone: boolean;
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
  readonly usage: Usage;
  readonly undone: boolean;
}

/** The value of an effect. */
export function encodedValue({ arm, text }: Effect & { kind: "value" | "emitted" }): Value {
  switch (arm) {
    case "json":
      return { kind: "json", text };
    case "handle":
      return { kind: "handle", handle: JSON.parse(text) as HandleDescription };
    default:
      return { kind: "undefined" };
  }
}

/** A value inside of a text of the kernel. @param arm as the kernel numbers them */
export function decodedValue(arm: number, text: string): Value {
  return encodedValue({ kind: "value", execution: 0, arm: armOf(arm), text });
}

interface ThrownText {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  readonly cause?: ThrownText;
  readonly thrown?: string;
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
    frames: lines.slice(0, MAXIMUM_FRAMES).flatMap(frameOf),
    ...(phase === undefined ? {} : { phase }),
    ...(thrown.cause === undefined ? {} : { cause: describe(thrown.cause) }),
    ...(thrown.thrown === undefined ? {} : { thrown: thrown.thrown }),
  };
}

/** The stack without the kernel, which stands at the bottom of each, with the built-in functions it calls guest code by. */
function guestLines(stack: string): string[] {
  const lines = stack.split("\n").filter((line) => line !== "");
  while (lines.at(-1)?.endsWith("(native)") || isOfKernel(lines.at(-1) ?? "")) lines.pop();
  return lines.filter((line) => !isOfKernel(line));
}

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
