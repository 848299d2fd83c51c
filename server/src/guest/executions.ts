/** Executions, from their begin to the one outcome that each of them has. */
import { describeThrown } from "./errors.js";
import { isPromise } from "./host.js";
import { KernelTypeError, SafeMap } from "./intrinsics.js";
import { EffectKind, Encoding, emitEffect } from "./protocol.js";
import { type EncodedResult, encodeResult, type ResultOptions } from "./result.js";

export interface Execution extends ResultOptions {
  /** False once it has its outcome: whatever of it runs on after that says nothing any more. */
  isOpen: boolean;
  readonly number: number;
}

/** Mirrored by engine/kernel-protocol.ts. */
export const Phase = { PARSE: 1, EVALUATE: 2, REJECTION: 3, DEADLOCK: 4, ENCODE: 5 } as const;

/** Executions whose promise has not settled. */
const pending = new SafeMap<number, Execution>();

/** Follows the promise of a source that runs. */
export async function followEvaluation(execution: Execution, evaluation: Promise<{ value: unknown }>): Promise<void> {
  pending.set(execution.number, execution);
  let value: unknown;
  try {
    value = (await evaluation).value;
  } catch (error) {
    return fail(execution, Phase.EVALUATE, error);
  }
  finish(execution, value);
}

/** Called when nothing is left that could go on with what is still pending. */
export function failPending(): void {
  if (pending.size > 0) pending.forEach(failAsDeadlock);
}

function failAsDeadlock(execution: Execution): void {
  const message = "the awaited promise can never settle: nothing is left in the session that could resolve it";
  fail(execution, Phase.DEADLOCK, new KernelTypeError(message));
}

/** A promise is awaited before it is encoded, unless the caller wants the promise itself. */
export function finish(execution: Execution, value: unknown): void {
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
  let result: EncodedResult | undefined;
  try {
    result = encodeResult(value, execution);
  } catch (error) {
    return fail(execution, Phase.ENCODE, error);
  }
  if (result !== undefined) give(execution, result.arm, result.text);
}

function give(execution: Execution, arm: number, text: string): void {
  close(execution);
  emitEffect(EffectKind.VALUE, execution.number, arm, text);
}

function close(execution: Execution): void {
  execution.isOpen = false;
  pending.delete(execution.number);
}

export function fail(execution: Execution, phase: number, error: unknown): void {
  if (!execution.isOpen) return;
  close(execution);
  emitEffect(EffectKind.EXCEPTION, execution.number, phase, describeThrown(error));
}
