/**
 * What crosses between host and kernel, from the host's side; guest/protocol.ts is the other. Numbers, and one text of all
 * the texts that they measure in UTF-16 units. Value texts are passed through, never parsed.
 */
import { templateName } from "../compile/template-names.js";
import type { EncodedEffects, EncodedInput } from "./worker/messages.js";
import { moduleName } from "./worker/specifiers.js";
import { partOf } from "./worker/text-part.js";

/** How a value travels into a session. Text must hold no NUL. */
export type InputValue =
  | { readonly kind: "undefined" }
  | { readonly kind: "json"; readonly text: string }
  | { readonly kind: "graph"; readonly text: string }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "handle"; readonly handleId: string }
  | { readonly kind: "hostFunction"; readonly hostFunctionId: string; readonly name: string };

/** How a caller wants its result; numbers as in the contract and in the kernel. */
export const ResultEncoding = { UNSPECIFIED: 0, FULL: 1, JSON: 2, HANDLE: 3, NONE: 4 } as const;

/** What is to be run. Value texts are passed on unread. */
export type Command =
  | {
      readonly kind: "execute";
      readonly code: string;
      readonly filename: string;
      /** Left out: JavaScript. */
      readonly isTypeScript?: boolean;
      /** Left out: as a script. Neither a module nor its name holds NUL. */
      readonly isModule?: boolean;
      readonly bindings: ReadonlyMap<string, InputValue>;
      /** Texts of modules to add first, by name. Neither holds NUL. */
      readonly modules?: ReadonlyMap<string, string>;
    }
  | {
      readonly kind: "call";
      readonly handleId: string | undefined;
      readonly path: string | undefined;
      readonly construct: boolean;
      readonly thisValue: InputValue | undefined;
      readonly args: readonly InputValue[];
    }
  | {
      readonly kind: "render";
      /** Undefined for a template that the session knows by its name. */
      readonly source: string | undefined;
      /** Of the template, in errors and where it is looked up. */
      readonly name: string;
      /** Texts that are added to the session first. */
      readonly templates: ReadonlyMap<string, string>;
      readonly context: ReadonlyMap<string, InputValue>;
      /** `{{ }}` escapes for HTML, unless a template says otherwise. */
      readonly autoescape: boolean;
      /** The text is emitted in pieces. */
      readonly stream: boolean;
    };

/** How the kernel is to run a command and to answer. */
export interface ExecutionInput {
  /** Number of the execution within its session, from 1. */
  readonly number: number;
  readonly encoding: number;
  /** Handles of the result join this group; undefined where no handle can live. */
  readonly handleGroup: string | undefined;
  /** The most bytes an encoded value may have; a larger one becomes a handle, or stops the turn where none may. */
  readonly valueBytes: number;
  /** The most handles the session may hold afterwards. */
  readonly handles: number;
  /** Emitted values that may leave before the caller says that it takes more; absent when it takes none at all. */
  readonly credit?: number | undefined;
  /** What `locals` are for it; absent for none. */
  readonly locals?: ReadonlyMap<string, InputValue> | undefined;
}

export type TurnInput =
  | { readonly kind: "run"; readonly command: Command; readonly execution: ExecutionInput }
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
  | { readonly kind: "defineGlobals"; readonly globals: ReadonlyMap<string, InputValue> }
  | { readonly kind: "addModules"; readonly modules: ReadonlyMap<string, string> }
  /** The timer that is due next is called. */
  | { readonly kind: "timer" }
  /** The timer that is due next is taken away. */
  | { readonly kind: "dropTimer" }
  /** The caller of an execution takes more of its emitted values. */
  | { readonly kind: "credit"; readonly execution: number; readonly credit: number }
  /** The session gets global functions of these names that call a client. */
  | { readonly kind: "expose"; readonly names: readonly string[] }
  /** A client answered a call. */
  | { readonly kind: "hostResult"; readonly callId: string; readonly result: HostResult }
  /** The session was at rest for so many milliseconds: its timers keep the time that they had left. */
  | { readonly kind: "restored"; readonly rest: number }
  /** Nothing is run; what can not go on any more says so. */
  | { readonly kind: "look" };

