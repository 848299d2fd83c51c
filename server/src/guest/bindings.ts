/** What only libraries do with contexts and their bindings. In the kernel each session would carry it. */
import { type Binding, Context, currentContext, enterContext } from "./contexts.js";
import { makeContext } from "./make-context.js";

/** Runs a function with other bindings, for the execution that runs anyway. */
export function runWith<T>(bindings: Binding | undefined, run: () => T): T {
  const before = currentContext();
  enterContext(makeContext(Context.executionOf(before), bindings));
  try {
    return run();
  } finally {
    enterContext(before);
  }
}

/** The list with this value under the key instead of what it had there. */
export function bind(bindings: Binding | undefined, key: object, value: unknown): Binding {
  return { key, value, next: without(bindings, key) };
}

function without(bindings: Binding | undefined, key: object): Binding | undefined {
  if (findBinding(bindings, key) === undefined) return bindings;
  const { next } = bindings as Binding;
  return bindings?.key === key ? next : { ...(bindings as Binding), next: without(next, key) };
}

export function findBinding(bindings: Binding | undefined, key: object): Binding | undefined {
  let at = bindings;
  while (at !== undefined && at.key !== key) at = at.next;
  return at;
}

/** The number of the execution that runs; 0 when what runs has none, or one that has its outcome. */
export function runningExecution(): number {
  const execution = Context.executionOf(currentContext());
  return execution?.isOpen === true ? execution.number : 0;
}
