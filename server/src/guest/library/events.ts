/** `Event`, `CustomEvent` and `EventTarget` of the DOM standard, for a world without trees; and `reportError`. */
import { AT_TARGET, CustomEvent, dispatchOf, Event } from "../event.js";
import { asInterface, requireArguments } from "../webidl.js";
import { DOMException } from "./dom-exception.js";

type Callback = ((event: Event) => unknown) | { handleEvent(event: Event): unknown };

interface Listener {
  readonly type: string;
  readonly callback: Callback;
  readonly capture: boolean;
  readonly once: boolean;
  readonly passive: boolean;
  isRemoved: boolean;
  /** Has the signal that it was added with forget it; undefined for one without. */
  forget: (() => void) | undefined;
}

let listenersOf: (target: EventTarget) => Listener[];

class EventTarget {
  #listeners: Listener[] = [];

  static {
    listenersOf = (target) => target.#listeners;
  }

  addEventListener(type: string, callback: unknown, options: unknown = undefined): void {
    requireArguments(arguments.length, 2, "addEventListener");
    const listeners = this.#listeners;
    const isBag = typeof options === "object" && options !== null;
    const bag = isBag ? (options as Record<string, unknown>) : {};
    const name = `${type}`;
    const capture = isBag ? !!bag.capture : !!options;
    const signal = bag.signal as (EventTarget & { readonly aborted: boolean }) | undefined;
    if (signal !== undefined && !isSignal(signal)) throw new TypeError("signal must be an AbortSignal");
    checkCallback(callback);
    if (callback === null || callback === undefined || signal?.aborted === true) return;
    if (find(listeners, name, callback, capture) !== undefined) return;
    const { once, passive } = bag;
    const listener: Listener = {
      type: name,
      callback: callback as Callback,
      capture,
      once: !!once,
      passive: !!passive,
      isRemoved: false,
      forget: undefined,
    };
    listeners.push(listener);
    if (isSignal(this)) signals.listens(this, hasAbortListener(this));
    if (signal === undefined) return;
    const removed = (): void => remove(this, listener);
    listener.forget = signals.onAbort(signal, removed, () => hasAbortListener(signal));
  }

  removeEventListener(type: string, callback: unknown, options: unknown = undefined): void {
    requireArguments(arguments.length, 2, "removeEventListener");
    const listeners = this.#listeners;
    const isBag = typeof options === "object" && options !== null;
    const capture = isBag ? !!(options as Record<string, unknown>).capture : !!options;
    const listener = find(listeners, `${type}`, callback, capture);
    if (listener !== undefined) remove(this, listener);
  }

  dispatchEvent(event: Event): boolean {
    requireArguments(arguments.length, 1, "dispatchEvent");
    void this.#listeners;
    if (typeof event !== "object" || event === null) throw new TypeError("dispatchEvent takes an Event");
    const dispatch = dispatchOf(event);
    if (dispatch.isDispatched) throw new DOMException("The event is already being dispatched", "InvalidStateError");
    dispatch.isTrusted = false;
    return deliver(this, event);
  }
}

asInterface(EventTarget, "EventTarget");

function checkCallback(callback: unknown): void {
  if (callback === null || callback === undefined || typeof callback === "function" || typeof callback === "object")
    return;
  throw new TypeError("a listener must be a function or an object");
}

function find(listeners: Listener[], type: string, callback: unknown, capture: boolean): Listener | undefined {
  return listeners.find((it) => it.type === type && it.callback === callback && it.capture === capture);
}

function remove(target: EventTarget, listener: Listener): void {
  const listeners = listenersOf(target);
  listener.isRemoved = true;
  const at = listeners.indexOf(listener);
  if (at >= 0) listeners.splice(at, 1);
  listener.forget?.();
  if (isSignal(target)) signals.listens(target, hasAbortListener(target));
}

function hasAbortListener(target: EventTarget): boolean {
  return listenersOf(target).some(({ type }) => type === "abort");
}

/** Capturing listeners first, as the standard has it for the target too. @returns false where one prevented the default */
function deliver(target: EventTarget, event: Event): boolean {
  const dispatch = dispatchOf(event);
  dispatch.isDispatched = true;
  dispatch.target = dispatch.currentTarget = target;
  dispatch.phase = AT_TARGET;
  const listeners = listenersOf(target);
  for (const capture of [true, false]) {
    if (dispatch.isStopped) break;
    for (const listener of [...listeners]) {
      if (listener.type !== event.type || listener.capture !== capture || listener.isRemoved) continue;
      if (listener.once) remove(target, listener);
      dispatch.isPassive = listener.passive;
      invoke(listener.callback, target, event);
      dispatch.isPassive = false;
      if (dispatch.isStoppedAtOnce) break;
    }
  }
  dispatch.isDispatched = dispatch.isStopped = dispatch.isStoppedAtOnce = false;
  dispatch.currentTarget = null;
  dispatch.phase = 0;
  return !dispatch.isCanceled;
}

function invoke(callback: Callback, target: EventTarget, event: Event): void {
  try {
    if (typeof callback === "function") {
      Reflect.apply(callback, target, [event]);
      return;
    }
    const { handleEvent } = callback;
    if (typeof handleEvent !== "function") throw new TypeError("a listener's handleEvent is not a function");
    Reflect.apply(handleEvent, callback, [event]);
  } catch (error) {
    report(error);
  }
}

/** As a rejection that nobody handles: whoever is told of those is told of this. */
function report(error: unknown): void {
  void (async () => {
    throw error;
  })();
}

const { reportError } = {
  reportError(error: unknown): void {
    requireArguments(arguments.length, 1, "reportError");
    report(error);
  },
};

/** Sends an event of the platform's own, which guest code can tell from its own. */
export function fire(target: EventTarget, type: string): void {
  const event = new Event(type);
  dispatchOf(event).isTrusted = true;
  deliver(target, event);
}

let isSignal: (value: unknown) => boolean = () => false;

/** What events ask of signals. */
interface Signals {
  /** Listeners of a signal were added or removed. */
  listens(signal: EventTarget, isListening: boolean): void;
  /** @returns what takes the algorithm back */
  onAbort(signal: EventTarget, algorithm: () => void, isListening: () => boolean): () => void;
}

let signals: Signals;

/** Tells this file what an `AbortSignal` is: it is made of what stands here. */
export function connectSignals(is: typeof isSignal, by: Signals): void {
  isSignal = is;
  signals = by;
}

export { CustomEvent, Event, EventTarget, reportError };
