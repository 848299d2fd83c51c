/** How far the times of sessions that are made at one moment run ahead of the clock, in milliseconds. */
const AHEAD = 100;

let last = 0;

/**
 * When a session is made, in milliseconds since the epoch: later than the one before, as lists have them in the order they were made.
 * Of more than a hundred in a millisecond some share their time, which is not to leave the clock behind.
 */
export function creationTime(now = Date.now()): number {
  last = Math.max(now, Math.min(last + 1, now + AHEAD));
  return last;
}