const NO_MORE: InputHeader = { isMoreToCome: false, dropped: [] };

/** How a client's function ended. */
export type HostResult =
  | { readonly kind: "value"; readonly value: InputValue }
  | { readonly kind: "exception"; readonly exception: HostException };

/** What a client's function threw: `thrown` if that is set, else an error. */
export interface HostException {
  readonly thrown?: InputValue | undefined;
  readonly name: string;
  readonly message: string;
  readonly cause?: HostException | undefined;
}

/** What every input says beside what is to be run. */
export interface InputHeader {
  /** More inputs are waiting for this session, so what is pending may still go on. */
  readonly isMoreToCome: boolean;
  /** Numbers of executions that were ended, of which nothing may run any more. */
  readonly dropped: readonly number[];
}

export type ExceptionPhase = "parse" | "evaluate" | "rejection" | "deadlock" | "encode";
export type Refusal =
  | "handleNotFound"
  | "invalidJson"
  | "notAnObject"
  | "invalidGraph"
  | "moduleExists"
  | "nameFixed"
  | "templateNotFound";

/** A value on its way out of a session. */
export type EncodedValue =
  | { readonly arm: "undefined" | "json" | "handle" | "graph"; readonly text: string }
  | { readonly arm: "bytes"; readonly bytes: Uint8Array };

/** What a turn brings out. `execution` is the number its input gave. */
export type Effect =
  | ({ readonly kind: "value"; readonly execution: number } & EncodedValue)
  | ({ readonly kind: "emitted"; readonly execution: number } & EncodedValue)
  | { readonly kind: "exception"; readonly execution: number; readonly phase: ExceptionPhase; readonly text: string }
  | { readonly kind: "refused"; readonly execution: number; readonly reason: Refusal; readonly what: string }
  | { readonly kind: "answer"; readonly count: number; readonly text: string }
  /** A client's function is called. `execution` is 0 where none owns the call. */
  | { readonly kind: "hostCall"; readonly execution: number; readonly call: HostCallText }
  /** Guest code holds a function no more that was passed as a value. */
  | { readonly kind: "hostFunctionReleased"; readonly hostFunctionId: string }
  /** A promise was rejected and nobody handles it; `more` such promises are not told. `execution` is 0 if none ran. */
  | { readonly kind: "warning"; readonly execution: number; readonly more: number; readonly text: string }
  /** `text` is JSON of a message and a stack. */
  | { readonly kind: "templateWarning"; readonly execution: number; readonly text: string };

/** What the kernel says of a host call. */
export interface HostCallText {
  readonly call: string;
  readonly name: string;
  /** Of a function passed as a value. */
  readonly id?: string;
  /** Of the arguments, as in ResultEncoding. */
  readonly encoding: number;
  readonly args: readonly EncodedValue[];
  readonly locals: ReadonlyMap<string, EncodedValue>;
}

const INPUT_KIND = {
  execute: 1,
  call: 2,
  inspect: 3,
  release: 4,
  defineGlobals: 5,
  timer: 6,
  dropTimer: 7,
  credit: 8,
  look: 9,
  expose: 10,
  hostResult: 11,
  addModules: 12,
  restored: 13,
  render: 20,
} as const;
const ARM = { undefined: 0, json: 1, handle: 2, graph: 3, bytes: 4, hostFunction: 5 } as const;
const ARMS = ["undefined", "json", "handle", "graph"] as const;
const PHASES = [undefined, "parse", "evaluate", "rejection", "deadlock", "encode"] as const;
const REFUSALS: Readonly<Record<number, Refusal>> = {
  1: "handleNotFound",
  2: "invalidJson",
  3: "notAnObject",
  4: "invalidGraph",
  5: "moduleExists",
  6: "nameFixed",
  20: "templateNotFound",
};

