/**
 * The machine's clock, which may be set while the server runs. What lasts is counted by `clock()`, which goes on evenly; a time that is
 * kept by the machine's is moved by as much as that was set.
 */
import { clock } from "../engine/engine.js";

/** By so much the two may differ without one having been set, in milliseconds. */
const DRIFT = 100;

/** Milliseconds by which the machine's clock, as it is set now, is ahead of `clock()`. */
export function machineAhead(): number {
  return Date.now() - clock();
}

export class MachineClock {
  /** `machineAhead()` when it was asked last how the clock was set. */
  ahead = machineAhead();

  /** Milliseconds by which it was put forward since then; below zero: set back; 0: not by more than a little. */
  takeJump(): number {
    const ahead = machineAhead();
    const jump = Math.round(ahead - this.ahead);
    if (Math.abs(jump) < DRIFT) return 0;
    this.ahead = ahead;
    return jump;
  }
}
