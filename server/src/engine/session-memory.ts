/**
 * The memories that sessions live in: made from the base image, and recycled.
 *
 * Dropped memories come back only when every thread that ever held them collects garbage, which nobody does on his own;
 * so a memory that did not grow is cleared and used again.
 */
import { randomFillSync } from "node:crypto";
import type { HeapSum } from "./worker/heap-sum.js";
import {
  type BaseImage,
  Cell,
  HEAP_RANGE_START,
  HEAP_START,
  heapRangeEnd,
  pagesOf,
  STATIC_END,
} from "./worker/layout.js";
import { INITIAL_PAGES, MAXIMUM_PAGES } from "./worker/wasm-module.js";

/** An opaque handle to one session's memory. Made by `SessionMemories.create`, given back by `release`. */
export class SessionMemory {
  /** Names this incarnation; a new one is drawn whenever the session moves into another memory. */
  key: number;
  memory: WebAssembly.Memory;
  /** Maximum of the memory, in pages of 64 KiB. */
  readonly maximumPages: number;
  /** Groups of turns posted so far: a checkpoint that a worker kept holds for the next one only. */
  posted = 0;
  /** Heap in use after the last turn, in bytes. */
  heapBytes = 0;
  /** Handles the session holds after the last turn. */
  handles = 0;
  /** Index of the worker that ran this session last; it holds a warm instance. */
  lastWorker = -1;
  /** Pages of its memory that the sum of all heaps has of it. */
  notedPages = 0;
  /** It was given back. */
  isReleased = false;

  constructor(key: number, memory: WebAssembly.Memory, maximumPages: number) {
    this.key = key;
    this.memory = memory;
    this.maximumPages = maximumPages;
  }
}

/** Static data and stack: what is neither resident nor the guest's does not count as heap. */
const PAGES_WITHOUT_HEAP = Math.floor(HEAP_START / 65536);
const KEPT_FOR_REUSE = 64;
/** More than the engine's own stack limit lets guest code reach, with room for the C frames above it. */
const STACK_CLEARED = 320 * 1024;
const SEED_WORDS = 8;
const KEY_WORDS = 8;
/** Each memory reserves 10 GiB of address space, and what grew may be large. */
const COLLECT_AFTER = { count: 200, bytes: 256 << 20 };
/** What is not worth the pause when it is given up, and too much to be kept for good. */
const COLLECT_WHEN_QUIET = { count: 20, bytes: 16 << 20 };

/** Pages of 64 KiB that a heap of this many bytes needs, code and stack included. */
function pagesFor(heapBytes: number): number {
  return Math.min(MAXIMUM_PAGES, Math.max(INITIAL_PAGES, Math.ceil((HEAP_START + heapBytes) / 65536)));
}

export class SessionMemories {
  readonly #base: BaseImage;
  readonly #heaps: HeapSum;
  /** Those to be used again, oldest first. */
  readonly #free: { readonly memory: WebAssembly.Memory; readonly maximumPages: number }[] = [];
  readonly #entropy = new Int32Array(SEED_WORDS + KEY_WORDS);
  #nextKey = 1;
  /** Memories given up since the last collection, and their bytes; all stay resident until the collectors find them. */
  #dropped = { count: 0, bytes: 0 };

  /** @param heaps counts what the memories hold together */
  constructor(base: BaseImage, heaps: HeapSum) {
    this.#base = base;
    this.#heaps = heaps;
  }

  /** True when there is room for one more session beside all others. */
  get hasRoom(): boolean {
    return this.#heaps.hasRoom(INITIAL_PAGES - PAGES_WITHOUT_HEAP);
  }

  /** Takes note of how large a session is now. No turn of it may run. */
  note(session: SessionMemory): void {
    if (session.isReleased) return;
    this.#noteAs(session, pagesOf(session.memory) - PAGES_WITHOUT_HEAP);
  }

  #noteAs(session: SessionMemory, pages: number): void {
    this.#heaps.note(pages - session.notedPages);
    session.notedPages = pages;
  }

  /** @param memoryBytes the most the session's heap may grow to */
  create(memoryBytes: number): SessionMemory {
    const maximumPages = pagesFor(memoryBytes);
    const memory =
      this.#takeFree(maximumPages) ??
      new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: maximumPages, shared: true });
    const bytes = new Uint8Array(memory.buffer);
    for (const [address, run] of this.#base.runs) bytes.set(run, address);
    this.seed(memory);
    const session = new SessionMemory(this.#nextKey++, memory, maximumPages);
    session.heapBytes = heapRangeEnd(new Int32Array(memory.buffer), this.#base.layout) - HEAP_START;
    this.note(session);
    return session;
  }

  #takeFree(maximumPages: number): WebAssembly.Memory | undefined {
    const index = this.#free.findLastIndex((free) => free.maximumPages === maximumPages);
    return index < 0 ? undefined : this.#free.splice(index, 1)[0]?.memory;
  }

  /** The session moved: instances over the old memory must not be used again. */
  move(session: SessionMemory, memory: WebAssembly.Memory): void {
    this.#drop(session.memory);
    session.memory = memory;
    session.key = this.#nextKey++;
    this.note(session);
  }

  /** No turn of the session may run any more. */
  release(session: SessionMemory): void {
    const { memory, maximumPages } = session;
    this.#noteAs(session, 0);
    session.isReleased = true;
    if (memory.buffer.byteLength > INITIAL_PAGES * 65536) return this.#drop(memory);
    const bytes = new Uint8Array(memory.buffer);
    bytes.fill(0, HEAP_RANGE_START, heapRangeEnd(new Int32Array(memory.buffer), this.#base.layout));
    bytes.fill(0, HEAP_START - STACK_CLEARED, HEAP_START);
    bytes.fill(0, 0, STATIC_END);
    this.#free.push({ memory, maximumPages });
    // Of all sizes together: whoever asks for ever other sizes must not fill the address space.
    const oldest = this.#free.length > KEPT_FOR_REUSE ? this.#free.shift() : undefined;
    if (oldest !== undefined) this.#drop(oldest.memory);
  }

  /**
   * True when enough was given up to be worth a collection; the count then begins anew.
   *
   * @param isQuiet there is time for it: less is enough
   */
  isCollectionDue(isQuiet: boolean): boolean {
    const { count, bytes } = this.#dropped;
    const after = isQuiet ? COLLECT_WHEN_QUIET : COLLECT_AFTER;
    if (count < after.count && bytes < after.bytes) return false;
    this.#dropped = { count: 0, bytes: 0 };
    return true;
  }

  #drop(memory: WebAssembly.Memory): void {
    this.#dropped.count++;
    this.#dropped.bytes += memory.buffer.byteLength;
  }

  /** Gives a session entropy of its own, also when it was put back: ids that it drew meanwhile are known outside. */
  seed(memory: WebAssembly.Memory): void {
    randomFillSync(this.#entropy);
    const cells = this.#base.layout.cells >> 2;
    const words = new Int32Array(memory.buffer);
    words.set(this.#entropy.subarray(0, SEED_WORDS), cells + Cell.SEED);
    words.set(this.#entropy.subarray(SEED_WORDS), cells + Cell.KEY);
    words[cells + Cell.SEED_GENERATION] = ((words[cells + Cell.SEED_GENERATION] ?? 0) + 1) | 0;
  }
}
