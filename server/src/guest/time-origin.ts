/** When the session began to run: what `performance` and events count from. */
import { dispatch } from "./host.js";

/** What the dispatcher is asked; library files ask by host-asks.ts, of which the kernel carries nothing. */
const CLOCK = 21;

let origin = 0;

/**
 * Milliseconds since 1970, with their fractions, of the clock that is never set: what lasts is measured by that. It is what it was when
 * this was first called, in the first turn, and stays through forks and restores.
 */
export function timeOrigin(): number {
  if (origin === 0) origin = dispatch(CLOCK, undefined) as number;
  return origin;
}
