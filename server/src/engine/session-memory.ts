/**
 * The memories that sessions live in: made from the base image, and recycled.
 *
 * Dropped memories come back only when every thread that ever held them collects garbage, which nobody does on his own;
 * so a memory that is not large is cleared and used again: for a new session if it did not grow, else for a copy of the same size.
 */
import { pagesOf, placePages, type SessionPages } from "./session-image.js";
import { clear } from "./worker/clear.js";
import { seed } from "./worker/entropy.js";
import type { HeapSum } from "./worker/heap-sum.js";
import { type BaseImage, HEAP_START, heapRangeEnd, pageCount, STATIC_END } from "./worker/layout.js";
import { INITIAL_PAGES, MAXIMUM_PAGES } from "./worker/wasm-module.js";

/** An opaque handle to one session's memory. Made by `SessionMemories.create`, given back by `release`. */
export class SessionMemory {
  /** Names the memory that it lives in, to the workers that hold instances over it; others that lived there had the same. */
  key: number;
  memory: WebAssembly.Memory;
  /** Maximum of the memory, in pages of 64 KiB. */
  maximumPages: number;
  /** Groups of turns posted so far, also of who lived there before: a checkpoint that a worker kept holds for the next one only. */
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

/** All sessions together hold as much as they may. */
export class HeapsFullError extends Error {
  override readonly name = "HeapsFullError";
}

/** Of memories of all sizes together; of the bytes 5 MiB each are stack, hardly any of which is resident. */
const KEPT_FOR_REUSE = { count: 64, bytes: 512 << 20 };
/** Whoever grew beyond this is given up: what is kept stays resident. */
const LARGEST_KEPT = 16 << 20;
/** Static data and stack: what is neither resident nor the guest's does not count as heap. */
const PAGES_WITHOUT_HEAP = Math.floor(HEAP_START / 65536);
/** More than the engine's own stack limit lets guest code reach, with room for the C frames above it. */
const STACK_CLEARED = 320 * 1024;
/** Of those to be used again that did not grow, what is kept where nobody asked for one for a while. */
const KEPT_WHEN_QUIET = 8;

/** Pages of 64 KiB that a heap of this many bytes needs, code and stack included. */
function pagesFor(heapBytes: number): number {
  return Math.min(MAXIMUM_PAGES, Math.max(INITIAL_PAGES, Math.ceil((HEAP_START + heapBytes) / 65536)));
}

/** What counts of a session with a heap of so many bytes. */
function countedPages(heapBytes: number): number {
  return Math.max(INITIAL_PAGES, Math.ceil((HEAP_START + heapBytes) / 65536)) - PAGES_WITHOUT_HEAP;
}

/** All that it had: the allocator knows of free room above the top of the heap, and takes it without asking. */
function wasmPagesOf({ extent }: Pick<SessionPages, "extent">): number {
  return extent.memoryBytes / 65536;
}

/** Whether a session may have a heap of so many bytes at most, which is as large as it is. */
export function holds(memoryBytes: number, pages: Pick<SessionPages, "extent">): boolean {
  return wasmPagesOf(pages) <= pagesFor(memoryBytes);
}

/** A memory that nobody lives in, and what is known of it: workers that hold an instance over it may go on to use that. */
interface FreeMemory extends Pick<SessionMemory, "memory" | "maximumPages" | "key" | "posted" | "lastWorker"> {
  /** False: who lived there is still to be found in it. */
  isReady: boolean;
}

/** Memories given up, and their bytes that may be resident. */
export interface GivenUp {
  readonly count: number;
  readonly bytes: number;
}

/** Whether it did not grow. */
function isFreshSize({ memory }: FreeMemory): boolean {
  return memory.buffer.byteLength === INITIAL_PAGES * 65536;
}

export class SessionMemories {
  readonly #base: BaseImage;
  readonly #heaps: HeapSum;
  /** Those to be used again, oldest first: of the size of a fresh session as one begins, larger ones of zeroes. */
  #free: FreeMemory[] = [];
  #freeBytes = 0;
  #nextKey = 1;
  /** A memory is not to be used again: nobody is to hold anything of it; set by its owner. */
  onGivenUp: (key: number) => void = () => undefined;
  /** When a memory was last made, taken or given back; of the monotonic clock, in milliseconds. */
  #lastChange = 0;
  /** Memories given up since the last collection, and their bytes; all stay resident until the collectors find them. */
  #dropped: GivenUp = { count: 0, bytes: 0 };

  /** @param heaps counts what the memories hold together */
  constructor(base: BaseImage, heaps: HeapSum) {
    this.#base = base;
    this.#heaps = heaps;
  }

