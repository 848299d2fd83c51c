/**
 * Garbage that is not to wait until the engine collects it by itself, which it does when the heap has grown by half (heap-bytes.ts):
 * what lies in the way of a turn that needs all the room that is left at once.
 */
import { Cell, type Layout } from "./layout.js";

/** A session that can have no more than so much, in bytes, is collected whenever it holds more. */
const SCARCE = 2 << 20;

/**
 * After a turn: a heap that has grown where there is little room is collected at the next allocation. From where it has grown is put
 * down in the session: that holds whichever worker runs it.
 *
 * @param maximumBytes what the memory may grow to
 */
export function collectIfScarce(words: Int32Array, layout: Layout, maximumBytes: number): void {
  const grownFrom = (layout.cells >> 2) + Cell.GROWN_FROM;
  const top = (words[layout.heapTopWord >> 2] ?? 0) >>> 0;
  const isScarce = maximumBytes - top < SCARCE;
  if (isScarce && top > (words[grownFrom] ?? 0) >>> 0) collect(words, layout);
  words[grownFrom] = isScarce ? top : 0;
}

/** So many bytes came into the heap that the engine does not count, as the host has put them there: it collects as much earlier. */
export function collectEarlier(
  words: Int32Array,
  { gcThresholdWord }: Pick<Layout, "gcThresholdWord">,
  bytes: number,
): void {
  words[gcThresholdWord >> 2] = Math.max(0, ((words[gcThresholdWord >> 2] ?? 0) >>> 0) - bytes);
}

/** The heap is collected at the next allocation. */
export function collect(words: Int32Array, { gcThresholdWord }: Pick<Layout, "gcThresholdWord">): void {
  words[gcThresholdWord >> 2] = 0;
}
