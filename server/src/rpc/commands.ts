/** Checks the requests that run code and turns them into commands of the domain. */
import { createHash } from "node:crypto";
import {
  CallRequest,
  ExecuteRequest,
  Language,
  type Limits as LimitsMessage,
  SourceType,
  type Value,
} from "@livescope/proto";
import { invalid } from "../session/errors.js";
import type { Command, CommandOptions } from "../session/execution.js";
import type { Limits } from "../session/limits.js";
import { millisecondsOf } from "./time.js";
import type { CallContext } from "./unary.js";
import { checkedEncoding, checkedHandleId, checkedText, inputValue, inputValues } from "./values.js";

const ARGUMENTS = 10_000;

export interface CheckedCommand {
  readonly command: Command;
  readonly options: CommandOptions;
}

/**
 * @param passed takes the ids of functions of the client; absent where none may be
 * @throws SessionError INVALID_REQUEST
 */
export function executeCommand(
  request: ExecuteRequest,
  context: Pick<CallContext, "deadline">,
  passed?: string[],
): CheckedCommand {
  if (!(request.language in Language) || request.language === Language.UNRECOGNIZED)
    throw invalid("language", "is not known");
  if (!(request.sourceType in SourceType) || request.sourceType === SourceType.UNRECOGNIZED) {
    throw invalid("source_type", "is not known");
  }
  const isModule = request.sourceType === SourceType.MODULE;
  const isTypeScript = request.language === Language.TYPESCRIPT;
  if (isModule) checkModule(request);
  const filename = checkedText(request.filename, "filename");
  const command: Command = {
    kind: "execute",
    code: request.code,
    // The session names a module that has no name: each has to have its own.
    filename: filename !== "" || isModule ? filename : isTypeScript ? "script.ts" : "script.js",
    isTypeScript,
    isModule,
    bindings: inputValues(request.bindings, "bindings", passed),
    modules: checkedModules(request.modules),
  };
  const digest = (): string =>
    digestOf(
      "execute",
      ExecuteRequest.encode({
        ...request,
        bindings: canonicalValues(request.bindings),
        locals: canonicalValues(request.locals),
        modules: canonicalTexts(request.modules),
        limits: undefined,
        parentExecutionId: "",
        handleGroup: "",
      }).finish(),
    );
  return { command, options: optionsOf(request, context, digest, passed) };
}

/** Modules are strict, and strict code can have no scope around it. */
function checkModule({ bindings, code }: ExecuteRequest): void {
  if (bindings.size > 0) {
    throw invalid("bindings", "are for scripts; give a module its values through globals, or in another module");
  }
  if (code.includes("\0")) throw invalid("code", "of a module must be text without NUL characters; write \\0");
}

/**
 * Texts of modules by name.
 *
 * @throws SessionError INVALID_REQUEST
 */
export function checkedModules(modules: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  for (const [name, text] of modules) {
    if (name === "") throw invalid("modules", "must have names, which is what `import` gives");
    checkedText(name, "modules");
    if (text.includes("\0")) throw invalid(`modules[${name}]`, "must be text without NUL characters; write \\0");
  }
  return modules;
}

/**
 * @param passed as of `executeCommand`
 * @throws SessionError INVALID_REQUEST
 */