  /** True when there is room for so many more sessions with heaps of so many bytes beside all others. */
  hasRoomFor(sessions: number, heapBytes: number): boolean {
    return this.#heaps.hasRoom(sessions * countedPages(heapBytes));
  }

  /** The same, were there no others. */
  couldHold(sessions: number, heapBytes: number): boolean {
    return sessions * countedPages(heapBytes) <= this.#heaps.limit;
  }

  /** Takes note of how large a session is now. No turn of it may run. */
  note(session: SessionMemory): void {
    if (session.isReleased) return;
    this.#noteAs(session, pageCount(session.memory) - PAGES_WITHOUT_HEAP);
  }

  /** Counts what a session is to hold when it is put back to an image, so that nobody else is given that room. @throws HeapsFullError */
  reserveFor(session: SessionMemory, image: Pick<SessionPages, "extent">): void {
    const growth = this.growthTo(session, image);
    this.#checkRoom(growth);
    this.#noteAs(session, pageCount(session.memory) + growth - PAGES_WITHOUT_HEAP);
  }

  #checkRoom(pages: number): void {
    if (pages <= 0 || this.#heaps.hasRoom(pages)) return;
    throw new HeapsFullError("all sessions together hold as much memory as they may");
  }

  #noteAs(session: SessionMemory, pages: number): void {
    this.#heaps.note(pages - session.notedPages);
    session.notedPages = pages;
  }

  /** @param memoryBytes the most the session's heap may grow to */
  create(memoryBytes: number): SessionMemory {
    const session = this.#sessionIn(this.#fresh(pagesFor(memoryBytes)));
    session.heapBytes = heapRangeEnd(new Int32Array(session.memory.buffer), this.#base.layout) - HEAP_START;
    this.note(session);
    return session;
  }

  /** A memory as a session begins. One that was used before was made so when it was given back, off everybody's way. */
  #fresh(maximum: number): FreeMemory {
    const used = this.#takeFree(INITIAL_PAGES, maximum);
    if (used !== undefined) return used;
    const made = this.#make(INITIAL_PAGES, maximum);
    this.#begin(made.memory);
    return made;
  }

  /** Makes a memory of zeroes one as a session begins. */
  #begin(memory: WebAssembly.Memory): void {
    const bytes = new Uint8Array(memory.buffer);
    for (const [address, run] of this.#base.runs) bytes.set(run, address);
    this.seed(memory);
  }

  /**
   * A further session with these pages, and entropy of its own.
   *
   * @param memoryBytes the most its heap may grow to; `holds` says whether that is enough
   * @throws HeapsFullError
   */
  async createFrom(pages: SessionPages, memoryBytes: number): Promise<SessionMemory> {
    const initial = Math.max(INITIAL_PAGES, wasmPagesOf(pages));
    this.#checkRoom(initial - PAGES_WITHOUT_HEAP);
    const session = this.#sessionIn(this.#empty(initial, pagesFor(memoryBytes)));
    // Before the pages are there, so that nobody else is given this room meanwhile.
    this.note(session);
    session.heapBytes = pages.heapBytes;
    session.handles = pages.handles;
    await placePages(pages, session.memory);
    this.seed(session.memory);
    return session;
  }

  /** Pages by which a session's memory has to grow to be put back to an image. */
  growthTo(session: SessionMemory, { extent }: Pick<SessionPages, "extent">): number {
    const pages = pageCount(session.memory);
    return Math.max(0, extent.memoryBytes / 65536 - pages);
  }

  /** Gives a session another maximum, by moving it. No turn of it may be on its way; `holds` must say that it is enough. */
  async resize(session: SessionMemory, memoryBytes: number): Promise<void> {
    const maximumPages = pagesFor(memoryBytes);
    const pages = pagesOf(session, this.#base.layout);
    const { memory, key } = this.#empty(Math.max(INITIAL_PAGES, wasmPagesOf(pages)), maximumPages);
    // It is this session's from now on, whose turns are counted by itself.
    this.onGivenUp(key);
    await placePages(pages, memory);
    this.seed(memory);
    this.move(session, memory);
    session.maximumPages = maximumPages;
  }

  #sessionIn({ memory, maximumPages, key, posted, lastWorker }: FreeMemory): SessionMemory {
    const session = new SessionMemory(key, memory, maximumPages);
    // One more: what a worker kept of it is of who lived there before.
    session.posted = posted + 1;
    session.lastWorker = lastWorker;
    return session;
  }

