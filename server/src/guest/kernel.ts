/**
 * The kernel: our code inside a session. The host enters it once per turn, lets the job queue run empty, and takes the
 * effects. What it keeps (executions, handles, generators' state) lies in the session's memory like everything else.
 */
import { leaveContexts, localsOf } from "./contexts.js";
import { followers, installContinuations } from "./continuations.js";
import { description } from "./description.js";
import { loadedEmissions } from "./emissions.js";
import {
  abandon,
  beginExecution,
  type CallerOptions,
  type Execution,
  fail,
  failOpen,
  finish,
  follow,
  keepBegun,
  openExecution,
  Phase,
} from "./executions.js";
import { handleCount, holdsHandle, valueOfHandle } from "./handle-lookup.js";
import { cells, connectHost, HANDLE_COUNT, NEXT_TIMER, SourceAnswer, sourceAnswer, TURN_OWNER } from "./host.js";
import { loadedHostFunctions } from "./host-functions.js";
import { Refused, readValue } from "./input-values.js";
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
import { connectLibraries, library } from "./libraries.js";
import { addModules, executeModule, serveModules } from "./modules.js";
import { declareFunctions, globalObject, offerBindings, takeBindings } from "./names.js";
// What libraries work with, taken before guest code runs.
import "./originals.js";
import { installPlatform } from "./platform.js";
import {
  beginInput,
  EffectKind,
  emitEffect,
  InputKind,
  Refusal,
  readNumber,
  readOptionalText,
  takeEffects,
} from "./protocol.js";
import { installProxies } from "./proxies.js";
import { installRandom } from "./random.js";
import { readText } from "./read-text.js";
import { sealed } from "./sealed.js";
import { connectImports, type Evaluated, evaluateSource } from "./sources.js";
import { timeOrigin } from "./time-origin.js";
import { timers } from "./timers.js";

/** More inputs are waiting: what is pending now may still go on. */
let isMoreToCome = false;

/**
 * Runs once, in the base image.
 *
 * @param importModule imports in the kernel's name, which only a function that is not stripped has
 * @returns `[enter, flush, serveModules, warnOfRejection, installPlatform]`, of which the last is to be called when this function is
 * no more, so that what it makes takes the place of that; compiled sources reach `takeBindings` and `declareFunctions` by a name that the
 * host turns into a lexical constant, so that guest code can neither replace nor enumerate it
 */
export function install(
  dispatch: (ask: number, argument: unknown, detail?: unknown) => unknown,
  cells: ArrayBuffer,
  importModule: (name: string) => Promise<unknown>,
): unknown[] {
  connectHost(dispatch, cells);
  connectImports(importModule);
  connectLibraries();
  installProxies();
  installRandom();
  installContinuations();
  Reflect.deleteProperty(globalThis, "SharedArrayBuffer");
  const scope = freeze({ __proto__: null, takeBindings, declareFunctions, ...followers });
  defineProperty(globalThis, "$livescope$", { value: scope, configurable: true });
  return [enter, flush, serveModules, warnOfRejection, installPlatform];
}

function enter(text: string): void {
  timeOrigin();
  beginInput(text);
  const kind = readNumber();
  const subject = readNumber();
  const waiting = readNumber();
  isMoreToCome = (waiting & 1) === 1;
  if (waiting > 1) drop(waiting >> 1);
  // The job that enters has entered no context yet, so it is the root's.
  cells[TURN_OWNER] = 0;
  try {
    run(kind, subject);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const refused = openExecution(subject);
    if (refused !== undefined) abandon(refused);
    emitEffect(EffectKind.REFUSED, subject, error.reason, error.what);
  }
  keepBegun();
}

function run(kind: number, subject: number): void {
  switch (kind) {
    case InputKind.EXECUTE:
      return execute(begin(subject));
    case InputKind.CALL:
      return call(begin(subject));
    case InputKind.RENDER:
      return rareInputs().render(begin(subject));
    case InputKind.TIMER:
      return timers()?.fireTimer();
    case InputKind.DROP_TIMER:
      return timers()?.dropTimer();
    case InputKind.CREDIT:
      return loadedEmissions()?.addCredit(subject, readNumber());
    case InputKind.INSPECT:
      return rareInputs().inspectValue();
    case InputKind.RELEASE:
      return rareInputs().releaseHandles();
    case InputKind.DEFINE_GLOBALS:
      return rareInputs().defineGlobals();
    case InputKind.ADD_MODULES:
      return addModules();
    case InputKind.EXPOSE:
      return rareInputs().exposeFunctions();
    case InputKind.HOST_RESULT:
      return rareInputs().takeHostResult();
    case InputKind.RESTORED:
      return rareInputs().postponeTimers();
    default:
      // Only to see what is left: whether anything can go on.
      return undefined;
  }
}

