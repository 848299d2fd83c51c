import { expect, test } from "vitest";
import { HeapSum } from "./heap-sum.js";

test("all that is counted anywhere takes room from everybody, below, at and above the limit", () => {
  const main = new HeapSum();
  main.limit = 10;
  const worker = new HeapSum(main.buffer);
  const [a, b] = [main.takeSlot(), main.takeSlot()];
  main.note(4);
  expect(worker.grow(a, 3)).toBe(true);
  expect(worker.grow(b, 4)).toBe(false);
  expect(worker.grow(b, 3)).toBe(true);
  expect([main.hasRoom(0), main.hasRoom(1), worker.grow(a, 1)]).toEqual([true, false, false]);
  worker.shrink(a, 2);
  expect([main.hasRoom(2), main.hasRoom(3)]).toEqual([true, false]);
  main.note(1);
  main.clearSlot(a);
  expect([main.hasRoom(2), main.hasRoom(3)]).toEqual([true, false]);
});

test("what a worker counted goes with it, and its place goes to the next", () => {
  const sum = new HeapSum();
  sum.limit = 10;
  const slot = sum.takeSlot();
  sum.grow(slot, 10);
  sum.freeSlot(slot);
  expect(sum.hasRoom(10)).toBe(true);
  expect(sum.takeSlot()).toBe(slot);
});
