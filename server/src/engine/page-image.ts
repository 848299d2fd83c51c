/**
 * A session's memory as bytes that can be kept and sent: those of its pages that differ from the base image, compressed.
 *
 * Each page is its number and its 4,096 bytes, XORed with the page of the base image where that has one; all of them together
 * are one stream of zlib. Only the same engine build can read them: whoever keeps them keeps its digest too.
 */
import { Readable } from "node:stream";
import { setImmediate as nextTick } from "node:timers/promises";
import { constants, createDeflate, createInflate } from "node:zlib";
import type { SessionImage } from "./session-image.js";
import { type BaseImage, HEAP_RANGE_START, PAGE_BYTES, STATIC_END } from "./worker/layout.js";

/** What an image is beside its pages. */
export interface PageImageExtent {
  /** End of the heap in use, rounded up to a page. */
  readonly heapEnd: number;
  /** Size of the memory, in bytes. */
  readonly memoryBytes: number;
  /** Heap in use, in bytes. */
  readonly heapBytes: number;
  readonly handles: number;
}

/** The bytes are no image of a session, or not of this build of the engine. */
export class PageImageError extends Error {
  override readonly name = "PageImageError";
}

const NUMBER_BYTES = 4;
const ENTRY_BYTES = NUMBER_BYTES + PAGE_BYTES;
const ZEROES = Buffer.alloc(PAGE_BYTES);
/** Pages that go to the compressor at once. */
const ENTRIES_AT_ONCE = 128;
/** What comes out of it at once: each piece is a way to another thread and back. */
const CHUNK_BYTES = 512 << 10;
/** Pages that are compared before others have their turn on this thread: about a millisecond. */
const PAGES_AT_ONCE = 1024;

export class PageImages {
  /** Pages of the base image by their address. */
  readonly #base = new Map<number, Buffer>();

  constructor({ runs }: BaseImage) {
    for (const [address, bytes] of runs) {
      for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
        this.#base.set(address + at, Buffer.from(bytes.buffer, bytes.byteOffset + at, PAGE_BYTES));
      }
    }
  }

  /** Compresses on another thread, and compares in slices, so it may take its time on a large heap. */
  async encode(image: SessionImage): Promise<Uint8Array> {
    const deflate = createDeflate({ level: constants.Z_BEST_SPEED, chunkSize: CHUNK_BYTES });
    const chunks: Buffer[] = [];
    for await (const chunk of Readable.from(this.#entries(image)).pipe(deflate)) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  }

  async *#entries({ pages, extent }: SessionImage): AsyncGenerator<Buffer> {
    const entries: Buffer[] = [];
    let compared = 0;
    for (const [address, offset] of places(extent.heapEnd)) {
      const entry = this.#entry(address, Buffer.from(pages, offset, PAGE_BYTES));
      if (entry !== undefined) entries.push(entry);
      if (entries.length === ENTRIES_AT_ONCE) yield Buffer.concat(entries.splice(0));
      if (++compared % PAGES_AT_ONCE === 0) await nextTick();
    }
    yield Buffer.concat(entries);
  }

  /** Undefined where the page is that of the base image. */
  #entry(address: number, page: Buffer): Buffer | undefined {
    const base = this.#base.get(address);
    if (page.equals(base ?? ZEROES)) return undefined;
    const entry = newEntry();
    entry.writeUInt32LE(address / PAGE_BYTES);
    entry.set(page, NUMBER_BYTES);
    if (base !== undefined) xor(entry.subarray(NUMBER_BYTES), base);
    return entry;
  }

  /** @throws PageImageError */
  async decode(
    bytes: Uint8Array,
    { heapEnd, memoryBytes, heapBytes, handles }: PageImageExtent,
  ): Promise<SessionImage> {
    const isExtent =
      heapEnd % PAGE_BYTES === 0 && heapEnd >= HEAP_RANGE_START && heapEnd <= memoryBytes && memoryBytes % 65536 === 0;
    if (!isExtent) throw new PageImageError("the extent of the memory is none that a session can have");
    const pages = new SharedArrayBuffer(STATIC_END + heapEnd - HEAP_RANGE_START);
    const offsets = new Map(places(heapEnd));
    for (const [address, base] of this.#base) {
      const offset = offsets.get(address);
      if (offset === undefined) throw new PageImageError("the heap is smaller than that of the base image");
      Buffer.from(pages, offset, PAGE_BYTES).set(base);
    }
    const entry = newEntry();
    let filled = 0;
    for await (const chunk of inflated(bytes)) {
      for (let at = 0; at < chunk.length; ) {
        const count = Math.min(chunk.length - at, ENTRY_BYTES - filled);
        chunk.copy(entry, filled, at, at + count);
        at += count;
        filled += count;
        if (filled < ENTRY_BYTES) continue;
        filled = 0;
        const address = entry.readUInt32LE() * PAGE_BYTES;
        const offset = offsets.get(address);
        // Each once, so that no more comes out than a session can be.
        if (offset === undefined || !offsets.delete(address)) throw new PageImageError("a page is out of place");
        const page = Buffer.from(pages, offset, PAGE_BYTES);
        if (this.#base.has(address)) xor(page, entry.subarray(NUMBER_BYTES));
        else page.set(entry.subarray(NUMBER_BYTES));
      }
    }
    if (filled > 0) throw new PageImageError("the last page is not whole");
    return { pages, extent: { heapEnd, memoryBytes }, heapBytes, handles };
  }
}

/** A buffer of its own: the page in it can be seen as words. */
function newEntry(): Buffer {
  return Buffer.from(new ArrayBuffer(ENTRY_BYTES));
}

function xor(target: Buffer, other: Buffer): void {
  const [to, from] = [wordsOf(target), wordsOf(other)];
  for (let i = 0; i < to.length; i++) to[i] = (to[i] as number) ^ (from[i] as number);
}

/** Of a page: by words it takes a quarter of the time. */
function wordsOf({ buffer, byteOffset }: Buffer): Uint32Array {
  return new Uint32Array(buffer, byteOffset, PAGE_BYTES / 4);
}

/** The pages of a session: their addresses, and where they stand in an image. */
function* places(heapEnd: number): Generator<[address: number, offset: number]> {
  for (let address = 0; address < STATIC_END; address += PAGE_BYTES) yield [address, address];
  for (let address = HEAP_RANGE_START; address < heapEnd; address += PAGE_BYTES) {
    yield [address, STATIC_END + address - HEAP_RANGE_START];
  }
}

async function* inflated(bytes: Uint8Array): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of Readable.from([bytes]).pipe(createInflate({ chunkSize: CHUNK_BYTES })))
      yield chunk as Buffer;
  } catch (error) {
    throw new PageImageError(`its pages cannot be decompressed: ${error instanceof Error ? error.message : error}`);
  }
}
