/** When the session began to run: what `performance` and events count from. */
import { dateNow } from "./intrinsics.js";

let origin = 0;

/** Called when the session is given entropy; only the first time counts, so it stays through forks and restores. */
export function beginTime(): void {
  if (origin === 0) origin = dateNow();
}

/** Milliseconds since 1970. */
export function timeOrigin(): number {
  return origin;
}
