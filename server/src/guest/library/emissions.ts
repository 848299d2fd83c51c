/**
 * Values that leave an execution before it ends: those given to `emit`, and the yields of a generator that the caller of a
 * stream got as its result.
 *
 * Each value is encoded when it is emitted, and leaves when the turn commits, as far as the client has room: the rest waits
 * here, in the session's own memory and under its limit. `emit` gives a promise of its leaving; who awaits it goes at the
 * client's pace.
 */
import { Context, contextOf, currentContext, enterContext } from "../contexts.js";
import { type Execution, fail, Phase, settle } from "../executions.js";
import { asGenerator } from "../generators.js";
import { KernelPromise, SafeMap } from "../intrinsics.js";
import { EffectKind } from "../protocol.js";
import { type EncodedResult, emitResult, encodeResult } from "../result.js";
import { sealed } from "../sealed.js";

interface Emission {
  readonly value: EncodedResult;
  readonly leave: () => void;
}

/** How values of one execution leave. */
export interface Outlet {
  readonly execution: Execution;
  /** How many more may leave. */
  credit: number;
  readonly waiting: Map<number, Emission>;
  first: number;
  next: number;
  /** Called once all have left. */
  whenEmpty: (() => void) | undefined;
}

const outlets = new SafeMap<number, Outlet>();
let waiting = 0;

export const { emit } = {
  emit(value: unknown): Promise<void> {
    const execution = Context.executionOf(currentContext());
    return send(execution?.isOpen === true ? execution : undefined, value);
  },
};

/** From now on values of the execution leave, `credit` of them before the client says that it takes more. */
export function openOutlet(execution: Execution, credit: number): void {
  const entries = new SafeMap<number, Emission>();
  outlets.set(execution.number, { execution, credit, waiting: entries, first: 0, next: 0, whenEmpty: undefined });
}

/** The client takes more. */
export function addCredit(execution: number, credit: number): void {
  const outlet = outlets.get(execution);
  if (outlet === undefined) return;
  outlet.credit += credit;
  release(outlet);
}

/** A generator that a streaming caller got is run, and its yields are emitted; false for what is none. */
export function runGenerator(execution: Execution, value: unknown): boolean {
  const generator = asGenerator(value);
  if (generator !== undefined) void drain(execution, generator);
  return generator !== undefined;
}

async function drain(execution: Execution, next: () => Promise<IteratorResult<unknown>>): Promise<void> {
  try {
    for (;;) {
      if (!execution.isOpen) return;
      enterContext(contextOf(execution));
      const step = await sealed(next());
      enterContext(contextOf(execution));
      if (step.done === true) return settle(execution, step.value);
      await sealed(send(execution, step.value));
    }
  } catch (error) {
    // Getters of what was thrown run in it.
    enterContext(contextOf(execution));
    fail(execution, Phase.EVALUATE, error);
  }
}

/** Emits a value; without a caller that listens it is dropped. The promise resolves when it leaves. */
export function send(execution: Execution | undefined, value: unknown): Promise<void> {
  const outlet = execution === undefined ? undefined : outlets.get(execution.number);
  return new KernelPromise<void>((resolve) => {
    if (outlet === undefined || execution === undefined) return resolve();
    const encoded = encodeResult(value, execution.options);
    if (encoded === undefined) return;
    outlet.waiting.set(outlet.next++, { value: encoded, leave: resolve });
    waiting++;
    release(outlet);
  });
}

/** Ends the execution in this way once all that it emitted has left. */
export function afterEmissions(
  execution: Execution,
  end: (execution: Execution, value: unknown, phase: number) => void,
  value: unknown,
  phase: number,
): void {
  const outlet = outlets.get(execution.number);
  if (outlet === undefined || outlet.first === outlet.next) return end(execution, value, phase);
  outlet.whenEmpty = () => end(execution, value, phase);
}

/** Nothing leaves any more: the execution has its outcome, or will never have one. */
export function closeOutlet(execution: number): void {
  const outlet = outlets.get(execution);
  if (outlet === undefined) return;
  waiting -= outlet.next - outlet.first;
  outlets.delete(execution);
}

/** True while values wait for a client to take them: then what is pending may still go on. */
export function areEmissionsWaiting(): boolean {
  return waiting > 0;
}

function release(outlet: Outlet): void {
  while (outlet.credit > 0 && outlet.first < outlet.next) {
    const emission = outlet.waiting.get(outlet.first) as Emission;
    outlet.waiting.delete(outlet.first++);
    outlet.credit--;
    waiting--;
    emitResult(EffectKind.EMITTED, outlet.execution.number, emission.value);
    emission.leave();
  }
  if (outlet.first < outlet.next || outlet.whenEmpty === undefined) return;
  const then = outlet.whenEmpty;
  outlet.whenEmpty = undefined;
  enterContext(contextOf(outlet.execution));
  then();
}
