/** `AbortController` and `AbortSignal` of the DOM standard. */
import { KernelFinalizationRegistry, KernelWeakRef } from "../natives.js";
import { asInterface, requireArguments } from "../webidl.js";
import { DOMException } from "./dom-exception.js";
import { connectSignals, type Event, EventTarget, fire } from "./events.js";

const BY_PLATFORM = Symbol();
/** Of a timer; a longer one would fire at once. */
const LONGEST_DELAY = 2 ** 31 - 1;

interface State {
  isAborted: boolean;
  reason: unknown;
  /** What the platform does on abort, before listeners hear of it. */
  algorithms: Set<() => void>;
  /** Signals of which this one is made; null where it is not made of others. */
  sources: Set<AbortSignal> | null;
  /** Signals that are made of this one, as long as somebody has them. */
  dependents: Set<WeakRef<AbortSignal>>;
  /** Those of them that somebody waits for, who need not have them. */
  awaited: Set<AbortSignal>;
  /** In the lists of its sources; null where it is not made of others. */
  self: WeakRef<AbortSignal> | null;
  handler: ((event: Event) => unknown) | null;
  /** Calls the handler; among the listeners while there is one. */
  listener: ((event: Event) => unknown) | null;
}

let stateOf: (signal: AbortSignal) => State;
let isSignal: (value: unknown) => value is AbortSignal;

class AbortSignal extends EventTarget {
  readonly #state: State = {
    isAborted: false,
    reason: undefined,
    algorithms: new Set(),
    sources: null,
    dependents: new Set(),
    awaited: new Set(),
    self: null,
    handler: null,
    listener: null,
  };

  static {
    stateOf = (signal) => signal.#state;
    isSignal = (value): value is AbortSignal => typeof value === "object" && value !== null && #state in value;
  }

  constructor() {
    if ((arguments[0] as unknown) !== BY_PLATFORM) throw new TypeError("Illegal constructor");
    super();
  }

  static abort(reason: unknown = undefined): AbortSignal {
    const signal = make();
    const state = stateOf(signal);
    state.isAborted = true;
    state.reason = reason === undefined ? aborted() : reason;
    return signal;
  }

  static timeout(milliseconds: number): AbortSignal {
    requireArguments(arguments.length, 1, "AbortSignal.timeout");
    const delay = +milliseconds;
    if (!Number.isFinite(delay) || delay < 0 || delay > Number.MAX_SAFE_INTEGER) {
      throw new RangeError("AbortSignal.timeout takes a number of milliseconds from 0 to 2 ** 53 - 1");
    }
    const signal = make();
    const timers = globalThis as unknown as { setTimeout(run: () => void, delay: number): unknown };
    const wait = (left: number): void => {
      const part = Math.min(left, LONGEST_DELAY);
      timers.setTimeout(() => {
        if (left > part) wait(left - part);
        else abort(signal, new DOMException("The operation was aborted due to timeout", "TimeoutError"));
      }, part);
    };
    wait(Math.trunc(delay));
    return signal;
  }

  static any(signals: Iterable<AbortSignal>): AbortSignal {
    requireArguments(arguments.length, 1, "AbortSignal.any");
    if (typeof signals !== "object" || signals === null) throw new TypeError("AbortSignal.any takes a sequence");
    const given = [...signals];
    if (!given.every(isSignal)) throw new TypeError("AbortSignal.any takes a sequence of AbortSignals");
    const result = make();
    const state = stateOf(result);
    const early = given.find((signal) => stateOf(signal).isAborted);
    if (early !== undefined) {
      state.isAborted = true;
      state.reason = stateOf(early).reason;
      return result;
    }
    state.sources = new Set(given.flatMap((signal) => [...(stateOf(signal).sources ?? [signal])]));
    state.self = new KernelWeakRef(result);
    for (const source of state.sources) stateOf(source).dependents.add(state.self);
    lost.register(result, { self: state.self, lists: [...state.sources].map((source) => stateOf(source).dependents) });
    return result;
  }

  get aborted(): boolean {
    return this.#state.isAborted;
  }

  get reason(): unknown {
    return this.#state.reason;
  }

  throwIfAborted(): void {
    if (this.#state.isAborted) throw this.#state.reason;
  }

  get onabort(): unknown {
    return this.#state.handler;
  }

  set onabort(value: unknown) {
    const state = this.#state;
    const handler = typeof value === "function" ? (value as State["handler"]) : null;
    if (handler === null) {
      if (state.listener !== null) this.removeEventListener("abort", state.listener);
    } else if (state.handler === null) {
      // It keeps the place among the listeners that it has now until it is taken away.
      state.listener ??= (event) => state.handler?.call(this, event);
      this.addEventListener("abort", state.listener);
    }
    state.handler = handler;
  }
}

asInterface(AbortSignal, "AbortSignal");

class AbortController {
  readonly #signal = make();

  get signal(): AbortSignal {
    return this.#signal;
  }

  abort(reason: unknown = undefined): void {
    abort(this.#signal, reason === undefined ? aborted() : reason);
  }
}

asInterface(AbortController, "AbortController");

/** Where a signal is known that may be lost. Not its sources: they may have it, and it would never be lost then. */
interface Known {
  readonly self: WeakRef<AbortSignal>;
  readonly lists: readonly Set<WeakRef<AbortSignal>>[];
}

/** Its sources need not know it any more. */
const lost = new KernelFinalizationRegistry(({ self, lists }: Known) => {
  for (const list of lists) list.delete(self);
});

/** Somebody waits for a signal, or nobody does any more. */
function awaitSignal(signal: AbortSignal, isAwaited: boolean): void {
  const { sources, algorithms } = stateOf(signal);
  for (const source of sources ?? []) {
    const { awaited } = stateOf(source);
    if (isAwaited || algorithms.size > 0) awaited.add(signal);
    else awaited.delete(signal);
  }
}

function make(): AbortSignal {
  return Reflect.construct(AbortSignal, [BY_PLATFORM]) as AbortSignal;
}

function aborted(): DOMException {
  return new DOMException("This operation was aborted", "AbortError");
}

/** All that depend on it have aborted before the first listener hears of it. */
function abort(signal: AbortSignal, reason: unknown): void {
  if (stateOf(signal).isAborted) return;
  const dependents = [...stateOf(signal).dependents].map((it) => it.deref()).filter((it) => it !== undefined);
  const signals = [signal, ...dependents].filter((it) => !stateOf(it).isAborted);
  for (const it of signals) {
    const state = stateOf(it);
    state.isAborted = true;
    state.reason = reason;
    for (const source of state.sources ?? []) {
      stateOf(source).awaited.delete(it);
      if (state.self !== null) stateOf(source).dependents.delete(state.self);
    }
    state.sources = null;
  }
  for (const it of signals) {
    const { algorithms } = stateOf(it);
    const all = [...algorithms];
    algorithms.clear();
    for (const run of all) run();
    fire(it, "abort");
  }
}

connectSignals(isSignal, {
  listens(signal, isListening) {
    awaitSignal(signal as AbortSignal, isListening);
  },
  onAbort(signal, algorithm, isListening) {
    const { algorithms } = stateOf(signal as AbortSignal);
    algorithms.add(algorithm);
    awaitSignal(signal as AbortSignal, true);
    return () => {
      if (algorithms.delete(algorithm)) awaitSignal(signal as AbortSignal, isListening());
    };
  },
});

export { AbortController, AbortSignal };
