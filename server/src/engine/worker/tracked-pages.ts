/**
 * The table of pages that were written to, in the memory of a session whose instance tracks its stores (tracked-stores.ts): a byte
 * for each page of 4 KiB, in the order of their addresses, 1 where it was written to since the table was last cleared.
 *
 * A store counts for the page of its first byte, and may reach up to seven bytes into the next.
 *
 * Only who runs the session's turns may write to the table.
 */
import { PAGE_BYTES, STATIC_END } from "./layout.js";

/**
 * Where the table lies: at the very end of the C stack, so that what comes down to it, if anything ever does, runs over the static data
 * next, with or without it. No session takes it along.
 */
export const TRACKED_PAGES = STATIC_END;
/** Of an address, to the number of its page. */
export const PAGE_SHIFT = 12;
/** How far a store reaches beyond its first byte at most. */
const REACH = 7;

/** Somebody else than the engine wrote to these bytes. */
export function markPages(memory: Uint8Array, address: number, length: number): void {
  if (length === 0) return;
  memory.fill(1, TRACKED_PAGES + (address >>> PAGE_SHIFT), TRACKED_PAGES + ((address + length - 1) >>> PAGE_SHIFT) + 1);
}

/** From now on only what is written to later counts. @param end of the pages that are asked for */
export function clearPages(memory: Uint8Array, start: number, end: number): void {
  memory.fill(0, TRACKED_PAGES + (start >>> PAGE_SHIFT), TRACKED_PAGES + Math.ceil(end / PAGE_BYTES));
}

/**
 * Finds what was written to, in runs.
 *
 * @param start a multiple of the page's size, as is `end`
 * @param run takes begin and end of bytes that may have changed; none beyond `end`
 */
export function forWrittenPages(
  memory: Uint8Array,
  start: number,
  end: number,
  run: (from: number, to: number) => void,
): void {
  const first = start / PAGE_BYTES;
  const table = memory.subarray(TRACKED_PAGES + first, TRACKED_PAGES + end / PAGE_BYTES);
  for (let from = table.indexOf(1); from >= 0; ) {
    let to = from + 1;
    while (table[to] === 1) to++;
    run((first + from) * PAGE_BYTES, Math.min((first + to) * PAGE_BYTES + REACH, end));
    from = table.indexOf(1, to);
  }
}