function rareInputs(): typeof import("./library/rare-inputs.js") {
  return library("rare-inputs") as unknown as typeof import("./library/rare-inputs.js");
}

/** The host has ended executions: nothing of them runs any more. They may be many, so what they left is looked through once. */
function drop(count: number): void {
  let areAny = false;
  for (let i = 0; i < count; i++) {
    const execution = openExecution(readNumber());
    if (execution === undefined) continue;
    abandon(execution);
    areAny = true;
  }
  // The turns that go to the engine together name the same ones.
  if (!areAny) return;
  timers()?.dropDeadTimers();
  loadedHostFunctions()?.dropDeadCalls();
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
  leaveContexts();
  cells[NEXT_TIMER] = timer;
  cells[HANDLE_COUNT] = handleCount();
  return takeEffects();
}

function begin(number: number): Execution {
  const encoding = readNumber();
  const group = readOptionalText();
  const valueBytes = readNumber();
  const handles = readNumber();
  // Each number that most inputs need not have is time on the way of a call.
  const extras = readNumber();
  const credit = (extras & 1) === 1 ? readNumber() : -1;
  const locals = (extras & 2) === 2 ? readNames("locals") : undefined;
  const options = sameOptions(encoding, group, valueBytes, handles, credit >= 0);
  return beginExecution(number, options, credit, locals === undefined ? undefined : localsOf(locals));
}

let lastOptions: CallerOptions = { encoding: 0, group: undefined, valueBytes: 0, handles: 0, streams: false };

/** What callers want is mostly what the one before wanted: then it is the same object. */
function sameOptions(
  encoding: number,
  group: string | undefined,
  valueBytes: number,
  handles: number,
  streams: boolean,
): CallerOptions {
  const last = lastOptions;
  const isSame =
    last.encoding === encoding &&
    last.group === group &&
    last.valueBytes === valueBytes &&
    last.handles === handles &&
    last.streams === streams;
  if (!isSame) lastOptions = { encoding, group, valueBytes, handles, streams };
  return lastOptions;
}

/** Names and their values, as properties of an object without prototype; undefined where there are none. */
function readNames(field: string): Record<string, unknown> | undefined {
  const count = readNumber();
  if (count === 0) return undefined;
  const values = create(null) as Record<string, unknown>;
  for (let i = 0; i < count; i++) {
    const name = readText();
    values[name] = readValue(field, name);
  }
  return values;
}

function execute(execution: Execution): void {
  const source = readNumber();
  offerBindings(readNames("bindings"));
  addModules();
  if (executeModule(execution)) return;
  let answer: unknown;
  try {
    answer = evaluateSource(source);
  } catch (error) {
    return fail(execution, sourceAnswer() === SourceAnswer.THROWN ? Phase.EVALUATE : Phase.PARSE, error);
  } finally {
    offerBindings(undefined);
  }
  if (sourceAnswer() === SourceAnswer.VALUE) finish(execution, answer);
  else void follow(execution, sealed(answer as Promise<Evaluated>), true);
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
    const callee = resolve(handle, path);
    const self = givenThis ? thisValue : foundIn;
    foundIn = undefined;
    if (typeof callee !== "function") {
      throw new KernelTypeError(`${path ?? "the value of the handle"} is not a function`);
    }
    result = asConstructor ? construct(callee, args) : apply(callee, self, args);
  } catch (error) {
    return fail(execution, Phase.EVALUATE, error);
  }
  finish(execution, result);
}

/** What stands before the last dot of the path that was followed last. */
let foundIn: unknown;

/** Follows a dotted path below a handle, or below the session's names. Getters on the way run. */
function resolve(handle: string | undefined, path: string | undefined): unknown {
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
  foundIn = self;
  return value;
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
