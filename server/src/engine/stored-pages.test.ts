import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { SessionPages } from "./session-image.js";
import { PageDeltaError, StoredPages } from "./stored-pages.js";
import { HEAP_RANGE_START, PAGE_BYTES, STATIC_END } from "./worker/layout.js";

/** A session with a heap of so many pages, all of them zero. */
function pagesOf(heapPages: number, memoryBytes = 8 << 20): SessionPages {
  const heapEnd = HEAP_RANGE_START + heapPages * PAGE_BYTES;
  return {
    statics: new Uint8Array(new SharedArrayBuffer(STATIC_END)),
    heap: new Uint8Array(new SharedArrayBuffer(heapPages * PAGE_BYTES)),
    extent: { heapEnd, memoryBytes },
    heapBytes: heapPages * 1000,
    handles: heapPages,
  };
}

function stored({ statics, heap, ...rest }: SessionPages): StoredPages {
  const pages = new SharedArrayBuffer(statics.length + heap.length);
  new Uint8Array(pages).set(statics);
  new Uint8Array(pages).set(heap, statics.length);
  return new StoredPages({ pages, ...rest });
}

function expectSame(one: StoredPages, pages: SessionPages): void {
  const { image } = one;
  const { extent, heapBytes, handles } = pages;
  expect(image).toMatchObject({ extent, heapBytes, handles });
  expect(Buffer.from(image.pages).equals(Buffer.concat([pages.statics, pages.heap]))).toBe(true);
}

describe("what is stored of a session's pages", () => {
  test("changes by what has changed alone", async () => {
    const pages = pagesOf(10);
    const here = stored(pages);
    const nothing = await here.deltaTo(pages);
    pages.statics[5] = 1;
    pages.heap[3 * PAGE_BYTES + 7] = 2;
    pages.heap[9 * PAGE_BYTES] = 3;
    const delta = await here.deltaTo(pages);
    expect(delta.length - nothing.length).toBe(3 * (PAGE_BYTES + 4));
    expect(await here.deltaTo(pages)).toEqual(nothing);
  });

  test("is elsewhere, after the same deltas, what it is here, however the heap grows and shrinks", async () => {
    const step = fc.record({
      heapPages: fc.integer({ min: 1, max: 40 }),
      writes: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
        let pages = pagesOf(12);
        const here = stored(pages);
        const elsewhere = stored(pages);
        for (const { heapPages, writes } of steps) {
          const next = pagesOf(heapPages, 16 << 20);
          next.statics.set(pages.statics);
          next.heap.set(pages.heap.subarray(0, Math.min(pages.heap.length, next.heap.length)));
          pages = next;
          for (const [at, byte] of writes) {
            const offset = at % (STATIC_END + pages.heap.length);
            if (offset < STATIC_END) pages.statics[offset] = byte;
            else pages.heap[offset - STATIC_END] = byte;
          }
          elsewhere.apply(await here.deltaTo(pages));
          expectSame(here, pages);
          expectSame(elsewhere, pages);
        }
      }),
      { numRuns: 60 },
    );
  });

  test.each([
    ["is cut", (delta: Uint8Array) => delta.subarray(0, delta.length - 1)],
    ["is empty", () => new Uint8Array()],
    ["names a page of the stack", (delta: Uint8Array) => withNumber(delta, 16, STATIC_END / PAGE_BYTES)],
    ["names a page beyond the heap", (delta: Uint8Array) => withNumber(delta, 16, HEAP_RANGE_START / PAGE_BYTES + 10)],
    ["has a heap beyond its memory", (delta: Uint8Array) => withNumber(delta, 4, 1)],
    ["has a heap that ends before it begins", (delta: Uint8Array) => withNumber(delta, 0, 1)],
  ])("refuses a delta that %s", async (_what, spoil) => {
    const pages = pagesOf(10);
    const here = stored(pages);
    pages.heap[0] = 1;
    const delta = await here.deltaTo(pages);
    expect(() => stored(pagesOf(10)).apply(spoil(delta))).toThrow(PageDeltaError);
    stored(pagesOf(10)).apply(delta);
  });
});

function withNumber(delta: Uint8Array, at: number, number: number): Uint8Array {
  const spoiled = Buffer.from(delta);
  spoiled.writeUInt32LE(number, at);
  return spoiled;
}
