/**
 * When callers want their answers by: on the clock that executions are timed by. The machine's may be set meanwhile, and stands elsewhere
 * from then on.
 */
import { clock } from "../engine/engine.js";

/** @param time milliseconds since the epoch, by the machine's clock as it is now; Infinity for none */
export function deadlineAt(time: number): number {
  return clock() + (time - Date.now());
}

export function hasPassed(deadline: number): boolean {
  return deadline <= clock();
}
