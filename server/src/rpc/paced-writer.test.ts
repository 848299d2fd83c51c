import type { Writable } from "node:stream";
import { setImmediate as nextTick } from "node:timers/promises";
import { expect, test } from "vitest";
import { PacedWriter } from "./paced-writer.js";

/** A stream that takes what it is given when it is told to. */
function opened() {
  const given: number[] = [];
  const calls: (() => void)[] = [];
  const stream = {
    write: (message: Buffer, taken: () => void) => {
      given.push(message.readInt32LE());
      calls.push(taken);
    },
  } as unknown as Writable;
  const take = (): void => {
    for (const taken of calls.splice(0)) taken();
  };
  const untaken: number[] = [];
  return { writer: new PacedWriter(stream, (bytes) => untaken.push(bytes)), given, untaken, take };
}

function message(number: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeInt32LE(number);
  return bytes;
}

test("what is not taken is told whenever it changes, and is nothing once it is dropped", () => {
  const { writer, untaken, take } = opened();
  writer.write(message(1));
  writer.write(message(2));
  take();
  writer.write(message(3));
  writer.drop();
  take();
  writer.write(message(4));
  expect([untaken, writer.bytes]).toEqual([[8, 16, 8, 0, 8, 0], 0]);
});

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test("few messages are given at once, of many so many at a time: others have the thread between", async () => {
  const { writer, given, take } = opened();
  for (const i of upTo(10)) writer.write(message(i));
  expect(given).toEqual(upTo(10));
  for (const i of upTo(1_000).slice(10)) writer.write(message(i));
  const most = given.length;
  expect(most).toBeLessThan(100);
  for (let before = most; given.length < 1_000; before = given.length) {
    take();
    expect(given.length).toBe(before);
    await nextTick();
    expect(given.length - before).toBeLessThanOrEqual(most);
    expect(given.length).toBeGreaterThan(before);
  }
  expect(given).toEqual(upTo(1_000));
  expect(writer.bytes).toBeGreaterThan(0);
  take();
  expect(writer.bytes).toBe(0);
});

test("the end comes after all that was written, at once where that is on its way, and nothing after it", async () => {
  const { writer, given, take } = opened();
  for (const i of upTo(200)) writer.write(message(i));
  let ends = 0;
  writer.endWith(() => ends++);
  writer.write(message(200));
  while (given.length < 200) {
    expect(ends).toBe(0);
    take();
    await nextTick();
  }
  take();
  expect([given, ends]).toEqual([upTo(200), 1]);
  const still = opened();
  still.writer.endWith(() => ends++);
  expect(ends).toBe(2);
});

test("what is left is dropped with the stream", async () => {
  const { writer, given, take } = opened();
  for (const i of upTo(200)) writer.write(message(i));
  const { length } = given;
  writer.drop();
  writer.endWith(() => expect.unreachable("it is gone"));
  take();
  await nextTick();
  take();
  expect(given.length).toBe(length);
});
