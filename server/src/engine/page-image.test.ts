import { deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { PageImageError, PageImages } from "./page-image.js";
import type { SessionImage } from "./session-image.js";
import { HEAP_RANGE_START, PAGE_BYTES, STATIC_END } from "./worker/layout.js";

const HEAP_PAGES = 40;
const heapEnd = HEAP_RANGE_START + HEAP_PAGES * PAGE_BYTES;
const memoryBytes = 88 * 65536;

/** Static data of ones, and two pages of heap. */
const BASE = new PageImages({
  layout: undefined as never,
  size: 0,
  runs: [
    [0, shared(STATIC_END, 1)],
    [HEAP_RANGE_START + PAGE_BYTES, shared(2 * PAGE_BYTES, 2)],
  ],
});

function shared(length: number, value: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(length)).fill(value);
}

/** A session as it begins, changed. */
function image(change: (bytes: Uint8Array) => void): SessionImage {
  const pages = new SharedArrayBuffer(STATIC_END + HEAP_PAGES * PAGE_BYTES);
  const bytes = new Uint8Array(pages);
  bytes.fill(1, 0, STATIC_END);
  bytes.fill(2, STATIC_END + PAGE_BYTES, STATIC_END + 3 * PAGE_BYTES);
  change(bytes);
  return { pages, extent: { heapEnd, memoryBytes }, heapBytes: 5, handles: 6 };
}

const extent = { heapEnd, memoryBytes, heapBytes: 5, handles: 6 };

function entry(page: number, value = 1): Buffer {
  const bytes = Buffer.alloc(4 + PAGE_BYTES, value);
  bytes.writeUInt32LE(page);
  return bytes;
}

describe("a page image", () => {
  test("of a session as it begins is next to nothing", async () => {
    expect((await BASE.encode(image(() => undefined))).length).toBeLessThan(16);
  });

  test.each([
    ["a page of the base image changed in one bit", (bytes: Uint8Array) => bytes.fill(3, 10, 11)],
    ["a page of the base image cleared", (bytes: Uint8Array) => bytes.fill(0, 0, PAGE_BYTES)],
    ["heap of the base image cleared", (bytes: Uint8Array) => bytes.fill(0, STATIC_END)],
    ["the last page written", (bytes: Uint8Array) => bytes.fill(9, bytes.length - 1)],
    ["everything written", (bytes: Uint8Array) => bytes.set(bytes.map((_, i) => (i * i) >> 3))],
  ])("gives the session back, with %s", async (_what, change) => {
    const session = image((bytes) => void change(bytes));
    const back = await BASE.decode(await BASE.encode(session), extent);
    expect(Buffer.from(back.pages).equals(Buffer.from(session.pages))).toBe(true);
    expect(back).toMatchObject({ extent: { heapEnd, memoryBytes }, heapBytes: 5, handles: 6 });
  });

  test.each([
    ["of the stack", [entry(STATIC_END / PAGE_BYTES)]],
    ["beyond the heap", [entry(heapEnd / PAGE_BYTES)]],
    ["that comes twice", [entry(0), entry(0)]],
    ["that is not whole", [entry(0).subarray(0, 100)]],
  ])("with a page %s is refused", async (_what, entries) => {
    await expect(BASE.decode(deflateSync(Buffer.concat(entries)), extent)).rejects.toThrow(PageImageError);
  });

  test.each([
    ["is not whole pages", { heapEnd: heapEnd + 1 }],
    ["is larger than the memory", { memoryBytes: 65536 }],
    ["is smaller than that of the base image", { heapEnd: HEAP_RANGE_START + PAGE_BYTES }],
  ])("whose heap %s is refused", async (_what, wrong) => {
    const bytes = await BASE.encode(image(() => undefined));
    await expect(BASE.decode(bytes, { ...extent, ...wrong })).rejects.toThrow(PageImageError);
  });

  test("that cannot be decompressed is refused", async () => {
    await expect(BASE.decode(Buffer.from("nothing"), extent)).rejects.toThrow(PageImageError);
    const cut = (await BASE.encode(image((bytes) => bytes.fill(9)))).subarray(0, -8);
    await expect(BASE.decode(cut, extent)).rejects.toThrow(PageImageError);
  });
});
