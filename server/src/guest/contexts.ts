/**
 * What runs at this moment, and for whom. Guest code always runs in a context: that of the execution whose input the turn is,
 * of the timer that fell due, or the root's, which nobody owns.
 */
import type { Execution } from "./executions.js";
import { setContextOwner, setCurrentExecution } from "./host.js";

export interface Context {
  /** The execution that this runs for; undefined for the root. */
  readonly execution: Execution | undefined;
}

/** What code runs in that no execution owns. */
export const rootContext: Context = { execution: undefined };

let current = rootContext;

export function currentContext(): Context {
  return current;
}

/** What runs from now on runs in this context. The host can tell, even of a worker that it had to kill. */
export function enterContext(context: Context): void {
  current = context;
  setCurrentExecution(runningExecution());
  setContextOwner(context.execution?.number ?? 0);
}

/** The number of the execution that runs; 0 when what runs has none, or one that has its outcome. */
export function runningExecution(): number {
  const { execution } = current;
  return execution?.isOpen === true ? execution.number : 0;
}
