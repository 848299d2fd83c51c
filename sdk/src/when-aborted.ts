import { shown } from "./checks.js";

interface Listener {
  readonly call: () => void;
}

/** What is to be called when a signal is aborted. Many calls may share a signal, and Node warns of one that has more than ten listeners. */
const listenersOf = new WeakMap<AbortSignal, Set<Listener>>();

/**
 * Calls back when the signal is aborted.
 *
 * @param call must not throw
 * @returns takes it back
 */
export function whenAborted(signal: AbortSignal | undefined, call: () => void): () => void {
  if (signal === undefined) return nothing;
  const listeners = listenersOf.get(signal) ?? listenTo(signal);
  const listener = { call };
  listeners.add(listener);
  return () => {
    if (!listeners.delete(listener)) return;
    // A signal made of others is kept by Node as long as somebody listens to it.
    if (listeners.size === 0) stopListeningTo(signal);
  };
}

/**
 * For what begins.
 *
 * @throws {TypeError} if it is neither undefined nor a signal
 * @throws the signal's reason if it is aborted
 */
export function assertNotAborted(signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  if (typeof signal?.throwIfAborted !== "function") {
    throw new TypeError(`signal is ${shown(signal)}: give the signal of an AbortController, or leave it out`);
  }
  signal.throwIfAborted();
}

const nothing = (): void => undefined;

const callAll = ({ target }: Event): void => {
  for (const listener of listenersOf.get(target as AbortSignal) ?? []) listener.call();
};

function listenTo(signal: AbortSignal): Set<Listener> {
  const listeners = new Set<Listener>();
  listenersOf.set(signal, listeners);
  signal.addEventListener("abort", callAll);
  return listeners;
}

function stopListeningTo(signal: AbortSignal): void {
  listenersOf.delete(signal);
  signal.removeEventListener("abort", callAll);
}
