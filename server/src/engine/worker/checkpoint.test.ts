import { describe, expect, test } from "vitest";
import { createCheckpointBuffer, restoreCheckpoint, takeCheckpoint } from "./checkpoint.js";
import { HEAP_START, type Layout } from "./layout.js";

const HEAP_TOP_WORD = 86_864;
const layout = { heapTopWord: HEAP_TOP_WORD } as Layout;
const MAXIMUM_PAGES = 200;

function memoryWithHeap(bytes: number): WebAssembly.Memory {
  const memory = new WebAssembly.Memory({ initial: 88, maximum: MAXIMUM_PAGES, shared: true });
  new Int32Array(memory.buffer)[HEAP_TOP_WORD >> 2] = HEAP_START + bytes;
  return memory;
}

describe("a checkpoint", () => {
  test("puts static data and heap back, and clears what was added", () => {
    const memory = memoryWithHeap(10_000);
    const bytes = new Uint8Array(memory.buffer);
    bytes[1024] = 1;
    bytes[HEAP_START + 9_999] = 2;
    const buffer = createCheckpointBuffer(1 << 24);
    const extent = takeCheckpoint(memory, layout, buffer);
    bytes[1024] = 9;
    bytes[HEAP_START + 9_999] = 9;
    new Int32Array(memory.buffer)[HEAP_TOP_WORD >> 2] = HEAP_START + 50_000;
    bytes[HEAP_START + 40_000] = 9;
    expect(restoreCheckpoint(memory, buffer, extent, layout, MAXIMUM_PAGES)).toBe(memory);
    expect([bytes[1024], bytes[HEAP_START + 9_999], bytes[HEAP_START + 40_000]]).toEqual([1, 2, 0]);
    expect(new Int32Array(memory.buffer)[HEAP_TOP_WORD >> 2]).toBe(HEAP_START + 10_000);
  });

  test("moves a memory that grew into a new one of the old size", () => {
    const memory = memoryWithHeap(10_000);
    const buffer = createCheckpointBuffer(1 << 24);
    new Uint8Array(memory.buffer)[HEAP_START] = 7;
    const extent = takeCheckpoint(memory, layout, buffer);
    memory.grow(10);
    const restored = restoreCheckpoint(memory, buffer, extent, layout, MAXIMUM_PAGES);
    expect(restored).not.toBe(memory);
    expect(restored.buffer.byteLength).toBe(88 * 65_536);
    expect(new Uint8Array(restored.buffer)[HEAP_START]).toBe(7);
  });

  test("grows its buffer with the session", () => {
    const memory = memoryWithHeap(300_000);
    memory.grow(60);
    new Int32Array(memory.buffer)[HEAP_TOP_WORD >> 2] = HEAP_START + 3_000_000;
    new Uint8Array(memory.buffer)[HEAP_START + 2_999_999] = 5;
    const buffer = createCheckpointBuffer(1 << 24);
    const extent = takeCheckpoint(memory, layout, buffer);
    new Uint8Array(memory.buffer).fill(1, HEAP_START, HEAP_START + 3_000_000);
    restoreCheckpoint(memory, buffer, extent, layout, MAXIMUM_PAGES);
    expect(new Uint8Array(memory.buffer)[HEAP_START + 2_999_999]).toBe(5);
  });
});
