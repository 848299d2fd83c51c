/**
 * Garbage that is not to wait until the engine collects it by itself, which it does when what it counts has grown by half
 * (heap-bytes.ts): what was made in former turns, what the host has put into the heap, which the engine does not count, and what lies in
 * the way of a turn that needs all the room that is left at once.
 */
import { COUNT, HEAP_SUM } from "./heap-bytes.js";
import { Cell, HEAP_START, type Layout } from "./layout.js";

/** By what part of itself a heap may grow from turn to turn uncollected, and by how many bytes if that is more. */
const GROWTH = { part: 16, least: 64 << 10 };
/** Thresholds that every allocation is above; the other one says that a turn has failed for it. */
const DUE = 0;
const DUE_BEFORE = 1;
/** Blocks that are collected in a millisecond where the machine is slow. */
const COLLECTED = 1_000;
/** A session that can have no more than so much, in bytes, is collected whenever it holds more. */
const SCARCE = 2 << 20;

/**
 * After a turn: a heap that has grown is collected at the next allocation. Up to where it may grow is put down in the session: that holds
 * whichever worker runs it, and however long it rested.
 *
 * @param maximumBytes what the memory may grow to
 */
export function collectIfGrown(words: Int32Array, layout: Layout, maximumBytes: number): void {
  const cell = (layout.cells >> 2) + Cell.COLLECT_ABOVE;
  const top = (words[layout.heapTopWord >> 2] ?? 0) >>> 0;
  // A session begins with none.
  const known = (words[cell] ?? 0) >>> 0 || Number.POSITIVE_INFINITY;
  const isDue = top > known;
  if (isDue) collect(words, layout);
  const growth = maximumBytes - top < SCARCE ? 0 : Math.max(GROWTH.least, (top - HEAP_START) / GROWTH.part);
  words[cell] = isDue ? top + growth : Math.min(known, top + growth);
}

/** The heap is collected at the next allocation. */
export function collect(words: Int32Array, { gcThresholdWord }: Pick<Layout, "gcThresholdWord">): void {
  words[gcThresholdWord >> 2] = DUE;
}

/**
 * True when collecting what is due might take what the next turn has, or a turn has failed for it.
 *
 * @param budget milliseconds that the turn has
 */
export function isToBeCollectedBefore(words: Int32Array, layout: Layout, budget: number): boolean {
  const threshold = words[layout.gcThresholdWord >> 2];
  if (threshold !== DUE) return threshold === DUE_BEFORE;
  return (words[(layout.heapSumWord - HEAP_SUM + COUNT) >> 2] ?? 0) >>> 0 > (COLLECTED * budget) / 2;
}

/** A turn was undone that took too long: if it met what was due, the next one is not to meet it. */
export function collectBefore(words: Int32Array, { gcThresholdWord }: Layout): void {
  if (words[gcThresholdWord >> 2] === DUE) words[gcThresholdWord >> 2] = DUE_BEFORE;
}

/** A worker was ended that collected what was due: that waits until the heap has grown by half. */
export function collectLater(words: Int32Array, { cells, gcThresholdWord, heapSumWord, heapTopWord }: Layout): void {
  const threshold = words[gcThresholdWord >> 2];
  if (threshold !== DUE && threshold !== DUE_BEFORE) return;
  const sum = (words[heapSumWord >> 2] ?? 0) >>> 0;
  const top = (words[heapTopWord >> 2] ?? 0) >>> 0;
  words[gcThresholdWord >> 2] = sum + (sum >>> 1);
  words[(cells >> 2) + Cell.COLLECT_ABOVE] = top + ((top - HEAP_START) >>> 1);
}
