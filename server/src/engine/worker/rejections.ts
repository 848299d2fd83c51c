/** Promises that are rejected while nobody handles them, from the engine's own notice of it (rejection-callback.ts). */
import { type Instance, JS_VALUE_BYTES } from "./instance.js";
import { Cell, type Layout } from "./layout.js";

/**
 * Promises of one turn that are kept; of those beyond only the number is. A promise that is kept can still be taken back
 * when it is handled later in the turn.
 */
const KEPT = 1_000;
/** Promises of one turn that are reported; the last report says how many more there were. */
const REPORTED = 20;

interface Rejection {
  /** An owned `JSValue*` of the promise, which keeps its reason alive. */
  readonly promise: number;
  readonly reason: bigint;
  /** Number of the execution that ran. */
  readonly execution: number;
}

/** Those of one turn. It need not be kept for the next one: what is left at the end of a turn is reported then. */
export class UnhandledRejections {
  readonly #layout: Layout;
  readonly #kept = new Map<bigint, Rejection>();
  /** The promises that were kept last. */
  #latest: readonly [before: bigint, last: bigint] = [0n, 0n];
  /** Numbers of executions that modules ran for, by the reasons for which these failed. */
  readonly #modules = new Map<bigint, number>();
  #more = 0;

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  /** Forgets what it knows; also of pages that were put back meanwhile. */
  clear(): void {
    if (this.#kept.size > 0) this.#kept.clear();
    this.#modules.clear();
    this.#more = 0;
  }

  /** Takes what the engine tells; runs no code of the guest. */
  note(instance: Instance, promise: bigint, reason: bigint, isHandled: boolean): void {
    const { context, cells } = this.#layout;
    if (isHandled) {
      if (promise === this.#latest[1]) this.#forgetModule(instance);
      const known = this.#kept.get(promise);
      if (known !== undefined) instance.exports.QTS_FreeValuePointer(context, known.promise);
      else if (this.#more > 0) this.#more--;
      this.#kept.delete(promise);
    } else if (this.#kept.size >= KEPT) {
      this.#more++;
    } else {
      const execution = instance.words[(cells >> 2) + Cell.CONTEXT_OWNER] || (this.#modules.get(reason) ?? 0);
      const owned = instance.exports.QTS_DupValuePointer(context, this.#borrow(instance, promise));
      this.#kept.set(promise, { promise: owned, reason, execution });
      this.#latest = [this.#latest[1], promise];
    }
  }

  /**
   * The engine runs a module as an async function whose promise nobody ever gets, then rejects and handles that of the evaluation, and in a
   * job of its own rejects that of the import: all for the same reason, and only the last is the guest's.
   */
  #forgetModule(instance: Instance): void {
    const [promise, evaluation] = this.#latest;
    const known = this.#kept.get(promise);
    const isModule = known !== undefined && known.reason === this.#kept.get(evaluation)?.reason;
    if (!isModule || holdersOf(instance, promise) > 1) return;
    instance.exports.QTS_FreeValuePointer(this.#layout.context, known.promise);
    this.#kept.delete(promise);
    if (this.#modules.size < KEPT) this.#modules.set(known.reason, known.execution);
  }

  /**
   * Gives what is left to the kernel and forgets it.
   *
   * @param report calls the kernel with the `JSValue*` of a reason, the execution, and how many more there are unnamed
   */
  report(instance: Instance, report: (reason: number, execution: number, more: number) => void): void {
    if (this.#kept.size === 0) return;
    const { context } = this.#layout;
    const { exports } = instance;
    const left = [...this.#kept.values()];
    const unreported = left.length + this.#more - REPORTED;
    this.clear();
    for (const [i, { promise, reason, execution }] of left.entries()) {
      if (i < REPORTED) {
        const owned = exports.QTS_DupValuePointer(context, this.#borrow(instance, reason));
        report(owned, execution, i === REPORTED - 1 ? Math.max(0, unreported) : 0);
        exports.QTS_FreeValuePointer(context, owned);
      }
      exports.QTS_FreeValuePointer(context, promise);
    }
  }

  /** The value as a `JSValue*`, until the argument vector is next used. */
  #borrow(instance: Instance, value: bigint): number {
    const at = this.#layout.argv + JS_VALUE_BYTES;
    instance.bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at);
    return at;
  }
}

/** By how many places an object is held: its first word. */
function holdersOf(instance: Instance, object: bigint): number {
  return instance.words[Number(BigInt.asUintN(32, object)) >> 2] ?? 0;
}
