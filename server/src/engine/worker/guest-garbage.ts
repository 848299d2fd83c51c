/**
 * When the garbage of a session is collected. The engine hardly ever does so by itself: it counts sizes that this build does not
 * report. So a heap that has grown by a part of what it was is collected, and what it may grow to is put down in the session: that
 * holds whichever worker runs it, and however long it rested.
 */
import { Cell, HEAP_START, type Layout } from "./layout.js";

/** By how much of its size a heap grows before it is collected, in bytes at least and at most: it rises and sinks with all that waits. */
const GROWTH = { part: 1 / 8, least: 64 << 10, most: 1 << 20 };

type Places = Pick<Layout, "cells" | "gcThresholdWord" | "heapTopWord">;

/** The heap is as a session begins with it. */
export function beginCounting(words: Int32Array, layout: Places): void {
  words[cellOf(layout)] = grown(topOf(words, layout));
}

/** After a turn: a heap that has grown by much is collected at the next allocation. */
export function collectIfGrown(words: Int32Array, layout: Places): void {
  const cell = cellOf(layout);
  const top = topOf(words, layout);
  const bound = (words[cell] ?? 0) >>> 0;
  const isDue = top > bound;
  if (isDue) words[layout.gcThresholdWord >> 2] = 0;
  words[cell] = isDue ? grown(top) : Math.min(bound, grown(top));
}

function cellOf({ cells }: Places): number {
  return (cells >> 2) + Cell.COLLECT_ABOVE;
}

function topOf(words: Int32Array, { heapTopWord }: Places): number {
  return (words[heapTopWord >> 2] ?? 0) >>> 0;
}

function grown(top: number): number {
  return top + Math.min(GROWTH.most, Math.max(GROWTH.least, (top - HEAP_START) * GROWTH.part));
}
