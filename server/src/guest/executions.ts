/** Executions, from their begin to the one outcome that each of them has. */
import {
  type Binding,
  type Context,
  contextOf,
  currentContext,
  enterContext,
  enterExecution,
  rootContext,
} from "./contexts.js";
import { awaited, nativeResolve } from "./continuations.js";
import { description } from "./description.js";
import { emissions, loadedEmissions } from "./emissions.js";
import { isPromise } from "./host.js";
import { apply, KernelPromise, lookupGetter, SafeMap } from "./intrinsics.js";
import { library } from "./libraries.js";
import { EffectKind, Encoding, emitEffect } from "./protocol.js";
import { type EncodedResult, emitObject, emitResult, encodeResult, type ResultOptions } from "./result.js";
import type { Evaluated } from "./sources.js";

type Promises = typeof import("./library/promises.js");

/** What its caller wants of an execution. */
export interface CallerOptions extends ResultOptions {
  /** Values are taken before it ends; a generator that it gives is then run to its end. */
  readonly streams: boolean;
}

/** Few properties: making them is a good part of what a turn costs. */
export interface Execution {
  /** False once it has its outcome: whatever of it runs on after that says nothing any more. */
  isOpen: boolean;
  /** True once the host has ended it: nothing of it runs any more. */
  isDead: boolean;
  readonly number: number;
  readonly options: CallerOptions;
  /** See `contextOf`. The root's once it has its outcome, so that the two do not keep each other. */
  context: Context | undefined;
}

/** Mirrored by engine/kernel-protocol.ts. */
export const Phase = { PARSE: 1, EVALUATE: 2, REJECTION: 3, DEADLOCK: 4, ENCODE: 5 } as const;

/** Executions that have no outcome yet, by number; without the one that has just begun. */
const open = new SafeMap<number, Execution>();
/** Most have their outcome before anybody asks for them. */
let begun: Execution | undefined;

/**
 * A new execution, which runs from now on.
 *
 * @param credit values that may leave before the caller says that it takes more, where it takes any
 * @param locals what its locals are; undefined for none
 */
export function beginExecution(
  number: number,
  options: CallerOptions,
  credit: number,
  locals: Binding | undefined,
): Execution {
  const execution: Execution = { isOpen: true, isDead: false, number, options, context: undefined };
  begun = execution;
  if (options.streams) emissions().openOutlet(execution, credit);
  enterExecution(execution, locals);
  return execution;
}

/** Called when all of the input has run that runs at once. */
export function keepBegun(): void {
  if (begun?.isOpen === true) open.set(begun.number, begun);
  begun = undefined;
}

/** The execution of this number, if it has no outcome yet. */
export function openExecution(number: number): Execution | undefined {
  return begun?.number === number && begun.isOpen ? begun : open.get(number);
}

/** Follows a promise that the execution gave; of a source that awaits, one of `{ value }`. */
export async function follow(execution: Execution, promise: Promise<unknown>, isEvaluation: boolean): Promise<void> {
  let value: unknown;
  try {
    value = await (isEvaluation ? promise : asked(promise));
  } catch (error) {
    enterContext(contextOf(execution));
    return fail(execution, isEvaluation ? Phase.EVALUATE : Phase.REJECTION, error);
  }
  enterContext(contextOf(execution));
  if (isEvaluation) finish(execution, (value as Evaluated).value);
  else conclude(execution, value);
}

/**
 * What to await instead of a promise of the guest's, which may have a `then` of its own: that runs in the context of now. And its
 * constructor is asked for here: where that throws, the engine's `await` ends the function that awaits, past its `catch`.
 */
function asked(promise: Promise<unknown>): unknown {
  const given = awaited(promise);
  // A getter may say one thing now, and throw when it is asked again.
  if (lookupGetter(promise, "constructor") !== undefined) return (library("promises") as Promises).askedOnce(given);
  return apply(nativeResolve, KernelPromise, [given]);
}

/** Called when no job, timer or host call is left, and nothing else will come: what is still open can never settle. */
export function failOpen(): void {
  if (open.size > 0 && loadedEmissions()?.areEmissionsWaiting() !== true) open.forEach(failAsDeadlock);
}

/** Ends an execution without an outcome: the host has given it one. Nothing of it runs or says anything any more. */
export function abandon(execution: Execution): void {
  execution.isDead = true;
  close(execution);
}

function failAsDeadlock(execution: Execution): void {
  fail(execution, Phase.DEADLOCK, description().deadlock());
}

/** A promise is awaited before it is encoded, unless the caller wants the promise itself. */
export function finish(execution: Execution, value: unknown): void {
  if (typeof value === "object" && execution.options.encoding !== Encoding.HANDLE && isPromise(value)) {
    void follow(execution, value as Promise<unknown>, false);
  } else {
    conclude(execution, value);
  }
}

function conclude(execution: Execution, value: unknown): void {
  if (!execution.options.streams || !emissions().runGenerator(execution, value)) settle(execution, value);
}

export function settle(execution: Execution, value: unknown): void {
  if (!execution.isOpen) return;
  if (execution.options.streams) return emissions().afterEmissions(execution, settleNow, value, 0);
  settleNow(execution, value);
}

function settleNow(execution: Execution, value: unknown): void {
  const looked = emitObject(value, execution.number, execution.options);
  if (looked === 0) return close(execution);
  let result: EncodedResult | undefined;
  try {
    result = encodeResult(value, execution.options, looked);
  } catch (error) {
    return fail(execution, Phase.ENCODE, error);
  }
  if (result === undefined) return;
  close(execution);
  emitResult(EffectKind.VALUE, execution.number, result);
}

function close(execution: Execution): void {
  execution.isOpen = false;
  execution.context = rootContext;
  if (execution !== begun) open.delete(execution.number);
  if (execution.options.streams) emissions().closeOutlet(execution.number);
}

export function fail(execution: Execution, phase: number, error: unknown): void {
  if (!execution.isOpen) return;
  if (execution.options.streams && phase !== Phase.DEADLOCK) {
    return emissions().afterEmissions(execution, failNow, error, phase);
  }
  failNow(execution, error, phase);
}

function failNow(execution: Execution, error: unknown, phase: number): void {
  // Getters of what was thrown run in it; it may be made only now, and of a closed execution it would be the root's.
  currentContext();
  close(execution);
  emitEffect(EffectKind.EXCEPTION, execution.number, phase, description().tellThrown(error, execution.options));
}
