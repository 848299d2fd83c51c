/**
 * When the garbage of a session is collected. The engine hardly ever does so by itself: it counts sizes that this build does not
 * report. So a heap that has grown is collected, and what it may grow to until then is put down in the session: that holds whichever
 * worker runs it, and however long it rested.
 */
import { Cell, type Layout } from "./layout.js";

/** By how much a heap may grow uncollected, in bytes: it rises and sinks by less with all that waits for hosts, timers and each other. */
const GROWTH = 64 << 10;
/** A session that can have no more than so much, in bytes, is collected whenever it holds more: the next turn may need all of that. */
const SCARCE = 2 << 20;

type Places = Pick<Layout, "cells" | "gcThresholdWord" | "heapTopWord">;

/** The heap is as a session begins with it. */
export function beginCounting(words: Int32Array, layout: Places): void {
  words[cellOf(layout)] = boundOf(words, layout, Number.POSITIVE_INFINITY);
}

/**
 * After a turn: a heap that has grown by much is collected at the next allocation.
 *
 * @param maximumBytes what the memory may grow to
 */
export function collectIfGrown(words: Int32Array, layout: Places, maximumBytes: number): void {
  const cell = cellOf(layout);
  const known = (words[cell] ?? 0) >>> 0;
  const isDue = topOf(words, layout) > known;
  if (isDue) collect(words, layout);
  const bound = boundOf(words, layout, maximumBytes);
  words[cell] = isDue ? bound : Math.min(known, bound);
}

/** The heap is collected at the next allocation. */
export function collect(words: Int32Array, { gcThresholdWord }: Places): void {
  words[gcThresholdWord >> 2] = 0;
}

function cellOf({ cells }: Places): number {
  return (cells >> 2) + Cell.COLLECT_ABOVE;
}

function topOf(words: Int32Array, { heapTopWord }: Places): number {
  return (words[heapTopWord >> 2] ?? 0) >>> 0;
}

function boundOf(words: Int32Array, layout: Places, maximumBytes: number): number {
  const top = topOf(words, layout);
  return maximumBytes - top < SCARCE ? top : top + GROWTH;
}
