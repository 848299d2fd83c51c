/** Executions, from their begin to the one outcome that each of them has. */
import { type Binding, type Context, enterContext, makeContext, rootContext } from "./contexts.js";
import { afterEmissions, areEmissionsWaiting, closeOutlet, openOutlet, send } from "./emissions.js";
import { describeThrown } from "./errors.js";
import { asGenerator } from "./generators.js";
import { describeHandle, handleCount, retain } from "./handles.js";
import { byteLength, isPromise, StopCause, stopTurn } from "./host.js";
import { KernelTypeError, SafeMap } from "./intrinsics.js";
import { plainJson } from "./plain-json.js";
import { Arm, EffectKind, Encoding, emitEffect } from "./protocol.js";

export interface Execution {
  /** False once it has its outcome: whatever of it runs on after that says nothing any more. */
  isOpen: boolean;
  /** True once the host has ended it: nothing of it runs any more. */
  isDead: boolean;
  readonly number: number;
  /** What its own code begins in. */
  readonly context: Context;
  /** True when its caller takes values before it ends; a generator that it gives is then run to its end. */
  readonly streams: boolean;
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

/** Executions that have no outcome yet, by number. */
const open = new SafeMap<number, Execution>();

/** What its caller wants of an execution. */
export type ExecutionOptions = Pick<Execution, "number" | "encoding" | "group" | "valueBytes" | "handles">;

/**
 * A new execution, which runs from now on.
 *
 * @param credit values that may leave before the caller says that it takes more; negative when it takes none at all
 * @param locals what its locals are; undefined for none
 */
export function beginExecution(options: ExecutionOptions, credit: number, locals: Binding | undefined): Execution {
  const execution = {
    number: options.number,
    encoding: options.encoding,
    group: options.group,
    valueBytes: options.valueBytes,
    handles: options.handles,
    isOpen: true,
    isDead: false,
    streams: credit >= 0,
    context: rootContext,
  };
  const context = makeContext(execution, locals);
  execution.context = context;
  open.set(execution.number, execution);
  if (credit >= 0) openOutlet(execution, credit);
  enterContext(context);
  return execution;
}

/** The execution of this number, if it has no outcome yet. */
export function openExecution(number: number): Execution | undefined {
  return open.get(number);
}

/** Follows the promise of a source that runs. */
export async function followEvaluation(execution: Execution, evaluation: Promise<{ value: unknown }>): Promise<void> {
  let value: unknown;
  try {
    value = (await evaluation).value;
  } catch (error) {
    enterContext(execution.context);
    return fail(execution, Phase.EVALUATE, error);
  }
  enterContext(execution.context);
  finish(execution, value);
}

/** Called when no job, timer or host call is left, and nothing else will come: what is still open can never settle. */
export function failOpen(): void {
  if (open.size > 0 && !areEmissionsWaiting()) open.forEach(failAsDeadlock);
}

/** Ends an execution without an outcome: the host has given it one. Nothing of it runs or says anything any more. */
export function abandon(execution: Execution): void {
  execution.isDead = true;
  close(execution);
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
    conclude(execution, value);
  }
}

/** A generator that a streaming caller got is run, and its yields are emitted; its own result is then the value. */
function conclude(execution: Execution, value: unknown): void {
  const generator = execution.streams ? asGenerator(value) : undefined;
  if (generator === undefined) settle(execution, value);
  else void drain(execution, generator);
}

async function drain(execution: Execution, next: () => Promise<IteratorResult<unknown>>): Promise<void> {
  try {
    for (;;) {
      if (!execution.isOpen) return;
      enterContext(execution.context);
      const step = await next();
      enterContext(execution.context);
      if (step.done === true) return settle(execution, step.value);
      await send(execution, step.value);
    }
  } catch (error) {
    fail(execution, Phase.EVALUATE, error);
  }
}

async function followPromise(execution: Execution, promise: Promise<unknown>): Promise<void> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    enterContext(execution.context);
    return fail(execution, Phase.REJECTION, error);
  }
  enterContext(execution.context);
  conclude(execution, value);
}

function settle(execution: Execution, value: unknown): void {
  if (!execution.isOpen) return;
  if (execution.streams) return afterEmissions(execution, () => settleNow(execution, value));
  settleNow(execution, value);
}

function settleNow(execution: Execution, value: unknown): void {
  try {
    encode(execution, value, (arm, text) => give(execution, arm, text));
  } catch (error) {
    fail(execution, Phase.ENCODE, error);
  }
}

/** What of an execution says how its values are encoded. */
export type Encoder = Pick<Execution, "encoding" | "group" | "valueBytes" | "handles">;

/** Takes an encoded value. */
type Give = (arm: number, text: string) => void;

/**
 * Encodes a value as the caller asked; what may not be stops the turn, and is not given.
 *
 * @throws what guest code that is run by it throws, and where JSON cannot carry the value
 */
export function encode(execution: Encoder, value: unknown, give: Give): void {
  switch (execution.encoding) {
    case Encoding.NONE:
      return give(Arm.UNDEFINED, "");
    case Encoding.JSON:
      return encodeAsJson(execution, value, give);
    case Encoding.HANDLE:
      return encodeAsHandle(execution, value, give);
    default: {
      if (value === undefined) return give(Arm.UNDEFINED, "");
      const json = plainJson(value, execution.encoding === Encoding.UNSPECIFIED);
      if (json === undefined || isTooLarge(execution, json)) return encodeAsHandle(execution, value, give);
      give(Arm.JSON, json);
    }
  }
}

function encodeAsJson(execution: Encoder, value: unknown, give: Give): void {
  const json = nativeStringify(value);
  if (typeof json !== "string") return give(Arm.UNDEFINED, "");
  if (isTooLarge(execution, json)) return stopTurn(StopCause.VALUE_SIZE);
  give(Arm.JSON, json);
}

function encodeAsHandle(execution: Encoder, value: unknown, give: Give): void {
  const id = execution.group === undefined ? "" : retain(value, execution.group);
  if (handleCount() > execution.handles) return stopTurn(StopCause.HANDLES);
  give(Arm.HANDLE, describeHandle(value, id));
}

/** Text has at least one byte and at most three for each of its UTF-16 units; only between is it worth counting. */
function isTooLarge(execution: Encoder, text: string): boolean {
  if (text.length * 3 <= execution.valueBytes) return false;
  return text.length > execution.valueBytes || byteLength(text) > execution.valueBytes;
}

function give(execution: Execution, arm: number, text: string): void {
  close(execution);
  emitEffect(EffectKind.VALUE, execution.number, arm, text);
}

function close(execution: Execution): void {
  execution.isOpen = false;
  open.delete(execution.number);
  closeOutlet(execution.number);
}

export function fail(execution: Execution, phase: number, error: unknown): void {
  if (!execution.isOpen) return;
  if (execution.streams && phase !== Phase.DEADLOCK) {
    return afterEmissions(execution, () => failNow(execution, phase, error));
  }
  failNow(execution, phase, error);
}

function failNow(execution: Execution, phase: number, error: unknown): void {
  close(execution);
  emitEffect(EffectKind.EXCEPTION, execution.number, phase, describeThrown(error));
}
