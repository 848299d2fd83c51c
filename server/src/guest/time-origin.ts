/** When the session began to run: what `performance` and events count from. */
import { dateNow } from "./intrinsics.js";

let origin = 0;

/** Milliseconds since 1970. It is what it was when this was first called, in the first turn, and stays through forks and restores. */
export function timeOrigin(): number {
  if (origin === 0) origin = dateNow();
  return origin;
}
