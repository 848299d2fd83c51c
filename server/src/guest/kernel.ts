/**
 * The kernel: our code inside a session. The host enters it once per turn, lets the job queue run empty, and takes the
 * effects. What it keeps (executions, handles, generators' state) lies in the session's memory like everything else.
 */
import { installConsole } from "./console.js";
import { describeThrown } from "./errors.js";
import {
  describeHandle,
  handleCount,
  holdsHandle,
  release,
  releaseAll,
  releaseGroup,
  retain,
  valueOfHandle,
} from "./handles.js";
import {
  byteLength,
  connectHost,
  evaluateSource,
  isPromise,
  StopCause,
  setCurrentExecution,
  setHandleCount,
  stopTurn,
} from "./host.js";
import { constantGetters, describeProperties } from "./inspect-properties.js";
import {
  apply,
  construct,
  create,
  defineProperty,
  freeze,
  getOwnPropertyDescriptor,
  hasOwnValue,
  indexOf,
  jsonParse,
  KernelReferenceError,
  KernelTypeError,
  ownKeys,
  SafeMap,
  slice,
} from "./intrinsics.js";
import { plainJson } from "./plain-json.js";
import {
  Arm,
  beginInput,
  EffectKind,
  Encoding,
  emitEffect,
  InputKind,
  Refusal,
  readNumber,
  readOptionalText,
  readText,
  takeEffects,
} from "./protocol.js";
import { installProxies } from "./proxies.js";
import { installRandom, reseedIfAsked } from "./random.js";

interface Execution {
  /** False once it has its outcome: whatever of it runs on after that says nothing any more. */
  isOpen: boolean;
  readonly number: number;
  readonly encoding: number;
  /** Handles of the result live in this group; null where none can live. */
  readonly group: string | undefined;
  /** The most bytes an encoded value may have. */
  readonly valueBytes: number;
  /** The most handles the session may hold afterwards. */
  readonly handles: number;
}

/** Mirrored by engine/kernel-protocol.ts. */
const Phase = { PARSE: 1, EVALUATE: 2, REJECTION: 3, DEADLOCK: 4, ENCODE: 5 } as const;

const NativePromise = Promise;
const nativeStringify = JSON.stringify as (value: unknown) => string | undefined;
const globalObject = globalThis as unknown as Record<string, unknown>;

/** Executions whose promise has not settled. */
const pending = new SafeMap<number, Execution>();
let running = 0;
let bindings: object | undefined;

/** An input that names what is not there; nothing ran. */
class Refused {
  constructor(
    readonly reason: number,
    readonly what: string,
  ) {}
}

/**
 * Runs once, in the base image.
 *
 * @returns `[enter, flush, declare]`; compiled sources reach `takeBindings` and `declareFunctions` by a name that the
 * host turns into a lexical constant, so that guest code can neither replace nor enumerate it
 */
export function install(dispatch: (ask: number, argument: unknown) => unknown, cells: ArrayBuffer): unknown[] {
  connectHost(dispatch, cells);
  installProxies();
  installRandom();
  installConsole(() => running);
  Reflect.deleteProperty(globalThis, "SharedArrayBuffer");
  const scope = create(null) as object;
  defineProperty(scope, "takeBindings", { value: takeBindings });
  defineProperty(scope, "declareFunctions", { value: declareFunctions });
  defineProperty(globalThis, "$livescope$", { value: freeze(scope), configurable: true });
  return [enter, flush, declare];
}

