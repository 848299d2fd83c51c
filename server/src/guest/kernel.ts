/**
 * The kernel: our code inside a session. The host enters it once per turn, lets the job queue run empty, and takes the
 * effects. What it keeps (executions, handles, generators' state) lies in the session's memory like everything else.
 */
import { enterContext, rootContext } from "./contexts.js";
import { description } from "./description.js";
import { loadedEmissions } from "./emissions.js";
import {
  abandon,
  beginExecution,
  type Execution,
  fail,
  failOpen,
  finish,
  followEvaluation,
  openExecution,
  Phase,
} from "./executions.js";
import { graphCodec } from "./graph.js";
import { handleCount, holdsHandle, release, releaseAll, releaseGroup, valueOfHandle } from "./handles.js";
import { connectHost, setHandleCount, setNextTimer, setTurnOwner, takeBytes } from "./host.js";
import { hostFunctions, loadedHostFunctions } from "./host-functions.js";
import {
  apply,
  construct,
  create,
  defineProperty,
  freeze,
  indexOf,
  jsonParse,
  KernelReferenceError,
  KernelTypeError,
  slice,
} from "./intrinsics.js";
import { library } from "./libraries.js";
import type { PendingCall } from "./library/host-functions.js";
import { addModules, executeModule, serveModules } from "./modules.js";
import { declareFunctions, defineVariable, globalObject, offerBindings, takeBindings } from "./names.js";
import { BytesOf } from "./natives.js";
import { installPlatform } from "./platform.js";
import {
  Arm,
  beginInput,
  EffectKind,
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
import { connectImports, type Evaluation, evaluateSource } from "./sources.js";
import { timers } from "./timers.js";

/** More inputs are waiting: what is pending now may still go on. */
let isMoreToCome = false;

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
 * @param importModule imports in the kernel's name, which only a function that is not stripped has
 * @returns `[enter, flush, serveModules, warnOfRejection]`; compiled sources reach `takeBindings` and `declareFunctions` by a name that the
 * host turns into a lexical constant, so that guest code can neither replace nor enumerate it
 */
export function install(
  dispatch: (ask: number, argument: unknown, detail?: unknown) => unknown,
  cells: ArrayBuffer,
  importModule: (name: string) => Promise<unknown>,
): unknown[] {
  connectHost(dispatch, cells);
  connectImports(importModule);
  installProxies();
  installRandom();
  installPlatform();
  Reflect.deleteProperty(globalThis, "SharedArrayBuffer");
  const scope = create(null) as object;
  defineProperty(scope, "takeBindings", { value: takeBindings });
  defineProperty(scope, "declareFunctions", { value: declareFunctions });
  defineProperty(globalThis, "$livescope$", { value: freeze(scope), configurable: true });
  return [enter, flush, serveModules, warnOfRejection];
}

function enter(text: string): void {
  reseedIfAsked();
  beginInput(text);
  const kind = readNumber();
  const subject = readNumber();
  isMoreToCome = readNumber() === 1;
  for (let count = readNumber(); count > 0; count--) drop(readNumber());
  enterContext(rootContext);
  setTurnOwner(0);
  try {
    run(kind, subject);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const refused = openExecution(subject);
    if (refused !== undefined) abandon(refused);
    emitEffect(EffectKind.REFUSED, subject, error.reason, error.what);
  }
}

function run(kind: number, subject: number): void {
  switch (kind) {
    case InputKind.EXECUTE:
      return execute(begin(subject));
    case InputKind.CALL:
      return call(begin(subject));
    case InputKind.TIMER:
      return timers()?.fireTimer();
    case InputKind.DROP_TIMER:
      return timers()?.dropTimer();
    case InputKind.CREDIT:
      return loadedEmissions()?.addCredit(subject, readNumber());
    case InputKind.INSPECT:
      return inspectValue();
    case InputKind.RELEASE:
      return releaseHandles();
    case InputKind.DEFINE_GLOBALS:
      return defineGlobals();
    case InputKind.ADD_MODULES:
      return addInputModules();
    case InputKind.EXPOSE:
      return exposeFunctions();
    case InputKind.HOST_RESULT:
      return takeHostResult();
    default:
      // Only to see what is left: whether anything can go on.
      return undefined;
  }
}

/** The host has ended an execution: nothing of it runs any more. */
function drop(number: number): void {
  const execution = openExecution(number);
  if (execution === undefined) return;
  timers()?.dropTimersOf(execution);
  loadedHostFunctions()?.dropCallsOf(execution);
  abandon(execution);
}

/**
 * Called before `flush` for a promise that was rejected and that nobody handles.
 *
 * @param execution number of the one that ran when it was rejected; 0: none
 * @param more how many more there were that are not told
 */
function warnOfRejection(reason: unknown, execution: number, more: number): void {
  emitEffect(EffectKind.WARNING, execution, more, description().describeRejection(reason));
}

/** Called when the job queue is empty. Without timers nothing is left that could go on with what is still pending. */
function flush(): string {
  const timer = timers()?.untilNextTimer() ?? -1;
  if (timer < 0 && !isMoreToCome && loadedHostFunctions()?.areHostCallsOpen() !== true) failOpen();
  enterContext(rootContext);
  setNextTimer(timer);
  setHandleCount(handleCount());
  return takeEffects();
}

function begin(number: number): Execution {
  const encoding = readNumber();
  const group = readOptionalText();
  const valueBytes = readNumber();
  const handles = readNumber();
  return beginExecution({ number, encoding, group, valueBytes, handles, credit: readNumber() });
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
    offerBindings(scope);
  }
  addInputModules();
  if (executeModule(execution)) return;
  let evaluation: Evaluation;
  try {
    evaluation = evaluateSource(source);
  } catch (error) {
    return fail(execution, Phase.PARSE, error);
  } finally {
    offerBindings(undefined);
  }
  void followEvaluation(execution, evaluation);
}

