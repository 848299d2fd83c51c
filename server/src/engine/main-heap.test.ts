import { expect, test } from "vitest";
import { HeapShare, MainHeap } from "./main-heap.js";

const KIBIBYTE = 1024;

test("who keeps little has as much room again when those who keep much have taken theirs", () => {
  const heap = new MainHeap(100 * KIBIBYTE);
  const [one, other] = [new HeapShare(heap), new HeapShare(heap)];
  one.change(90 * KIBIBYTE);
  expect([other.hasRoomFor(10 * KIBIBYTE, 20 * KIBIBYTE), other.hasRoomFor(11 * KIBIBYTE, 20 * KIBIBYTE)]).toEqual([
    true,
    false,
  ]);
  expect(other.hasRoomFor(11 * KIBIBYTE, 11 * KIBIBYTE)).toBe(true);
  one.change(105 * KIBIBYTE);
  expect([other.hasRoomFor(5 * KIBIBYTE, 5 * KIBIBYTE), other.hasRoomFor(6 * KIBIBYTE, 6 * KIBIBYTE)]).toEqual([
    true,
    false,
  ]);
});

test("what a session kept is given back when it is gone, and what is told of it after that does not count", () => {
  const heap = new MainHeap(100);
  const [gone, other] = [new HeapShare(heap), new HeapShare(heap)];
  gone.change(90);
  gone.change(-20);
  gone.end();
  gone.change(-70);
  gone.change(50);
  expect([other.hasRoomFor(100, 1 << 20), other.hasRoomFor(101, 1 << 20)]).toEqual([true, false]);
});