function enter(text: string): void {
  reseedIfAsked();
  beginInput(text);
  const kind = readNumber();
  const subject = readNumber();
  try {
    switch (kind) {
      case InputKind.EXECUTE:
        return execute(begin(subject));
      case InputKind.CALL:
        return call(begin(subject));
      case InputKind.INSPECT:
        return inspectValue();
      case InputKind.RELEASE:
        return releaseHandles();
      default:
        return defineGlobals();
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    emitEffect(EffectKind.REFUSED, subject, error.reason, error.what);
  }
}

/** Called when the job queue is empty: nothing is left that could go on with what is still pending. */
function flush(): string {
  if (pending.size > 0) pending.forEach(failAsDeadlock);
  setRunning(0);
  setHandleCount(handleCount());
  return takeEffects();
}

function failAsDeadlock(execution: Execution): void {
  const message = "the awaited promise can never settle: nothing is left in the session that could resolve it";
  fail(execution, Phase.DEADLOCK, new KernelTypeError(message));
}

function setRunning(execution: number): void {
  running = execution;
  setCurrentExecution(execution);
}

function begin(number: number): Execution {
  const encoding = readNumber();
  const group = readOptionalText();
  const valueBytes = readNumber();
  setRunning(number);
  return { isOpen: true, number, encoding, group, valueBytes, handles: readNumber() };
}

function execute(execution: Execution): void {
  const source = readNumber();
  const count = readNumber();
  if (count > 0) {
    const scope = create(null) as Record<string, unknown>;
    for (let i = 0; i < count; i++) {
      const name = readText();
      scope[name] = readValue(`bindings[${name}]`);
    }
    bindings = scope;
  }
  let evaluation: Promise<{ value: unknown }>;
  try {
    evaluation = evaluateSource(source);
  } catch (error) {
    return fail(execution, Phase.PARSE, error);
  } finally {
    bindings = undefined;
  }
  // Of this promise guest code never gets hold, and with a constructor of its own not even a broken
  // Promise.prototype stands between its settling and the kernel.
  defineProperty(evaluation, "constructor", { __proto__: null, value: NativePromise } as PropertyDescriptor);
  void followEvaluation(execution, evaluation);
}

async function followEvaluation(execution: Execution, evaluation: Promise<{ value: unknown }>): Promise<void> {
  pending.set(execution.number, execution);
  let value: unknown;
  try {
    value = (await evaluation).value;
  } catch (error) {
    return fail(execution, Phase.EVALUATE, error);
  }
  finish(execution, value);
}

function call(execution: Execution): void {
  const handle = readOptionalText();
  const path = readOptionalText();
  const asConstructor = readNumber() === 1;
  if (handle !== undefined && !holdsHandle(handle)) throw new Refused(Refusal.HANDLE_NOT_FOUND, handle);
  const givenThis = readNumber() === 1;
  const thisValue = givenThis ? readValue("this_value") : undefined;
  const args = readArguments();
  let result: unknown;
  try {
    const target = resolve(handle, path);
    const self = givenThis ? thisValue : target.self;
    const callee = target.value;
    if (typeof callee !== "function") {
      throw new KernelTypeError(`${path ?? "the value of the handle"} is not a function`);
    }
    result = asConstructor ? construct(callee, args) : apply(callee, self, args);
  } catch (error) {
    return fail(execution, Phase.EVALUATE, error);
  }
  finish(execution, result);
}

interface Target {
  readonly self: unknown;
  readonly value: unknown;
}

/** Follows a dotted path below a handle, or below the session's names. Getters on the way run. */
function resolve(handle: string | undefined, path: string | undefined): Target {
  if (handle !== undefined && path === undefined) return { self: undefined, value: valueOfHandle(handle) };
  let value: unknown = handle === undefined ? globalObject : valueOfHandle(handle);
  let self: unknown;
  let rest: string | undefined = path;
  let walked = "";
  while (rest !== undefined) {
    const dot = indexOf(rest, ".");
    const name: string = dot < 0 ? rest : slice(rest, 0, dot);
    rest = dot < 0 ? undefined : slice(rest, dot + 1);
    if (walked === "" && handle === undefined) {
      if (!(name in globalObject)) throw new KernelReferenceError(`${name} is not defined`);
    } else if (value === undefined || value === null) {
      throw new KernelTypeError(`cannot read property ${name} of ${walked}, which is ${value}`);
    }
    self = walked === "" && handle === undefined ? undefined : value;
    value = (value as Record<string, unknown>)[name];
    walked = walked === "" ? name : `${walked}.${name}`;
  }
  return { self, value };
}

function readArguments(): unknown[] {
  const count = readNumber();
  if (count === 0) return [];
  if (count === 1) return [readValue("args[0]")];
  // An array whose elements exist already: filling it meets no setter of the guest.
  let template = "0";
  for (let i = 1; i < count; i++) template += ",0";
  const args = jsonParse(`[${template}]`) as unknown[];
  for (let i = 0; i < count; i++) args[i] = readValue(`args[${i}]`);
  return args;
}

function readValue(field: string): unknown {
  const arm = readNumber();
  if (arm === Arm.UNDEFINED) return undefined;
  const text = readText();
  if (arm === Arm.HANDLE) {
    if (!holdsHandle(text)) throw new Refused(Refusal.HANDLE_NOT_FOUND, text);
    return valueOfHandle(text);
  }
  try {
    return jsonParse(text);
  } catch {
    throw new Refused(Refusal.INVALID_JSON, field);
  }
}

/** A promise is awaited before it is encoded, unless the caller wants the promise itself. */
function finish(execution: Execution, value: unknown): void {
  if (typeof value === "object" && execution.encoding !== Encoding.HANDLE && isPromise(value)) {
    void followPromise(execution, value as Promise<unknown>);
  } else {
    settle(execution, value);
  }
}

async function followPromise(execution: Execution, promise: Promise<unknown>): Promise<void> {
  pending.set(execution.number, execution);
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return fail(execution, Phase.REJECTION, error);
  }
  settle(execution, value);
}

function settle(execution: Execution, value: unknown): void {
  if (!execution.isOpen) return;
  try {
    encode(execution, value);
  } catch (error) {
    fail(execution, Phase.ENCODE, error);
  }
}

function encode(execution: Execution, value: unknown): void {
  switch (execution.encoding) {
    case Encoding.NONE:
      return give(execution, Arm.UNDEFINED, "");
    case Encoding.JSON:
      return settleAsJson(execution, value);
    case Encoding.HANDLE:
      return settleAsHandle(execution, value);
    default: {
      if (value === undefined) return give(execution, Arm.UNDEFINED, "");
      const json = plainJson(value, execution.encoding === Encoding.UNSPECIFIED);
      if (json === undefined || isTooLarge(execution, json)) return settleAsHandle(execution, value);
      give(execution, Arm.JSON, json);
    }
  }
}