  /**
   * Gives up most of what is kept to be used again, where nobody asked for so long.
   *
   * @returns false when somebody did: it is worth another look
   */
  giveUpUnused(milliseconds: number): boolean {
    if (performance.now() < this.#lastChange + milliseconds) return false;
    const kept = new Set(this.#free.filter(isFreshSize).slice(-KEPT_WHEN_QUIET));
    const givenUp = this.#free.filter((free) => !kept.has(free));
    this.#free = [...kept];
    for (const free of givenUp) this.#giveUp(free);
    return true;
  }

  #giveUp(free: FreeMemory): void {
    const { memory, key } = free;
    // Nobody is to have it again.
    free.isReady = true;
    this.onGivenUp(key);
    this.#freeBytes -= memory.buffer.byteLength;
    this.#drop(memory);
  }

  /** A memory of zeroes. One that was used before is met with all its pages there, which is most of what a copy costs. */
  #empty(initial: number, maximum: number): FreeMemory {
    const used = this.#takeFree(initial, maximum);
    if (used === undefined) return this.#make(initial, maximum);
    if (isFreshSize(used))
      for (const [address, { length }] of this.#base.runs) clear(used.memory.buffer, address, address + length);
    return used;
  }

  #takeFree(initial: number, maximum: number): FreeMemory | undefined {
    this.#lastChange = performance.now();
    const bytes = initial * 65536;
    const fits = ({ memory, maximumPages }: FreeMemory): boolean =>
      maximumPages === maximum && memory.buffer.byteLength === bytes;
    const index = this.#free.findLastIndex(fits);
    const [free] = index < 0 ? [] : this.#free.splice(index, 1);
    if (free === undefined) return undefined;
    this.#freeBytes -= bytes;
    this.#makeReady(free);
    return free;
  }

  #make(initial: number, maximum: number): FreeMemory {
    const memory = new WebAssembly.Memory({ initial, maximum, shared: true });
    return { memory, maximumPages: maximum, key: this.#nextKey++, posted: 0, lastWorker: -1, isReady: true };
  }

  /** The session moved: instances over the old memory must not be used again. */
  move(session: SessionMemory, memory: WebAssembly.Memory): void {
    this.onGivenUp(session.key);
    this.#drop(session.memory);
    session.memory = memory;
    session.key = this.#nextKey++;
    this.note(session);
  }

  /** No turn of the session may run any more. */
  release(session: SessionMemory): void {
    const { memory, maximumPages, key, posted, lastWorker } = session;
    this.#lastChange = performance.now();
    this.#noteAs(session, 0);
    session.isReleased = true;
    if (memory.buffer.byteLength > LARGEST_KEPT) {
      this.onGivenUp(key);
      return this.#drop(memory);
    }
    const free = { memory, maximumPages, key, posted, lastWorker, isReady: false };
    this.#free.push(free);
    this.#freeBytes += memory.buffer.byteLength;
    // Whoever waits for what it was used for has that before: the last of an answer over HTTP/2, its trailers, is written a tick later.
    setImmediate(() => setImmediate(() => this.#makeReady(free)));
    while (this.#free.length > KEPT_FOR_REUSE.count || this.#freeBytes > KEPT_FOR_REUSE.bytes) {
      const oldest = this.#free.shift();
      if (oldest === undefined) return;
      this.#giveUp(oldest);
    }
  }

  /** Makes a memory that was given back what the list of them holds, if nobody has yet. */
  #makeReady(free: FreeMemory): void {
    if (free.isReady) return;
    free.isReady = true;
    const { buffer } = free.memory;
    // To its end, not to the top of the heap: that sinks when the engine gives memory back, and leaves what was above it.
    clear(buffer, HEAP_START - STACK_CLEARED);
    clear(buffer, 0, STATIC_END);
    if (isFreshSize(free)) this.#begin(free.memory);
  }

  /** True when so much was given up; what is counted then begins anew. */
  hasGivenUp({ count, bytes }: GivenUp): boolean {
    if (this.#dropped.count < count && this.#dropped.bytes < bytes) return false;
    this.#dropped = { count: 0, bytes: 0 };
    return true;
  }

  #drop(memory: WebAssembly.Memory): void {
    const { count, bytes } = this.#dropped;
    // Hardly anything of the stack is resident.
    this.#dropped = { count: count + 1, bytes: bytes + memory.buffer.byteLength - PAGES_WITHOUT_HEAP * 65536 };
  }

  /** Gives a session entropy of its own, also when it was put back: ids that it drew meanwhile are known outside. */
  seed(memory: WebAssembly.Memory): void {
    seed(memory, this.#base.layout);
  }
}
