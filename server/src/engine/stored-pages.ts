/**
 * What the store has of a durable session's memory, kept beside the session to tell what has changed since: pages are compared, and
 * those that differ go to the store, XORed with what it has, so that little is left of them.
 *
 * A delta is four numbers of 32 bits, little-endian (end of the heap in pages, size of the memory in pages of 64 KiB, bytes of
 * heap in use, handles), and then for each page its number and its 4,096 bytes. Of what lies beyond the heap the store has zeroes.
 */
import { setImmediate as nextTick } from "node:timers/promises";
import type { SessionImage, SessionPages } from "./session-image.js";
import { clear } from "./worker/clear.js";
import { HEAP_RANGE_START, PAGE_BYTES, STATIC_END } from "./worker/layout.js";

const HEADER_BYTES = 16;
const NUMBER_BYTES = 4;
const ENTRY_BYTES = NUMBER_BYTES + PAGE_BYTES;
const STATIC_PAGES = STATIC_END / PAGE_BYTES;
const FIRST_HEAP_PAGE = HEAP_RANGE_START / PAGE_BYTES;
const WASM_PAGE_BYTES = 65536;
/** What is compared at once: about a millisecond. */
const SLICE_BYTES = 4 << 20;
/** A heap that grows is to grow some more. */
const SPARE = 1.25;

/** The bytes are no delta, or not one of what it is applied to. */
export class PageDeltaError extends Error {
  override readonly name = "PageDeltaError";
}

export class StoredPages {
  /** Static data, then the heap, then room in which it may grow: zeroes. */
  #pages: Buffer;
  #heapEnd: number;
  #memoryBytes: number;
  #heapBytes: number;
  #handles: number;

  /** @param image what the store has; its pages are this object's from now on */
  constructor({ pages, extent, heapBytes, handles }: SessionImage) {
    this.#pages = Buffer.from(pages);
    this.#heapEnd = extent.heapEnd;
    this.#memoryBytes = extent.memoryBytes;
    this.#heapBytes = heapBytes;
    this.#handles = handles;
  }

