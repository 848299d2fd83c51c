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
  /** Some module had failed with the reason before. */
  readonly wasModuleError: boolean;
}

/** Those of one turn. It need not be kept for the next one: what is left at the end of a turn is reported then. */
export class UnhandledRejections {
  readonly #layout: Layout;
  readonly #kept = new Map<bigint, Rejection>();
  #more = 0;

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  /** Forgets what it knows; also of pages that were put back meanwhile. */
  clear(): void {
    if (this.#kept.size > 0) this.#kept.clear();
    this.#more = 0;
  }

  /** Takes what the engine tells; runs no code of the guest. */
  note(instance: Instance, promise: bigint, reason: bigint, isHandled: boolean): void {
    const { context, cells } = this.#layout;
    if (isHandled) {
      const known = this.#kept.get(promise);
      if (known !== undefined) instance.exports.QTS_FreeValuePointer(context, known.promise);
      else if (this.#more > 0) this.#more--;
      this.#kept.delete(promise);
    } else if (this.#kept.size >= KEPT) {
      this.#more++;
    } else {
      const wasModuleError = this.#isModuleError(instance, reason);
      // An import that fails does so in a job that is nobody's.
      const first = wasModuleError ? [...this.#kept.values()].find((known) => known.reason === reason) : undefined;
      const execution = instance.words[(cells >> 2) + Cell.CONTEXT_OWNER] || (first?.execution ?? 0);
      const owned = instance.exports.QTS_DupValuePointer(context, this.#borrow(instance, promise));
      this.#kept.set(promise, { promise: owned, reason, execution, wasModuleError });
    }
  }

  /**
   * The engine runs a module as an async function and lets go of its promise, so that nobody could handle that. When it is rejected the
   * module has not failed yet: the promise of an import, which is rejected for the same reason, comes after that.
   */
  #isOfModule(instance: Instance, value: bigint, { reason, wasModuleError }: Rejection): boolean {
    return !wasModuleError && holdersOf(instance, value) === 1 && this.#isModuleError(instance, reason);
  }

  /** Whether some module of the session has failed with a value. */
  #isModuleError({ words, bytes }: Instance, value: bigint): boolean {
    const { modules, moduleError } = this.#layout;
    const next = (links: number): number => words[(links >> 2) + 1] ?? modules;
    for (let module = next(modules); module !== modules; module = next(module)) {
      const at = module + moduleError;
      if (words[(at >> 2) - 2] === 1 && bytes.readBigUInt64LE(at) === BigInt.asUintN(64, value)) return true;
    }
    return false;
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
    const left: Rejection[] = [];
    for (const [value, rejection] of this.#kept) {
      if (this.#isOfModule(instance, value, rejection)) exports.QTS_FreeValuePointer(context, rejection.promise);
      else left.push(rejection);
    }
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
