import { setImmediate as nextTick } from "node:timers/promises";
import { type ClientFrame, ConnectResponse } from "@livescope/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import type { Sessions } from "../session/sessions.js";
import { Connection } from "./connection.js";

/** A frame that says nothing is refused, whatever the sessions are. */
const frames = (count: number): ClientFrame[] =>
  Array.from({ length: count }, (_, i) => ({ frameId: BigInt(i + 1), frame: undefined }));

/** The stream of a client that takes what it is told when the test has it take it. */
function opened() {
  let take = (): void => undefined;
  const stream = { isRead: true, isEnded: false, answered: 0, take: () => take() };
  const sessions = { together: (submit: () => void) => submit() } as unknown as Sessions;
  const transport = {
    deadline: Number.POSITIVE_INFINITY,
    send: (message: Buffer, taken: () => void) => {
      stream.answered += ConnectResponse.decode(message).frames.length;
      take = () => {
        take = () => undefined;
        taken();
      };
    },
    pause: () => {
      stream.isRead = false;
    },
    resume: () => {
      stream.isRead = true;
    },
    end: () => {
      stream.isEnded = true;
    },
  };
  return { stream, connection: new Connection(sessions, transport, pino({ level: "silent" })) };
}

test("a message of very many frames leaves others the thread, and is read to its end before the next one", async () => {
  const { stream, connection } = opened();
  connection.receive(frames(5_000));
  const answered: number[] = [];
  while (!stream.isRead) {
    await nextTick();
    answered.push(stream.answered);
    stream.take();
  }
  const untaken = (): number => {
    stream.take();
    return connection.outbox.bytes;
  };
  await expect.poll(untaken).toBe(0);
  expect([stream.answered, answered.length > 1]).toEqual([5_000, true]);
});

test("no more frames of a message are handled while the client is behind with their answers, and none once it is lost", async () => {
  const { stream, connection } = opened();
  connection.receive(frames(100_000));
  for (let i = 0; i < 200; i++) await nextTick();
  const { bytes } = connection.outbox;
  expect([stream.isRead, bytes > 1 << 20, bytes < 2 << 20]).toEqual([false, true, true]);
  connection.lost();
  stream.take();
  for (let i = 0; i < 200; i++) await nextTick();
  expect([stream.isRead, connection.outbox.bytes]).toEqual([false, 0]);
});

test("a stream that is to end does so when all frames of its last message are answered, and the answers taken", async () => {
  const { stream, connection } = opened();
  connection.receive(frames(5_000));
  connection.finish();
  // The answers to the first of them are taken before any of the others is looked at.
  for (let i = 0; i < 10; i++) {
    await new Promise<void>((resolve) => process.nextTick(resolve));
    stream.take();
  }
  expect([stream.answered < 5_000, connection.outbox.bytes, stream.isEnded]).toEqual([true, 0, false]);
  const isEnded = (): boolean => {
    stream.take();
    return stream.isEnded;
  };
  await expect.poll(isEnded).toBe(true);
  expect(stream.answered).toBe(5_000);
});