/** The input as the kernel reads it. A script does not travel in it; the kernel asks for it by index 0. */
export function encodeInput(input: TurnInput, header = NO_MORE): EncodedInput {
  const writer = new InputWriter();
  writer.number(INPUT_KIND[input.kind === "run" ? input.command.kind : input.kind]);
  writer.number(input.kind === "run" ? input.execution.number : input.kind === "credit" ? input.execution : 0);
  writer.number(header.dropped.length * 2 + (header.isMoreToCome ? 1 : 0));
  for (const number of header.dropped) writer.number(number);
  switch (input.kind) {
    case "run":
      writeCommand(writer, input.command, input.execution);
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
    case "addModules":
      writer.modules(input.modules);
      break;
    case "restored":
      writer.optionalText(String(input.rest));
      break;
    case "credit":
      writer.number(input.credit);
      break;
    case "expose":
      writer.number(input.names.length);
      for (const name of input.names) writer.optionalText(name);
      break;
    case "hostResult":
      writer.optionalText(input.callId);
      if (input.result.kind === "value") {
        writer.number(0);
        writer.value(input.result.value);
      } else {
        writer.number(1);
        writeException(writer, input.result.exception);
      }
      break;
  }
  return writer.finish();
}

function writeCommand(writer: InputWriter, command: Command, execution: ExecutionInput): void {
  writer.number(execution.encoding);
  writer.optionalText(execution.handleGroup);
  writer.number(execution.valueBytes);
  writer.number(execution.handles);
  const { credit, locals } = execution;
  const hasLocals = locals !== undefined && locals.size > 0;
  writer.number((credit === undefined ? 0 : 1) + (hasLocals ? 2 : 0));
  if (credit !== undefined) writer.number(credit);
  if (hasLocals) writer.values(locals);
  if (command.kind === "execute") {
    writer.number(0);
    writer.values(command.bindings);
    writer.modules(command.modules ?? new Map());
    writer.number(command.isModule === true ? 1 : 0);
    if (command.isModule === true) {
      writer.number(command.isTypeScript === true ? 1 : 0);
      writer.optionalText(moduleName(command.filename));
      writer.optionalText(command.code);
    }
    return;
  }
  if (command.kind === "render") return writeRender(writer, command);
  writer.optionalText(command.handleId);
  writer.optionalText(command.path);
  writer.number(command.construct ? 1 : 0);
  writer.number(command.thisValue === undefined ? 0 : 1);
  if (command.thisValue !== undefined) writer.value(command.thisValue);
  writer.number(command.args.length);
  for (const value of command.args) writer.value(value);
}

/** Texts of templates go as JSON: they may hold what does not survive the crossing. */
function writeRender(writer: InputWriter, command: Command & { kind: "render" }): void {
  writer.number((command.autoescape ? 1 : 0) | (command.stream ? 2 : 0));
  writer.optionalText(command.source === undefined ? undefined : JSON.stringify(command.source));
  writer.optionalText(command.source === undefined ? templateName(command.name) : command.name);
  writer.number(command.templates.size);
  for (const [name, text] of command.templates) {
    writer.optionalText(templateName(name));
    writer.optionalText(JSON.stringify(text));
  }
  writer.values(command.context);
}

function writeException(writer: InputWriter, { thrown, name, message, cause }: HostException): void {
  writer.number(thrown === undefined ? 0 : 1);
  if (thrown !== undefined) return writer.value(thrown);
  writer.optionalText(name);
  writer.optionalText(message);
  writer.number(cause === undefined ? 0 : 1);
  if (cause !== undefined) writeException(writer, cause);
}

/** UTF-16 units from which on a string is told to be one: it then crosses as it is. */
const LONG_STRING = 256;

class InputWriter {
  readonly #numbers: number[] = [];
  readonly #strings: number[] = [];
  readonly #bytes: Uint8Array[] = [];
  #text = "";

  number(value: number): void {
    this.#numbers.push(value);
  }

  optionalText(text: string | undefined): void {
    this.#numbers.push(text === undefined ? -1 : text.length);
    if (text !== undefined) this.#text += text;
  }

