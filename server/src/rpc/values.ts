/** Values and outcomes between the contract and the domain. Value texts are moved, not read. */
import {
  type ConsoleEntry,
  ConsoleLevel,
  Encoding,
  type Exception,
  ExceptionPhase,
  type Execution,
  InvalidData,
  StopReason,
  type Value,
} from "@livescope/proto";
import type { InputValue } from "../engine/kernel-protocol.js";
import { invalid } from "../session/errors.js";
import type * as domain from "../session/outcome.js";
import { durationOf } from "./time.js";

/**
 * @param passed takes the ids of functions of the client; absent where none may be
 * @throws SessionError INVALID_REQUEST
 */
export function inputValue(value: Value | undefined, field: string, passed?: string[]): InputValue {
  const kind = value?.kind;
  if (kind === undefined) return { kind: "undefined" };
  switch (kind.$case) {
    case "data": {
      const data: unknown = kind.value;
      if (data instanceof InvalidData) throw invalid(field, data.message);
      return { kind: "json", text: String(data) };
    }
    case "json":
    case "graph":
      // The engine reads text up to the first NUL, so what follows it would be lost silently.
      if (kind.value.includes("\0")) throw invalid(field, "is not valid JSON text");
      return { kind: kind.$case, text: kind.value };
    case "bytes":
      return { kind: "bytes", bytes: withoutMessage(kind.value) };
    case "handle":
      if (kind.value.handleId === "") throw invalid(`${field}.handle.handle_id`, "must not be empty");
      return { kind: "handle", handleId: checkedHandleId(kind.value.handleId, `${field}.handle.handle_id`) };
    case "hostFunction": {
      if (passed === undefined)
        throw invalid(field, "host functions travel over Connect only, in what a command is given");
      const { hostFunctionId, name } = kind.value;
      if (hostFunctionId === "") throw invalid(`${field}.host_function.host_function_id`, "must not be empty");
      checkedText(hostFunctionId, `${field}.host_function.host_function_id`);
      checkedText(name, `${field}.host_function.name`);
      passed.push(hostFunctionId);
      return { kind: "hostFunction", hostFunctionId, name };
    }
  }
}

/** As decoded they are a part of the message, all of which is kept as long as they are: where that is much more they are copied. */
export function withoutMessage(bytes: Uint8Array): Uint8Array {
  return bytes.length < bytes.buffer.byteLength / 2 ? new Uint8Array(bytes) : bytes;
}

const HANDLE_ID_LIMIT = 64;

/** Ids that no session ever gave are not looked for; but whatever text it is must survive the way into the engine. */
export function checkedHandleId(handleId: string, field: string): string {
  if (handleId === "") throw invalid(field, "must not be empty; is the variable that should hold it unset?");
  if (handleId.length > HANDLE_ID_LIMIT || !/^[\x21-\x7e]+$/.test(handleId)) {
    throw invalid(field, `must be at most ${HANDLE_ID_LIMIT} visible ASCII characters`);
  }
  return handleId;
}

/** In UTF-16 units. */
const TEXT_LIMIT = 1024;

/** Names become properties or bindings, never parts of source text, and still must be names. */
const NAME = /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*$/u;
const RESERVED = new Set(
  (
    "await break case catch class const continue debugger default delete do else enum export extends false finally for " +
    "function if implements import in instanceof interface let new null package private protected public return static " +
    "super switch this throw true try typeof var void while with yield arguments eval $livescope$"
  ).split(" "),
);

/** @throws SessionError INVALID_REQUEST for a name that no variable can have */
export function checkedName(name: string, field: string): string {
  if (name.length > TEXT_LIMIT) throw invalid(field, `has a name of more than ${TEXT_LIMIT} characters`);
  if (!NAME.test(name)) throw invalid(`${field}[${JSON.stringify(name.slice(0, 64))}]`, "is not an identifier");
  if (RESERVED.has(name)) throw invalid(`${field}[${name}]`, "is a reserved word and cannot be a variable's name");
  return name;
}

/**
 * @param passed as of `inputValue`
 * @throws SessionError INVALID_REQUEST, also for a name that no variable can have
 */
