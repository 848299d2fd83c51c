/** The timers of the session, which are a library: most sessions never start one. */
import type { Execution } from "./executions.js";
import { loadedLibrary } from "./libraries.js";

type Timers = typeof import("./library/timers.js");

function timers(): Timers | undefined {
  return loadedLibrary("timers") as Timers | undefined;
}

/** Calls the function of the timer that is due longest; nothing where none is due yet. */
export function fireTimer(): void {
  timers()?.fireTimer();
}

/** Takes the timer away that is due next: its turn could not be run. */
export function dropTimer(): void {
  timers()?.dropTimer();
}

/** Takes away what an execution left that is not to run any more. */
export function dropTimersOf(execution: Execution): void {
  timers()?.dropTimersOf(execution);
}

/** Milliseconds until the next timer is due; -1 where there is none. */
export function untilNextTimer(): number {
  return timers()?.untilNextTimer() ?? -1;
}