function addInputModules(): void {
  const refused = addModules();
  if (refused !== undefined) throw new Refused(Refusal.MODULE_EXISTS, refused);
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
  switch (arm) {
    case Arm.HANDLE:
      return heldValue(text);
    case Arm.HOST_FUNCTION:
      return hostFunctions().passedFunction(text, readText());
    case Arm.GRAPH:
      return readGraph(text, field);
    case Arm.BYTES:
      return construct(BytesOf, [takeBytes(+text)]);
  }
  try {
    return jsonParse(text);
  } catch {
    throw new Refused(Refusal.INVALID_JSON, field);
  }
}

function heldValue(handle: string): unknown {
  if (!holdsHandle(handle)) throw new Refused(Refusal.HANDLE_NOT_FOUND, handle);
  return valueOfHandle(handle);
}

function readGraph(text: string, field: string): unknown {
  const graph = graphCodec();
  try {
    return graph.decodeGraph(text);
  } catch (error) {
    if (error instanceof graph.MissingHandle) throw new Refused(Refusal.HANDLE_NOT_FOUND, error.id);
    const why = error instanceof graph.Malformed ? error.why : "it cannot be read";
    throw new Refused(Refusal.INVALID_GRAPH, `${field}\n${why}`);
  }
}

function takeHostResult(): void {
  const id = readText();
  let settle: (call: PendingCall) => void;
  try {
    if (readNumber() === 0) {
      const value = readValue("value");
      settle = (call) => call.resolve(value);
    } else {
      const error = readError("exception");
      settle = (call) => call.reject(error);
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    // The guest did nothing wrong, and waits.
    const what = error.reason === Refusal.HANDLE_NOT_FOUND ? `there is no handle ${error.what}` : "it is malformed";
    settle = (call) => call.reject(new KernelTypeError(`the host function's result cannot be read: ${what}`));
  }
  loadedHostFunctions()?.answerCall(id, settle);
}

/** All names are defined or, where one cannot be, that is told. */
function exposeFunctions(): void {
  for (let count = readNumber(); count > 0; count--) {
    const name = readText();
    if (!hostFunctions().exposeFunction(name)) throw new Refused(Refusal.NAME_FIXED, name);
  }
}

/** What a client's function threw: a value, or an error with its cause. */
function readError(field: string): unknown {
  if (readNumber() === 1) return readValue(`${field}.thrown`);
  const name = readText();
  const message = readText();
  const hasCause = readNumber() === 1;
  return hostFunctions().errorOf(name, message, hasCause ? readError(`${field}.cause`) : undefined, hasCause);
}

/** The exports of library/inspect-properties.ts. */
interface InspectPropertiesLibrary {
  describeProperties(root: unknown, path: string | undefined, most: number): string | undefined;
}

function inspectValue(): void {
  const handle = readOptionalText();
  const path = readOptionalText();
  const most = readNumber();
  if (handle !== undefined && !holdsHandle(handle)) throw new Refused(Refusal.HANDLE_NOT_FOUND, handle);
  const { describeProperties } = library("inspect-properties") as unknown as InspectPropertiesLibrary;
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
