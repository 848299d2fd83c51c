/** What is to be called when a signal is aborted. Many calls may share a signal, and Node warns of one that has more than ten listeners. */
const listenersOf = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back when the signal is aborted.
 *
 * @param listener added once at a time; must not throw
 * @returns takes it back
 */
export function whenAborted(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return nothing;
  const listeners = listenersOf.get(signal) ?? listenTo(signal);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    // A signal made of others is kept by Node as long as somebody listens to it.
    if (listeners.size === 0) stopListeningTo(signal);
  };
}

const nothing = (): void => undefined;

const callAll = ({ target }: Event): void => {
  for (const listener of listenersOf.get(target as AbortSignal) ?? []) listener();
};

function listenTo(signal: AbortSignal): Set<() => void> {
  const listeners = new Set<() => void>();
  listenersOf.set(signal, listeners);
  signal.addEventListener("abort", callAll);
  return listeners;
}

function stopListeningTo(signal: AbortSignal): void {
  listenersOf.delete(signal);
  signal.removeEventListener("abort", callAll);
}
