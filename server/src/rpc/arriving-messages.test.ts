import type { Http2Stream } from "node:http2";
import { PassThrough, Readable } from "node:stream";
import { expect, test } from "vitest";
import { ArrivingMessages, readOneAhead } from "./arriving-messages.js";

const MEBIBYTE = 1 << 20;

/** A stream, how often it was ended, and what is called when its handler reads on. */
function counted(arriving: ArrivingMessages, peer: string) {
  const stream = new PassThrough();
  let ended = 0;
  const taken = arriving.count(
    stream as unknown as Http2Stream,
    () => peer,
    () => ended++,
  );
  const come = (bytes: number) => stream.emit("data", Buffer.alloc(bytes));
  return { come, taken, close: () => stream.emit("close"), ended: () => ended };
}

test("of the connection by which most has come the largest message is given up where all have too much", () => {
  const arriving = new ArrivingMessages(2 * MEBIBYTE);
  const [small, one, other] = [counted(arriving, "a"), counted(arriving, "b"), counted(arriving, "b")];
  small.come(MEBIBYTE * 0.7);
  one.come(MEBIBYTE / 2);
  other.come(MEBIBYTE / 4);
  expect([small, one, other].map(({ ended }) => ended())).toEqual([0, 0, 0]);
  other.come(MEBIBYTE);
  expect([small, one, other].map(({ ended }) => ended())).toEqual([0, 0, 1]);
  other.come(MEBIBYTE);
  one.come(MEBIBYTE / 2);
  expect([small, one, other].map(({ ended }) => ended())).toEqual([0, 0, 1]);
});

test("what its handler has taken is not counted any more", () => {
  const { come, taken, ended } = counted(new ArrivingMessages(2 * MEBIBYTE), "a");
  for (let i = 0; i < 10; i++) {
    come(MEBIBYTE);
    taken();
  }
  expect(ended()).toBe(0);
});

test("what came by a stream that is gone is not counted any more", () => {
  const arriving = new ArrivingMessages(2 * MEBIBYTE);
  const [gone, other] = [counted(arriving, "a"), counted(arriving, "b")];
  gone.come(MEBIBYTE * 1.5);
  gone.close();
  other.come(MEBIBYTE);
  expect([gone.ended(), other.ended()]).toEqual([0, 0]);
});

test("pieces of a byte are counted with what it takes to keep them", () => {
  const { come, ended } = counted(new ArrivingMessages(), "a");
  for (let i = 0; i < 100_000; i++) come(1);
  expect(ended()).toBe(0);
  for (let i = 0; i < 100_000; i++) come(1);
  expect(ended()).toBe(1);
});

test("of a stream that is paused one message is read", async () => {
  let read = 0;
  const stream = new Readable({
    objectMode: true,
    read() {
      read++;
      setImmediate(() => this.push({}));
    },
  });
  readOneAhead(stream);
  stream.on("data", () => stream.pause());
  for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve));
  expect(read).toBe(2);
});