  /** What the store has, as an image of its own. */
  get image(): SessionImage {
    const pages = new SharedArrayBuffer(sizeFor(this.#heapEnd));
    Buffer.from(pages).set(this.#pages.subarray(0, pages.byteLength));
    const extent = { heapEnd: this.#heapEnd, memoryBytes: this.#memoryBytes };
    return { pages, extent, heapBytes: this.#heapBytes, handles: this.#handles };
  }

  /** In bytes. */
  get size(): number {
    return sizeFor(this.#heapEnd);
  }

  /**
   * What is to be applied to get from what the store has to these pages, which may not change until this resolves. From then on the
   * store is taken to have it. Others have their turns on this thread while it is at a large heap.
   */
  async deltaTo({ statics, heap, extent, heapBytes, handles }: SessionPages): Promise<Uint8Array> {
    this.#resize(extent.heapEnd);
    const changed: number[] = [...this.#compare(statics, 0)];
    for (let at = 0; at < heap.length; at += SLICE_BYTES) {
      if (at > 0) await nextTick();
      changed.push(...this.#compare(heap.subarray(at, at + SLICE_BYTES), STATIC_END + at));
    }
    this.#take(extent.heapEnd, extent.memoryBytes, heapBytes, handles);
    const delta = this.#deltaFor(changed.length);
    for (const [i, offset] of changed.entries()) {
      const at = HEADER_BYTES + i * ENTRY_BYTES;
      delta.writeUInt32LE(numberOf(offset), at);
      const page = offset < STATIC_END ? statics.subarray(offset) : heap.subarray(offset - STATIC_END);
      const stored = this.#pages.subarray(offset, offset + PAGE_BYTES);
      xor(delta.subarray(at + NUMBER_BYTES, at + ENTRY_BYTES), page, stored);
      stored.set(page.subarray(0, PAGE_BYTES));
    }
    return delta;
  }

  /** That nothing has changed. */
  get emptyDelta(): Uint8Array {
    return this.#deltaFor(0);
  }

  /** To where it is now, with room for so many pages. */
  #deltaFor(pages: number): Buffer {
    const delta = Buffer.from(new ArrayBuffer(HEADER_BYTES + pages * ENTRY_BYTES));
    const heapPages = this.#heapEnd / PAGE_BYTES;
    const header = [heapPages, this.#memoryBytes / WASM_PAGE_BYTES, this.#heapBytes, this.#handles];
    for (const [i, number] of header.entries()) delta.writeUInt32LE(number, i * NUMBER_BYTES);
    return delta;
  }

  /** @throws PageDeltaError */
  apply(delta: Uint8Array): void {
    // In a buffer of its own, so that its pages can be seen as words.
    const bytes = Buffer.from(new Uint8Array(delta).buffer);
    if (bytes.length < HEADER_BYTES || (bytes.length - HEADER_BYTES) % ENTRY_BYTES !== 0) {
      throw new PageDeltaError("a delta is not whole");
    }
    const [heapPages = 0, wasmPages = 0, heapBytes = 0, handles = 0] = [0, 1, 2, 3].map((i) =>
      bytes.readUInt32LE(i * NUMBER_BYTES),
    );
    const [heapEnd, memoryBytes] = [heapPages * PAGE_BYTES, wasmPages * WASM_PAGE_BYTES];
    if (heapEnd < HEAP_RANGE_START || heapEnd > memoryBytes) throw new PageDeltaError("a delta has no extent");
    this.#resize(heapEnd);
    for (let at = HEADER_BYTES; at < bytes.length; at += ENTRY_BYTES) {
      const offset = offsetOf(bytes.readUInt32LE(at));
      if (offset === undefined || offset >= sizeFor(heapEnd)) throw new PageDeltaError("a page is out of place");
      const stored = this.#pages.subarray(offset, offset + PAGE_BYTES);
      xor(stored, stored, bytes.subarray(at + NUMBER_BYTES, at + ENTRY_BYTES));
    }
    this.#take(heapEnd, memoryBytes, heapBytes, handles);
  }

  /** Offsets of the pages that differ. */
  *#compare(source: Uint8Array, offset: number): Generator<number> {
    const bytes = Buffer.from(source.buffer, source.byteOffset, source.length);
    for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
      const stored = offset + at;
      if (this.#pages.compare(bytes, at, at + PAGE_BYTES, stored, stored + PAGE_BYTES) !== 0) yield stored;
    }
  }

  /** What is beyond the heap is zero, before it grows and after it has shrunk. */
  #resize(heapEnd: number): void {
    const size = sizeFor(heapEnd);
    if (heapEnd < this.#heapEnd) clear(this.#pages.buffer, size, sizeFor(this.#heapEnd));
    if (size <= this.#pages.length) return;
    const grown = Buffer.from(new SharedArrayBuffer(Math.ceil((size * SPARE) / PAGE_BYTES) * PAGE_BYTES));
    grown.set(this.#pages);
    this.#pages = grown;
  }

  #take(heapEnd: number, memoryBytes: number, heapBytes: number, handles: number): void {
    this.#heapEnd = heapEnd;
    this.#memoryBytes = memoryBytes;
    this.#heapBytes = heapBytes;
    this.#handles = handles;
  }
}

/** Of an image whose heap ends there, in bytes. */
function sizeFor(heapEnd: number): number {
  return STATIC_END + heapEnd - HEAP_RANGE_START;
}

/** The number of a page in memory, by its offset in an image. */
function numberOf(offset: number): number {
  const index = offset / PAGE_BYTES;
  return index < STATIC_PAGES ? index : index - STATIC_PAGES + FIRST_HEAP_PAGE;
}

/** The reverse; undefined for a page of the stack. */
function offsetOf(number: number): number | undefined {
  if (number < STATIC_PAGES) return number * PAGE_BYTES;
  return number < FIRST_HEAP_PAGE ? undefined : STATIC_END + (number - FIRST_HEAP_PAGE) * PAGE_BYTES;
}

function xor(target: Uint8Array, one: Uint8Array, other: Uint8Array): void {
  const [to, from, and] = [wordsOf(target), wordsOf(one), wordsOf(other)];
  for (let i = 0; i < to.length; i++) to[i] = (from[i] as number) ^ (and[i] as number);
}

/** Of a page: by words it takes a quarter of the time. */
function wordsOf({ buffer, byteOffset }: Uint8Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, PAGE_BYTES / 4);
}
