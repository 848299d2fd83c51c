/**
 * The texts that cross between host and kernel, from the host's side; guest/protocol.ts is the other. One line of JSON
 * with numbers, then the payload texts it measures in UTF-16 units. Value texts are passed through, never parsed.
 */

/** How a value travels into a session. `json` must hold no NUL. */
export type InputValue =
  | { readonly kind: "undefined" }
  | { readonly kind: "json"; readonly text: string }
  | { readonly kind: "handle"; readonly handleId: string };

/** How a caller wants its result; numbers as in the contract and in the kernel. */
export const ResultEncoding = { UNSPECIFIED: 0, FULL: 1, JSON: 2, HANDLE: 3, NONE: 4 } as const;

interface ExecutionInput {
  /** Number of the execution within its session, from 1. */
  readonly execution: number;
  readonly encoding: number;
  /** Handles of the result join this group; undefined where no handle can live. */
  readonly handleGroup: string | undefined;
  /** The most bytes an encoded value may have; a larger one becomes a handle, or stops the turn where none may. */
  readonly valueBytes: number;
  /** The most handles the session may hold afterwards. */
  readonly handles: number;
}

export type TurnInput =
  | (ExecutionInput & {
      readonly kind: "execute";
      readonly code: string;
      readonly filename: string;
      readonly bindings: ReadonlyMap<string, InputValue>;
    })
  | (ExecutionInput & {
      readonly kind: "call";
      readonly handleId: string | undefined;
      readonly path: string | undefined;
      readonly construct: boolean;
      readonly thisValue: InputValue | undefined;
      readonly args: readonly InputValue[];
    })
  | {
      readonly kind: "inspect";
      readonly handleId: string | undefined;
      readonly path: string | undefined;
      readonly maximumProperties: number;
    }
  | {
      readonly kind: "release";
      readonly all: boolean;
      readonly handleGroup: string | undefined;
      readonly handleIds: readonly string[];
    }
  | { readonly kind: "defineGlobals"; readonly globals: ReadonlyMap<string, InputValue> };

export type ExceptionPhase = "parse" | "evaluate" | "rejection" | "deadlock" | "encode";
export type Refusal = "handleNotFound" | "invalidJson" | "notAnObject";

/** What a turn brings out. `execution` is the number its input gave. */
export type Effect =
  | {
      readonly kind: "value";
      readonly execution: number;
      readonly arm: "undefined" | "json" | "handle";
      readonly text: string;
    }
  | { readonly kind: "exception"; readonly execution: number; readonly phase: ExceptionPhase; readonly text: string }
  | { readonly kind: "refused"; readonly reason: Refusal; readonly what: string }
  | { readonly kind: "answer"; readonly count: number; readonly text: string }
  | { readonly kind: "counts"; readonly handles: number };

const INPUT_KIND = { execute: 1, call: 2, inspect: 3, release: 4, defineGlobals: 5 } as const;
const ARM = { undefined: 0, json: 1, handle: 2 } as const;
const ARMS = ["undefined", "json", "handle"] as const;
const PHASES = [undefined, "parse", "evaluate", "rejection", "deadlock", "encode"] as const;
const REFUSALS = [undefined, "handleNotFound", "invalidJson", "notAnObject"] as const;

/** The input as the kernel reads it. The source of an execution does not travel in it; the kernel asks for it by index 0. */
export function encodeInput(input: TurnInput): string {
  const writer = new InputWriter();
  writer.number(INPUT_KIND[input.kind]);
  writer.number("execution" in input ? input.execution : 0);
  if ("execution" in input) {
    writer.number(input.encoding);
    writer.optionalText(input.handleGroup);
    writer.number(input.valueBytes);
    writer.number(input.handles);
  }
  switch (input.kind) {
    case "execute":
      writer.number(0);
      writer.values(input.bindings);
      break;
    case "call":
      writer.optionalText(input.handleId);
      writer.optionalText(input.path);
      writer.number(input.construct ? 1 : 0);
      writer.number(input.thisValue === undefined ? 0 : 1);
      if (input.thisValue !== undefined) writer.value(input.thisValue);
      writer.number(input.args.length);
      for (const value of input.args) writer.value(value);
      break;
    case "inspect":
      writer.optionalText(input.handleId);
      writer.optionalText(input.path);
      writer.number(input.maximumProperties);
      break;
    case "release":
      writer.number(input.all ? 1 : 0);
      writer.optionalText(input.handleGroup);
      writer.number(input.handleIds.length);
      for (const id of input.handleIds) writer.optionalText(id);
      break;
    case "defineGlobals":
      writer.values(input.globals);
      break;
  }
  return writer.finish();
}

class InputWriter {
  #header = "";
  #payload = "";

  number(value: number): void {
    this.#header = this.#header === "" ? `${value}` : `${this.#header},${value}`;
  }

  optionalText(text: string | undefined): void {
    this.number(text === undefined ? -1 : text.length);
    if (text !== undefined) this.#payload += text;
  }

  value(value: InputValue): void {
    this.number(ARM[value.kind]);
    if (value.kind === "json") this.optionalText(value.text);
    else if (value.kind === "handle") this.optionalText(value.handleId);
  }

  values(values: ReadonlyMap<string, InputValue>): void {
    this.number(values.size);
    for (const [name, value] of values) {
      this.optionalText(name);
      this.value(value);
    }
  }

  finish(): string {
    return `[${this.#header}]\n${this.#payload}`;
  }
}

/** Effects in the order the kernel gave them. */
export function decodeEffects(output: string): Effect[] {
  const end = output.indexOf("\n");
  const header = JSON.parse(output.slice(0, end)) as [kind: number, subject: number, detail: number, length: number][];
  let at = end + 1;
  return header.map(([kind, subject, detail, length]) => {
    const text = output.slice(at, at + length);
    at += length;
    return effectOf(kind, subject, detail, text);
  });
}

function effectOf(kind: number, subject: number, detail: number, text: string): Effect {
  switch (kind) {
    case 1:
      return { kind: "value", execution: subject, arm: ARMS[detail] ?? "undefined", text };
    case 2:
      return { kind: "exception", execution: subject, phase: PHASES[detail] ?? "evaluate", text };
    case 3:
      return { kind: "refused", reason: REFUSALS[detail] ?? "invalidJson", what: text };
    case 4:
      return { kind: "answer", count: subject, text };
    case 5:
      return { kind: "counts", handles: subject };
    default:
      throw new Error(`engine: the kernel gave an effect of kind ${kind}, which is not known`);
  }
}