function settleAsJson(execution: Execution, value: unknown): void {
  let json: string | undefined;
  try {
    json = nativeStringify(value);
  } catch (error) {
    return fail(execution, Phase.ENCODE, error);
  }
  if (typeof json !== "string") return give(execution, Arm.UNDEFINED, "");
  if (isTooLarge(execution, json)) return stopTurn(StopCause.VALUE_SIZE);
  give(execution, Arm.JSON, json);
}

function settleAsHandle(execution: Execution, value: unknown): void {
  const id = execution.group === undefined ? "" : retain(value, execution.group);
  if (handleCount() > execution.handles) return stopTurn(StopCause.HANDLES);
  give(execution, Arm.HANDLE, describeHandle(value, id));
}

/** Text has at least one byte and at most three for each of its UTF-16 units; only between is it worth counting. */
function isTooLarge(execution: Execution, text: string): boolean {
  if (text.length * 3 <= execution.valueBytes) return false;
  return text.length > execution.valueBytes || byteLength(text) > execution.valueBytes;
}

function give(execution: Execution, arm: number, text: string): void {
  close(execution);
  emitEffect(EffectKind.VALUE, execution.number, arm, text);
}

function close(execution: Execution): void {
  execution.isOpen = false;
  pending.delete(execution.number);
}

function fail(execution: Execution, phase: number, error: unknown): void {
  if (!execution.isOpen) return;
  close(execution);
  emitEffect(EffectKind.EXCEPTION, execution.number, phase, describeThrown(error));
}

function inspectValue(): void {
  const handle = readOptionalText();
  const path = readOptionalText();
  const most = readNumber();
  if (handle !== undefined && !holdsHandle(handle)) throw new Refused(Refusal.HANDLE_NOT_FOUND, handle);
  const answer = describeProperties(handle === undefined ? globalObject : valueOfHandle(handle), path, most);
  if (answer === undefined) throw new Refused(Refusal.NOT_AN_OBJECT, path ?? "");
  emitEffect(EffectKind.ANSWER, 0, 0, answer);
}

function releaseHandles(): void {
  const all = readNumber() === 1;
  const group = readOptionalText();
  const count = readNumber();
  let released = 0;
  if (all) released = releaseAll();
  if (group !== undefined) released += releaseGroup(group);
  for (let i = 0; i < count; i++) released += release(readText());
  emitEffect(EffectKind.ANSWER, released, 0, "");
}

/** As an assignment at top level would: names of the new session, enumerable, and free to change. */
function defineGlobals(): void {
  const count = readNumber();
  for (let i = 0; i < count; i++) {
    const name = readText();
    defineVariable(name, readValue(`globals[${name}]`));
  }
}

/**
 * Prepares the top-level names of a source that is about to run, so that they can be declared again by a later one.
 *
 * @param text JSON text of `[variables, constants]`
 */
function declare(text: string): void {
  const names = jsonParse(text) as [string[], string[]];
  const variables = names[0];
  for (let i = 0; i < variables.length; i++) {
    const name = variables[i] as string;
    const known = getOwnPropertyDescriptor(globalObject, name);
    if (known === undefined || (known.configurable === true && !hasOwnValue(known))) defineVariable(name, undefined);
  }
  const constants = names[1];
  for (let i = 0; i < constants.length; i++) declareConstant(constants[i] as string);
}

function defineVariable(name: string, value: unknown): void {
  defineProperty(globalObject, name, {
    __proto__: null,
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  } as PropertyDescriptor);
}

/** An accessor whose first assignment, the declaration's own, gives it its value. A permanent `var` stays one. */
function declareConstant(name: string): void {
  const known = getOwnPropertyDescriptor(globalObject, name);
  if (known !== undefined && known.configurable !== true) return;
  let value: unknown;
  let initialised = false;
  const get = (): unknown => value;
  constantGetters.add(get);
  defineProperty(globalObject, name, {
    __proto__: null,
    get,
    set: (given: unknown) => {
      if (initialised) throw new KernelTypeError(`Assignment to constant variable '${name}'`);
      initialised = true;
      value = given;
    },
    enumerable: true,
    configurable: true,
  } as PropertyDescriptor);
}

/** Function declarations of a source with bindings stand in a block; this gives them to the session. */
function declareFunctions(functions: Record<string, unknown>): void {
  const names = ownKeys(functions);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const known = getOwnPropertyDescriptor(globalObject, name);
    if (known === undefined || known.configurable === true) defineVariable(name, functions[name]);
    else globalObject[name] = functions[name];
  }
}

/** The scope object of the source that begins to run; given out once. */
function takeBindings(): object {
  const scope = bindings;
  bindings = undefined;
  if (scope === undefined) throw new KernelReferenceError("no bindings are waiting to be taken");
  return scope;
}
