/**
 * Functions of connected clients, as guest code sees them: async functions whose calls leave the session as effects, and go on
 * when the reply comes as an input of a later turn.
 *
 * A call's id is its idempotency key: it is drawn here, lies in the session's memory, and stays the same however often the
 * call is sent.
 */
import { findBinding } from "../bindings.js";
import { Context, currentContext, enterContext, executionLocals } from "../contexts.js";
import { currentStack, isKernelFrame } from "../frames.js";
import { releaseGroup } from "../handle-entries.js";
import {
  apply,
  construct,
  defineProperty,
  indexOf,
  KernelError,
  KernelPromise,
  ownKeys,
  SafeMap,
  slice,
  stringify,
} from "../intrinsics.js";
import { globalObject } from "../names.js";
import { deref, errorClasses, KernelFinalizationRegistry, KernelWeakRef, register } from "../natives.js";
import { armOf, textOf } from "../other-results.js";
import { EffectKind, Encoding, emitEffect } from "../protocol.js";
import { randomId } from "../random-id.js";
import { encodeResult, type ResultOptions } from "../result.js";

/** A call whose reply has not come. */
export interface PendingCall {
  /** That which it was made in. */
  readonly context: Context;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Where guest code called, from there outwards; maybe with all that is above and below guest code. */
  readonly stack: string;
}

const calls = new SafeMap<string, PendingCall>();

/** Host functions that were passed as values, by their id, as long as guest code holds them. */
const passed = new SafeMap<string, WeakRef<object>>();
const releases = construct(KernelFinalizationRegistry, [
  (id: string) => {
    // One of the same id may have come meanwhile.
    const reference = passed.get(id);
    if (reference !== undefined && apply(deref, reference, []) !== undefined) return;
    passed.delete(id);
    emitEffect(EffectKind.HOST_FUNCTION_RELEASED, 0, 0, id);
  },
]) as object;

/** True while a client may still answer: then what is pending may go on. */
export function areHostCallsOpen(): boolean {
  return calls.size > 0;
}

/**
 * From now on the session has a global function of this name that calls the client.
 *
 * @returns false where guest code has made a property of that name, or a global object, that nobody may change
 */
export function exposeFunction(name: string): boolean {
  const value = hostFunction(name, `"name":${stringify(name)}`);
  return defineProperty(globalObject, name, {
    __proto__: null,
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  } as PropertyDescriptor);
}

/** The function that a client passed as a value: the same one for the same id as long as it lives. */
export function passedFunction(id: string, name: string): object {
  const reference = passed.get(id);
  const known = reference === undefined ? undefined : (apply(deref, reference, []) as object | undefined);
  if (known !== undefined) return known;
  const made = hostFunction(name, `"id":${stringify(id)},"name":${stringify(name)}`);
  passed.set(id, construct(KernelWeakRef, [made]) as WeakRef<object>);
  apply(register, releases, [made, id]);
  return made;
}

function hostFunction(name: string, target: string): (...args: unknown[]) => Promise<unknown> {
  const made = (...args: unknown[]): Promise<unknown> => call(target, args);
  defineProperty(made, "name", { __proto__: null, value: name, configurable: true } as PropertyDescriptor);
  defineProperty(made, "length", { __proto__: null, value: 0, configurable: true } as PropertyDescriptor);
  return made;
}

const BUILTIN = "(native)";
const KernelRangeError = errorClasses[1] as ErrorConstructor;

/** The most characters of a stack that are kept as they are until somebody asks for it, which most calls are over before. */
const SHORT_STACK = 512;

/** Calls that may be open at once: each lies in the session's memory, and at the host. */
const MOST_CALLS = 10_000;

function call(target: string, args: readonly unknown[]): Promise<unknown> {
  // Here and not below: each frame that is told takes its time.
  const whole = currentStack();
  const stack = whole.length > SHORT_STACK ? callersStack(whole) : whole;
  return new KernelPromise((resolve, reject) => {
    if (calls.size >= MOST_CALLS) {
      const message = `${MOST_CALLS} calls of host functions are open, the most there may be: await some of them`;
      throw construct(KernelRangeError, [message]);
    }
    const context = currentContext();
    const id = randomId();
    try {
      calls.set(id, { context, resolve, reject, stack });
      send(context, id, target, args);
    } catch (error) {
      // A getter of an argument threw: nobody is told of those before it, so nobody would release what holds them.
      calls.delete(id);
      releaseGroup(id);
      throw error;
    }
  });
}