export function callCommand(
  request: CallRequest,
  context: Pick<CallContext, "deadline">,
  passed?: string[],
): CheckedCommand {
  const { handleId, path, thisValue, args } = request;
  if (request.construct && thisValue !== undefined)
    throw invalid("this_value", "has no meaning with construct; leave it out");
  if (handleId === undefined && path === "") {
    throw invalid("handle_id", "name what to call: a handle_id, a path, or both");
  }
  if (args.length > ARGUMENTS) throw invalid("args", `may have at most ${ARGUMENTS} elements`);
  const command: Command = {
    kind: "call",
    handleId: handleId === undefined ? undefined : checkedHandleId(handleId, "handle_id"),
    path: path === "" ? undefined : checkedPath(path),
    construct: request.construct,
    thisValue: thisValue === undefined ? undefined : inputValue(thisValue, "this_value", passed),
    args: args.map((value, i) => inputValue(value, `args[${i}]`, passed)),
  };
  const digest = (): string =>
    digestOf(
      "call",
      CallRequest.encode({
        ...request,
        args: args.map(canonicalValue),
        locals: canonicalValues(request.locals),
        ...(thisValue === undefined ? {} : { thisValue: canonicalValue(thisValue) }),
        limits: undefined,
        parentExecutionId: "",
        handleGroup: "",
      }).finish(),
    );
  return { command, options: optionsOf(request, context, digest, passed) };
}

/** @throws SessionError INVALID_REQUEST for an empty step or one no name can be */
export function checkedPath(path: string): string {
  checkedText(path, "path");
  if (path.split(".").includes("")) throw invalid("path", "must be names joined by dots, such as `a.b`");
  return path;
}

/** @throws SessionError INVALID_REQUEST */
export function requestedLimits(limits: LimitsMessage | undefined, field = "limits"): Partial<Limits> | undefined {
  if (limits === undefined) return undefined;
  return {
    memoryBytes: Number(limits.memoryBytes),
    timeout: millisecondsOf(limits.timeout, `${field}.timeout`),
    cpuTime: millisecondsOf(limits.cpuTime, `${field}.cpu_time`),
    consoleBytes: Number(limits.consoleBytes),
    valueBytes: Number(limits.valueBytes),
    handles: Number(limits.handles),
    queuedExecutions: Number(limits.queuedExecutions),
  };
}

/** @throws SessionError INVALID_REQUEST for an id that is too long or not printable */
export function checkedRequestId(requestId: string): string {
  if (requestId.length > 128 || !/^[\x21-\x7e]*$/.test(requestId)) {
    throw invalid("request_id", "must be at most 128 visible ASCII characters; a UUID is best");
  }
  return requestId;
}

/** Names a request by the SHA-256 of its canonical form; requests of different kinds never have the same name. */
export function digestOf(kind: string, bytes: Uint8Array): string {
  return createHash("sha256").update(kind).update(bytes).digest("base64");
}

/** Texts in the order of their names. */
export function canonicalTexts(texts: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...texts].sort(byName));
}

/** Values in the order of their names: what serialises maps in random order must not look like another request. */
export function canonicalValues(values: ReadonlyMap<string, Value>): Map<string, Value> {
  return new Map([...values].sort(byName).map(([name, value]) => [name, canonicalValue(value)]));
}

function canonicalValue(value: Value): Value {
  if (value.kind?.$case !== "data") return value;
  return { kind: { $case: "data", value: canonicalJson(JSON.parse(String(value.kind.value))) } };
}

function canonicalJson(value: unknown): string {
  if (Object.is(value, -0)) return "-0";
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const entries = Object.entries(value).sort(byName);
  return `{${entries.map(([name, item]) => `${JSON.stringify(name)}:${canonicalJson(item)}`).join(",")}}`;
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** @throws SessionError INVALID_REQUEST */
export function optionsOf(
  request: Pick<
    CallRequest,
    "limits" | "locals" | "encoding" | "handleGroup" | "atomic" | "parentExecutionId" | "requestId"
  >,
  context: Pick<CallContext, "deadline">,
  digest: () => string,
  passed?: string[],
): CommandOptions {
  const requestId = checkedRequestId(request.requestId);
  return {
    limits: requestedLimits(request.limits),
    encoding: checkedEncoding(request.encoding),
    locals: inputValues(request.locals, "locals", passed),
    handleGroup: checkedText(request.handleGroup, "handle_group"),
    atomic: request.atomic,
    parentExecutionId: checkedText(request.parentExecutionId, "parent_execution_id"),
    requestId,
    digest: requestId === "" ? "" : digest(),
    deadline: context.deadline,
  };
}
