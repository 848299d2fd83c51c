/** A session's memory set aside, to be put back later, or to make further sessions of. */
import { setImmediate as nextTick } from "node:timers/promises";
import type { SessionMemory } from "./session-memory.js";
import {
  type CheckpointExtent,
  createCheckpointBuffer,
  memoryFor,
  restoreCheckpoint,
  takeCheckpoint,
} from "./worker/checkpoint.js";
import { clear } from "./worker/clear.js";
import { collect } from "./worker/guest-garbage.js";
import {
  CELL_COUNT,
  Cell,
  HEAP_RANGE_START,
  HEAP_START,
  heapRangeEnd,
  KEY_WORDS,
  type Layout,
  SEED_WORDS,
  STATIC_END,
} from "./worker/layout.js";

/** What is copied at once: a page that is touched for the first time costs most, about 2 ms for all of these. */
const SLICE_BYTES = 4 << 20;

/** Static data and the heap in use; opaque to whoever keeps it, and never changed. */
export interface SessionImage {
  /** Grows no more; static data first, then the heap. */
  readonly pages: SharedArrayBuffer;
  readonly extent: CheckpointExtent;
  /** Heap in use, in bytes. */
  readonly heapBytes: number;
  /** Handles that the session holds. */
  readonly handles: number;
}

/** No turn of the session may be on its way. */
export function saveImage(session: SessionMemory, layout: Layout): SessionImage {
  const pages = createCheckpointBuffer(session.memory.buffer.byteLength);
  const extent = takeCheckpoint(session.memory, layout, pages);
  return { pages, extent, heapBytes: session.heapBytes, handles: session.handles };
}

/**
 * No turn of the session may be on its way.
 *
 * @returns the memory that holds the session now
 */
export function restoreImage(session: SessionMemory, image: SessionImage, layout: Layout): WebAssembly.Memory {
  note(session, image);
  const memory = restoreCheckpoint(session.memory, image.pages, image.extent, layout, session.maximumPages);
  // What it is put back from may have lacked memory, for garbage that is there again.
  collect(new Int32Array(memory.buffer), layout);
  return memory;
}

/** As `restoreImage`, and others have their turns on this thread while it is at a large heap. */
export async function putImageBack(
  session: SessionMemory,
  image: SessionImage,
  layout: Layout,
): Promise<WebAssembly.Memory> {
  note(session, image);
  return putPagesBack(session, image, layout);
}

/**
 * As `restoreCheckpoint`, and others have their turns on this thread while it is at a large heap.
 *
 * @returns the memory that holds the session now
 */
export async function putPagesBack(
  { memory, maximumPages }: SessionMemory,
  { pages, extent }: Pick<SessionImage, "pages" | "extent">,
  layout: Layout,
): Promise<WebAssembly.Memory> {
  const target = memoryFor(memory, extent, maximumPages);
  if (target === memory) await clearBeyond(extent.heapEnd, memory, layout);
  await placePages(partsOf(pages, extent), target);
  return target;
}

function note(session: SessionMemory, { heapBytes, handles }: SessionImage): void {
  // A checkpoint that a worker took after its last turn is one of pages that are gone.
  session.posted++;
  session.heapBytes = heapBytes;
  session.handles = handles;
}

/** What a session consists of, wherever it lies. */
export interface SessionPages extends Pick<SessionImage, "extent" | "heapBytes" | "handles"> {
  readonly statics: Uint8Array;
  readonly heap: Uint8Array;
}

/** What a heap has grown to, in bytes: it is as large for the quotas, and in every copy, also when less of it is in use. */
export function grownBytes(source: SessionImage | SessionMemory): number {
  return ("pages" in source ? source.extent.memoryBytes : source.memory.buffer.byteLength) - HEAP_START;
}

/** The pages of an image, or of a session of which no turn may be on its way as long as they are used. */
export function pagesOf(source: SessionImage | SessionMemory, layout: Layout): SessionPages {
  const { heapBytes, handles } = source;
  if ("pages" in source) {
    const { pages, extent } = source;
    return { ...partsOf(pages, extent), extent, heapBytes, handles };
  }
  const { buffer } = source.memory;
  const heapEnd = heapRangeEnd(new Int32Array(buffer), layout);
  const heap = new Uint8Array(buffer, HEAP_RANGE_START, heapEnd - HEAP_RANGE_START);
  const extent = { heapEnd, memoryBytes: buffer.byteLength };
  return { statics: new Uint8Array(buffer, 0, STATIC_END), heap, extent, heapBytes, handles };
}

function partsOf(pages: SharedArrayBuffer, { heapEnd }: CheckpointExtent): Pick<SessionPages, "statics" | "heap"> {
  return {
    statics: new Uint8Array(pages, 0, STATIC_END),
    heap: new Uint8Array(pages, STATIC_END, heapEnd - HEAP_RANGE_START),
  };
}

/** Writes pages into a memory that is large enough, and zero beyond them. Others have their turns on this thread while it is at a large heap. */
export async function placePages(
  { statics, heap }: Pick<SessionPages, "statics" | "heap">,
  memory: WebAssembly.Memory,
): Promise<void> {
  const target = new Uint8Array(memory.buffer);
  target.set(statics);
  await copyInSlices(heap, target.subarray(HEAP_RANGE_START));
}

/**
 * As `saveImage`, and others have their turns on this thread while it is at a large heap. Without the session's entropy, of which
 * nobody who is made of the image is to draw.
 */
export async function copyImage(session: SessionMemory, layout: Layout): Promise<SessionImage> {
  const { statics, heap, extent, heapBytes, handles } = pagesOf(session, layout);
  const pages = new SharedArrayBuffer(STATIC_END + heap.length);
  new Uint8Array(pages).set(statics);
  await copyInSlices(heap, new Uint8Array(pages, STATIC_END));
  const cells = new Int32Array(pages, STATIC_END + layout.cells - HEAP_RANGE_START, CELL_COUNT);
  cells.fill(0, Cell.SEED, Cell.SEED + SEED_WORDS);
  cells.fill(0, Cell.KEY, Cell.KEY + KEY_WORDS);
  return { pages, extent, heapBytes, handles };
}

async function clearBeyond(start: number, { buffer }: WebAssembly.Memory, layout: Layout): Promise<void> {
  const end = heapRangeEnd(new Int32Array(buffer), layout);
  for (let at = start; at < end; at += SLICE_BYTES) {
    if (at > start) await nextTick();
    clear(buffer, at, Math.min(at + SLICE_BYTES, end));
  }
}

async function copyInSlices(source: Uint8Array, target: Uint8Array): Promise<void> {
  for (let at = 0; at < source.length; at += SLICE_BYTES) {
    if (at > 0) await nextTick();
    target.set(source.subarray(at, at + SLICE_BYTES), at);
  }
}