export function inputValues(
  values: ReadonlyMap<string, Value>,
  field: string,
  passed?: string[],
): Map<string, InputValue> {
  const inputs = new Map<string, InputValue>();
  for (const [name, value] of values) {
    inputs.set(checkedName(name, field), inputValue(value, `${field}[${name}]`, passed));
  }
  return inputs;
}

/** Short texts that name something: they travel into the engine, which reads up to the first NUL. */
export function checkedText(text: string, field: string): string {
  if (text.length > TEXT_LIMIT) throw invalid(field, `must have at most ${TEXT_LIMIT} characters`);
  if (text.includes("\0")) throw invalid(field, "must be text without NUL characters");
  return text;
}

/** @throws SessionError INVALID_REQUEST for a number that is no encoding of the contract */
export function checkedEncoding(encoding: Encoding): Encoding {
  if (Encoding[encoding] === undefined || encoding === Encoding.UNRECOGNIZED) throw invalid("encoding", "is not known");
  return encoding;
}

export function executionMessage(outcome: domain.Outcome, encoding: Encoding): Execution {
  const { usage } = outcome;
  return {
    executionId: outcome.executionId,
    outcome: outcomeMessage(outcome.result, encoding),
    console: outcome.console.map(consoleMessage),
    consoleTruncated: outcome.consoleTruncated,
    warnings: outcome.warnings.map(({ message, frame }) => ({ message, frame })),
    usage: {
      wallTime: durationOf(usage.wallTime),
      cpuTime: durationOf(usage.cpuTime),
      queueTime: durationOf(usage.queueTime),
      hostTime: durationOf(usage.hostTime),
      memoryBytes: BigInt(usage.memoryBytes),
      turns: BigInt(usage.turns),
      hostCalls: BigInt(usage.hostCalls),
    },
    undone: outcome.undone,
  };
}

function outcomeMessage(result: domain.Outcome["result"], encoding: Encoding): Execution["outcome"] {
  switch (result.kind) {
    case "value":
      return { $case: "value", value: valueMessage(result.value, encoding) };
    case "exception":
      return { $case: "exception", value: exceptionMessage(result.exception) };
    default:
      return { $case: "stopped", value: { reason: StopReason[result.reason], message: result.message } };
  }
}

export function valueMessage(value: domain.Value, encoding: Encoding): Value {
  switch (value.kind) {
    case "json":
      return { kind: { $case: encoding === Encoding.UNSPECIFIED ? "data" : "json", value: value.text } };
    case "graph":
      return { kind: { $case: "graph", value: value.text } };
    case "bytes":
      return { kind: { $case: "bytes", value: value.bytes } };
    case "handle":
      return { kind: { $case: "handle", value: value.handle } };
    default:
      return { kind: undefined };
  }
}

const PHASES = {
  parse: ExceptionPhase.PARSE,
  evaluate: ExceptionPhase.EVALUATE,
  rejection: ExceptionPhase.REJECTION,
  deadlock: ExceptionPhase.DEADLOCK,
  encode: ExceptionPhase.ENCODE,
} as const;

function exceptionMessage(exception: domain.GuestException): Exception {
  const { name, message, stack, frames, phase, cause, errors, thrown, value } = exception;
  return {
    name,
    message,
    stack,
    frames: [...frames],
    phase: phase === undefined ? ExceptionPhase.UNSPECIFIED : PHASES[phase],
    cause: cause === undefined ? undefined : exceptionMessage(cause),
    errors: errors.map(exceptionMessage),
    thrown: value === undefined ? dataValue(thrown) : valueMessage(value, Encoding.FULL),
  };
}

function dataValue(text: string | undefined): Value | undefined {
  return text === undefined ? undefined : { kind: { $case: "data", value: text } };
}

const LEVELS = {
  debug: ConsoleLevel.DEBUG,
  log: ConsoleLevel.LOG,
  info: ConsoleLevel.INFO,
  warn: ConsoleLevel.WARN,
  error: ConsoleLevel.ERROR,
} as const;

export function consoleMessage(entry: domain.ConsoleEntry): ConsoleEntry {
  return {
    level: LEVELS[entry.level],
    text: entry.text,
    args: [],
    time: new Date(entry.time),
    frame: entry.frame,
    undone: entry.undone,
  };
}
