/** When the session began to run: what `performance` and events count from. */
import { CLOCK, dispatch } from "./host.js";

let origin = 0;

/**
 * Milliseconds since 1970, with their fractions, of the clock that is never set: what lasts is measured by that. It is what it was when
 * this was first called, in the first turn, and stays through forks and restores.
 */
export function timeOrigin(): number {
  // As `clock` of host-asks.ts does, which is for libraries: each session would carry it.
  if (origin === 0) origin = dispatch(CLOCK, undefined) as number;
  return origin;
}