function send(context: Context, id: string, target: string, args: readonly unknown[]): void {
  const options = optionsFor(context, id);
  let encoded = "";
  for (let i = 0; i < args.length; i++) encoded += `${i === 0 ? "" : ","}[${valueText(args[i], options)}]`;
  const locals = localsText(context, options);
  const execution = Context.executionOf(context);
  const number = execution?.isOpen === true ? execution.number : 0;
  const text = `{"call":"${id}",${target},"args":[${encoded}]${locals}}`;
  emitEffect(EffectKind.HOST_CALL, number, options.encoding, text);
}

/** The locals where it is called, as a further member of the call's text. */
function localsText(context: Context, options: ResultOptions): string {
  const values = findBinding(Context.bindingsOf(context), executionLocals)?.value as
    | Readonly<Record<string, unknown>>
    | undefined;
  if (values === undefined) return "";
  const names = ownKeys(values);
  let text = "";
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    text += `${i === 0 ? "" : ","}[${stringify(name)},${valueText(values[name], options)}]`;
  }
  return `,"locals":[${text}]`;
}

/** What stands in JSON text for a value: `arm,text`. */
function valueText(value: unknown, options: ResultOptions): string {
  const encoded = encodeResult(value, options);
  return encoded === undefined ? '0,""' : `${armOf(encoded)},${stringify(textOf(encoded))}`;
}

/**
 * How the values of a call are encoded: as the execution asked, except that a client that wants no values, or live ones alone,
 * says this of its result. What is not copied is held by a group of the call's own until it is answered: who answers need not be
 * who runs the execution, and can neither leak nor release what that one holds.
 */
function optionsFor(context: Context, id: string): ResultOptions {
  const execution = Context.executionOf(context);
  if (execution === undefined) return { encoding: Encoding.FULL, group: id, valueBytes: 1 << 20, handles: 100_000 };
  const { encoding, group, valueBytes, handles } = execution.options;
  const isOfResult = encoding === Encoding.NONE || encoding === Encoding.HANDLE;
  return {
    encoding: isOfResult ? Encoding.FULL : encoding,
    group: group === undefined ? undefined : id,
    valueBytes,
    handles,
  };
}

/** The client answered a call. What waits for it goes on in the context of the call; an unknown call is ignored. */
export function answerCall(id: string, settle: (call: PendingCall) => void): void {
  const pending = calls.get(id);
  if (pending === undefined) return;
  calls.delete(id);
  releaseGroup(id);
  enterContext(pending.context);
  settle(pending);
}

/** Takes away the calls of executions that the host has ended: nobody waits for their replies. */
export function dropDeadCalls(): void {
  calls.forEach((pending, id) => {
    if (Context.executionOf(pending.context)?.isDead !== true) return;
    calls.delete(id);
    releaseGroup(id);
  });
}

const kinds = new SafeMap<string, ErrorConstructor>();
const NAMES = ["TypeError", "RangeError", "SyntaxError", "ReferenceError", "EvalError", "URIError"];
for (let i = 0; i < NAMES.length; i++) kinds.set(NAMES[i] as string, errorClasses[i] as ErrorConstructor);

/** The error that a client's function threw, as guest code catches it. */
export function errorOf(name: string, message: string, cause: unknown, hasCause: boolean): Error {
  const kind = kinds.get(name);
  const error = construct(kind ?? KernelError, [message]) as Error;
  if (kind === undefined && name !== "" && name !== "Error") define(error, "name", name);
  if (hasCause) define(error, "cause", cause);
  // It was not made here: where the reply is read is nobody's business.
  define(error, "stack", "");
  return error;
}

/** An error of a client's function says where guest code called it. */
export function asOfCall(error: Error, { stack }: PendingCall): Error {
  define(error, "stack", callersStack(stack));
  return error;
}

/** Of a stack that of the guest code, up to where the kernel calls it, without the built-ins that are called by it or call for it. */
function callersStack(stack: string): string {
  let kept = "";
  let builtins = "";
  let from = 0;
  for (let end = indexOf(stack, "\n"); end >= 0; end = indexOf(stack, "\n", from)) {
    const line = slice(stack, from, end);
    from = end + 1;
    if (isKernelFrame(line)) {
      if (kept !== "") break;
    } else if (!endsInBuiltin(line)) {
      kept += `${builtins}${line}\n`;
      builtins = "";
    } else if (kept !== "") builtins += `${line}\n`;
  }
  return kept;
}

function endsInBuiltin(line: string): boolean {
  return slice(line, line.length - BUILTIN.length) === BUILTIN;
}

function define(error: Error, key: string, value: unknown): void {
  defineProperty(error, key, { __proto__: null, value, writable: true, configurable: true } as PropertyDescriptor);
}
