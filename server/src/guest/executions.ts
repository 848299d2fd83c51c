/** Executions, from their begin to the one outcome that each of them has. */
import { describeThrown } from "./errors.js";
import { describeHandle, handleCount, retain } from "./handles.js";
import { byteLength, isPromise, StopCause, stopTurn } from "./host.js";
import { KernelTypeError, SafeMap } from "./intrinsics.js";
import { plainJson } from "./plain-json.js";
import { Arm, EffectKind, Encoding, emitEffect } from "./protocol.js";

export interface Execution {
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
export const Phase = { PARSE: 1, EVALUATE: 2, REJECTION: 3, DEADLOCK: 4, ENCODE: 5 } as const;

const nativeStringify = JSON.stringify as (value: unknown) => string | undefined;

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

export function fail(execution: Execution, phase: number, error: unknown): void {
  if (!execution.isOpen) return;
  close(execution);
  emitEffect(EffectKind.EXCEPTION, execution.number, phase, describeThrown(error));
}
