import { expect, test } from "vitest";
import { BytesRoom, taken } from "./bytes-room.js";

const MEBIBYTE = 1 << 20;

test("large bytes lie in memory that both threads see, one behind the other, until all are taken", () => {
  const room = new BytesRoom();
  const [one, two] = [room.put(new Uint8Array(MEBIBYTE).fill(1)), room.put(new Uint8Array(MEBIBYTE).fill(2))];
  expect(one.buffer).toBeInstanceOf(SharedArrayBuffer);
  expect(two.buffer).toBe(one.buffer);
  const kept = taken(one);
  room.clear();
  expect(room.put(new Uint8Array(MEBIBYTE).fill(3)).byteOffset).toBe(one.byteOffset);
  expect([one[0], one.at(-1), two[0], two.at(-1)]).toEqual([3, 3, 2, 2]);
  expect([kept.length, kept[0], kept.at(-1)]).toEqual([MEBIBYTE, 1, 1]);
});

test("what is small, or finds no room, is posted as it is", () => {
  const room = new BytesRoom();
  const small = room.put(new Uint8Array([1, 2, 3]));
  expect(small.buffer).not.toBeInstanceOf(SharedArrayBuffer);
  // A part of a buffer is posted with all of it.
  expect(room.put(new Uint8Array(100).subarray(1, 4)).buffer.byteLength).toBe(3);
  expect(taken(small)).toBe(small);
  room.put(new Uint8Array(3 * MEBIBYTE));
  const other = room.put(new Uint8Array(2 * MEBIBYTE).fill(4));
  expect(other.buffer).not.toBeInstanceOf(SharedArrayBuffer);
  expect(other.every((byte) => byte === 4)).toBe(true);
});