  value(value: InputValue): void {
    this.number(ARM[value.kind]);
    switch (value.kind) {
      case "json":
        if (value.text.length >= LONG_STRING && value.text.startsWith('"')) {
          this.#strings.push(this.#numbers.length - 1, this.#text.length);
        }
        return this.optionalText(value.text);
      case "graph":
        return this.optionalText(value.text);
      case "handle":
        return this.optionalText(value.handleId);
      case "hostFunction":
        this.optionalText(value.hostFunctionId);
        return this.optionalText(value.name);
      case "bytes":
        this.optionalText(String(this.#bytes.length));
        this.#bytes.push(value.bytes);
    }
  }

  values(values: ReadonlyMap<string, InputValue>): void {
    this.number(values.size);
    for (const [name, value] of values) {
      this.optionalText(name);
      this.value(value);
    }
  }

  modules(texts: ReadonlyMap<string, string>): void {
    this.number(texts.size);
    for (const [name, text] of texts) {
      this.optionalText(moduleName(name));
      this.optionalText(text);
    }
  }

  finish(): EncodedInput {
    return { numbers: this.#numbers, text: this.#text, strings: this.#strings, bytes: this.#bytes };
  }
}

/**
 * @param arm as the kernel numbers it
 * @param text of the value; of bytes, their place
 */
export function encodedValue(arm: number, text: string, bytes: readonly Uint8Array[] = []): EncodedValue {
  if (arm === ARM.bytes) return { arm: "bytes", bytes: bytes[Number(text)] ?? new Uint8Array() };
  return { arm: ARMS[arm] ?? "undefined", text };
}

type ValueText = readonly [arm: number, text: string];

/** Values stand in the text as `[arm, text]`. */
function hostCall(encoding: number, text: string, bytes: readonly Uint8Array[]): HostCallText {
  const call = JSON.parse(text) as Pick<HostCallText, "call" | "name" | "id"> & {
    readonly args: readonly ValueText[];
    readonly locals?: readonly (readonly [name: string, ...value: ValueText])[];
  };
  return {
    ...call,
    encoding,
    args: call.args.map(([arm, value]) => encodedValue(arm, value, bytes)),
    locals: new Map((call.locals ?? []).map(([name, arm, value]) => [name, encodedValue(arm, value, bytes)])),
  };
}

/** Effects in the order the kernel gave them. */
export function decodeEffects({ numbers, text, bytes }: EncodedEffects): Effect[] {
  const effects: Effect[] = [];
  let at = 0;
  for (let i = 0; i < numbers.length; i += 4) {
    const end = at + (numbers[i + 3] ?? 0);
    effects.push(effectOf(numbers[i] ?? 0, numbers[i + 1] ?? 0, numbers[i + 2] ?? 0, partOf(text, at, end), bytes));
    at = end;
  }
  return effects;
}

function effectOf(kind: number, subject: number, detail: number, text: string, bytes: readonly Uint8Array[]): Effect {
  switch (kind) {
    case 1:
      return { kind: "value", execution: subject, ...encodedValue(detail, text, bytes) };
    case 2:
      return { kind: "exception", execution: subject, phase: PHASES[detail] ?? "evaluate", text };
    case 3:
      return { kind: "refused", execution: subject, reason: REFUSALS[detail] ?? "invalidJson", what: text };
    case 4:
      return { kind: "answer", count: subject, text };
    case 5:
      return { kind: "emitted", execution: subject, ...encodedValue(detail, text, bytes) };
    case 6:
      return { kind: "hostCall", execution: subject, call: hostCall(detail, text, bytes) };
    case 7:
      return { kind: "hostFunctionReleased", hostFunctionId: text };
    case 8:
      return { kind: "warning", execution: subject, more: detail, text };
    case 20:
      return { kind: "templateWarning", execution: subject, text };
    default:
      throw new Error(`engine: the kernel gave an effect of kind ${kind}, which is not known`);
  }
}
