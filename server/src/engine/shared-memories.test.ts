import { expect, test } from "vitest";
import { type GivenUp, SessionMemories, type SessionMemory } from "./session-memory.js";
import { SharedMemories } from "./shared-memories.js";
import { HeapSum } from "./worker/heap-sum.js";
import type { BaseImage } from "./worker/layout.js";
import type { Workers } from "./workers.js";

/** Memories that were given up as the test says, and how often workers were told to collect garbage. */
function shared() {
  const its = { givenUp: { count: 0, bytes: 0 }, collections: 0 };
  const memories = {
    onGivenUp: () => undefined,
    release: () => undefined,
    hasGivenUp: ({ count, bytes }: GivenUp) => its.givenUp.count >= count || its.givenUp.bytes >= bytes,
  };
  const collect = (): void => {
    its.collections++;
  };
  const workers = { all: [{ collect, forgetUnused: () => false }] };
  const host = new SharedMemories(memories as unknown as SessionMemories, workers as unknown as Workers);
  const giveUp = (count: number, bytes = 0): number => {
    its.givenUp = { count, bytes };
    host.release({} as SessionMemory);
    return its.collections;
  };
  return { giveUp, close: () => host.close() };
}

test("one collection is not at once followed by another, unless very much was given up", () => {
  const { giveUp, close } = shared();
  try {
    expect([giveUp(10), giveUp(200)]).toEqual([0, 1]);
    expect([giveUp(200), giveUp(0, 300 << 20)]).toEqual([1, 1]);
    expect([giveUp(600), giveUp(0, 1024 << 20)]).toEqual([2, 3]);
  } finally {
    close();
  }
});

test("of a memory that was given up its stack does not count: hardly anything of that is resident", () => {
  const base = { runs: new Map(), layout: { cells: 1024, heapTopWord: 0 } };
  const heaps = new HeapSum();
  const memories = new SessionMemories(base as unknown as BaseImage, heaps);
  const sessions = Array.from({ length: 70 }, () => memories.create(8 << 20));
  for (const session of sessions) memories.release(session);
  // All but those that are kept, of less than a mebibyte each.
  expect(memories.hasGivenUp({ count: 1_000, bytes: 6 << 20 })).toBe(false);
  expect(memories.hasGivenUp({ count: 6, bytes: 1 << 30 })).toBe(true);
  expect(memories.hasGivenUp({ count: 1, bytes: 1 })).toBe(false);
});
