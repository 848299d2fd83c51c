import { setImmediate as nextTick } from "node:timers/promises";
import { Command, ConnectRequest, ConnectResponse, ExecuteRequest } from "@livescope/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import type { SessionError } from "../session/errors.js";
import type { CommandOptions } from "../session/execution.js";
import { FIRST_CREDIT } from "../session/running-execution.js";
import type { Sessions } from "../session/sessions.js";
import { Connection } from "./connection.js";
import { Slices } from "./slices.js";

/** A message of frames that say nothing: they are refused, whatever the sessions are. */
const frames = (count: number): Uint8Array =>
  ConnectRequest.encode({
    frames: Array.from({ length: count }, (_, i) => ({ frameId: BigInt(i + 1), frame: undefined })),
  }).finish();

/** The stream of a client that takes what it is told when the test has it take it. */
function opened({ slices = new Slices(), ...its }: { slices?: Slices; [method: string]: unknown } = {}) {
  let take = (): void => undefined;
  const stream = {
    isRead: true,
    isEnded: false,
    error: undefined as SessionError | undefined,
    answered: 0,
    unhandled: 0,
    take: () => take(),
  };
  const sessions = {
    together: (submit: () => void) => submit(),
    openCallsOf: () => 0,
    isAtHand: () => true,
    ...its,
  } as unknown as Sessions;
  const transport = {
    deadline: Number.POSITIVE_INFINITY,
    send: (message: Buffer, taken: () => void) => {
      stream.answered += ConnectResponse.decode(message).frames.length;
      take = () => {
        take = () => undefined;
        taken();
      };
    },
    untaken: () => undefined,
    unhandled: (bytes: number) => {
      stream.unhandled = bytes;
    },
    pause: () => {
      stream.isRead = false;
    },
    resume: () => {
      stream.isRead = true;
    },
    end: (error?: SessionError) => {
      stream.isEnded = true;
      stream.error = error;
    },
  };
  return { stream, connection: new Connection(sessions, slices, transport, pino({ level: "silent" })) };
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

test("a message that is handled in parts counts until it is, or its stream is cut", async () => {
  const [handled, cut] = [opened(), opened()];
  const message = frames(5_000);
  for (const { connection } of [handled, cut]) connection.receive(message);
  expect([handled.stream.unhandled, cut.stream.unhandled]).toEqual([message.length, message.length]);
  cut.connection.cutSender();
  expect([cut.stream.unhandled, cut.stream.error?.reason]).toEqual([0, "QUOTA_EXCEEDED"]);
  const left = (): number => {
    handled.stream.take();
    return handled.stream.unhandled;
  };
  await expect.poll(left).toBe(0);
});

test("of many exposures some are begun at a time, and no more while the client is behind with the answers", async () => {
  let begun = 0;
  const names = [..."abcdefgh"].map((name) => name.repeat(100_000));
  const session = { expose: async (_options: unknown, _link: unknown, tell: (names: string[]) => void) => tell(names) };
  const use = (_sessionId: string, work: (using: typeof session) => Promise<void>) => {
    begun++;
    return work(session);
  };
  const { stream, connection } = opened({ use });
  const expose = { sessionId: "a", names: [], connectionId: "c", takeOver: false };
  const frames = Array.from({ length: 300 }, (_, i) => {
    return { frameId: BigInt(i + 1), frame: { $case: "expose", value: expose } } as const;
  });
  connection.receive(ConnectRequest.encode({ frames }).finish());
  expect(begun).toBeLessThan(100);
  const first = begun;
  for (let i = 0; i < 50; i++) await nextTick();
  expect([begun, stream.isRead, stream.isEnded]).toEqual([first, false, false]);
  const answered = (): number => {
    stream.take();
    return stream.answered;
  };
  await expect.poll(answered, { interval: 1, timeout: 20_000 }).toBe(300);
  expect(stream.isEnded).toBe(false);
});

const exposing = (count: number): Uint8Array => {
  const expose = { sessionId: "a", names: [], connectionId: "c", takeOver: false };
  const frames = Array.from({ length: count }, (_, i) => {
    return { frameId: BigInt(i + 1), frame: { $case: "expose", value: expose } } as const;
  });
  return ConnectRequest.encode({ frames }).finish();
};

test("of exposures that may be sent thousands of calls few are begun at a time, in order, of all streams together", async () => {
  const slices = new Slices();
  let begun = 0;
  const use = async () => void begun++;
  const streams = Array.from({ length: 20 }, () => opened({ slices, use, openCallsOf: () => 5_000 }));
  for (const { connection } of streams) connection.receive(exposing(3));
  const each: number[] = [];
  for (let before = -1; begun < 60; ) {
    each.push(begun - Math.max(before, 0));
    before = begun;
    await nextTick();
  }
  expect([Math.max(...each) < 5, begun]).toEqual([true, 60]);
  expect(streams.every(({ connection }) => connection.outbox.bytes === 0)).toBe(true);
  for (let i = 0; i < 3; i++) await nextTick();
  expect(streams.every(({ stream }) => stream.isRead)).toBe(true);
});

test("an exposure for which there is not enough left in a round is begun in the next one, whoever else exposes", async () => {
  const slices = new Slices();
  let begun = 0;
  const many = opened({ slices, use: async () => void begun++, openCallsOf: () => 5_500 });
  let before: number | undefined;
  const use = async (): Promise<void> => {
    before = begun;
  };
  const one = opened({ slices, use, openCallsOf: () => 6_500 });
  many.connection.receive(exposing(200));
  one.connection.receive(exposing(1));
  await expect.poll(() => before, { interval: 1 }).toBeLessThan(10);
  many.connection.lost();
});

test.each([true, false])(
  "of frames that name sessions of which the store is asked few are begun at a time: %s",
  async (isAsked) => {
    let begun = 0;
    const cancel = async () => void begun++;
    const { connection } = opened({ cancel, isAtHand: () => !isAsked });
    const frames = Array.from({ length: 2_000 }, (_, i) => {
      const value = { sessionId: `${i}`, executionId: "e" };
      return { frameId: BigInt(i + 1), frame: { $case: "cancel", value } } as const;
    });
    connection.receive(ConnectRequest.encode({ frames }).finish());
    expect(begun < 100).toBe(isAsked);
    await expect.poll(() => begun).toBe(2_000);
  },
);

test("what a client keeps no more is looked for in few sessions at a time", () => {
  const { connection } = opened();
  let asked = 0;
  const session = { forget: () => void asked++, result: () => undefined, detach: () => undefined };
  for (let i = 0; i < 5_000; i++) connection.hostFunctions.attached({ ...session });
  const frames = Array.from({ length: 2_000 }, (_, i) => {
    return { frameId: BigInt(i + 1), frame: { $case: "releaseHostFunctionId", value: `${i}` } } as const;
  });
  connection.receive(ConnectRequest.encode({ frames }).finish());
  expect([asked > 0, asked < 200_000]).toEqual([true, true]);
  connection.lost();
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

test("what begins when its client has said its last emits at the pace of the transport: nobody can give it credit", async () => {
  let begun: CommandOptions | undefined;
  let allowed = 0;
  const executeAlone = (_: unknown, options: CommandOptions) => {
    begun = options;
    const allow = (credit: number): void => {
      allowed += credit;
    };
    return { executionId: "x", outcome: new Promise<never>(() => undefined), cancel: () => undefined, allow };
  };
  const { stream, connection } = opened({ executeAlone });
  const command = Command.create({ command: { $case: "execute", value: ExecuteRequest.create({ code: "1" }) } });
  const last = ConnectRequest.encode({ frames: [{ frameId: 5_001n, frame: { $case: "command", value: command } }] });
  connection.receive(Buffer.concat([frames(5_000), last.finish()]));
  connection.finish();
  expect(begun).toBeUndefined();
  const isBegun = (): boolean => {
    stream.take();
    return begun !== undefined;
  };
  await expect.poll(isBegun).toBe(true);
  for (let i = 0; i < FIRST_CREDIT; i++) begun?.listener?.emitted?.({ kind: "json", text: "1" });
  const areTaken = (): boolean => {
    stream.take();
    return connection.outbox.bytes === 0;
  };
  await expect.poll(areTaken).toBe(true);
  expect(allowed).toBe(FIRST_CREDIT);
});

test("frames of a message are decoded when it is their turn: what is no frame ends the stream after what stands before it", async () => {
  const { stream, connection } = opened();
  connection.receive(Buffer.concat([frames(5_000), Buffer.from([0xff])]));
  const { isEnded } = stream;
  const answeredLast = async (): Promise<boolean> => {
    stream.take();
    await nextTick();
    return stream.isEnded;
  };
  await expect.poll(answeredLast).toBe(true);
  const { field } = stream.error?.details ?? {};
  expect([isEnded, stream.answered > 0, stream.error?.reason, field]).toEqual([
    false,
    true,
    "INVALID_REQUEST",
    "frames",
  ]);
});

test("of many streams with many frames only few of each are handled as they come: others have the thread as soon", async () => {
  const slices = new Slices();
  const streams = Array.from({ length: 10 }, () => opened({ slices }));
  let handled = 0;
  for (const { connection } of streams) {
    const before = connection.outbox.bytes;
    connection.receive(frames(1_500));
    handled += connection.outbox.bytes - before;
  }
  const [whole, last] = [streams.at(0), streams.at(-1)].map((each) => each?.connection.outbox.bytes ?? 0);
  expect(last).toBeLessThan((whole ?? 0) / 10);
  expect(handled).toBeLessThan(3 * (whole ?? 0));
  const areRead = (): boolean => {
    for (const { stream } of streams) stream.take();
    return streams.every(({ stream, connection }) => stream.isRead && connection.outbox.bytes === 0);
  };
  await expect.poll(areRead).toBe(true);
  expect(streams.map(({ stream }) => stream.answered)).toEqual(streams.map(() => 1_500));
});

test("of streams with messages of very many frames each has its turn: others have the thread after each slice", async () => {
  const slices = new Slices();
  const streams = Array.from({ length: 10 }, () => opened({ slices }));
  for (const { connection } of streams) connection.receive(frames(20_000));
  const bytes = (): number[] => streams.map(({ connection }) => connection.outbox.bytes);
  const grown: number[] = [];
  for (let i = 0; i < 12; i++) {
    const before = bytes();
    await nextTick();
    grown.push(bytes().filter((size, which) => size > (before[which] ?? 0)).length);
  }
  expect(new Set(grown)).toEqual(new Set([1]));
  for (const { connection } of streams) connection.lost();
});

test("what is left of many short messages is handled together, and not each in a round of its own", async () => {
  const slices = new Slices();
  const streams = Array.from({ length: 60 }, () => opened({ slices }));
  for (const { connection } of streams) connection.receive(frames(64));
  const areRead = (): number => streams.filter(({ stream }) => stream.isRead).length;
  expect(areRead()).toBeLessThan(60);
  for (let i = 0; i < 3; i++) await nextTick();
  expect(areRead()).toBe(60);
});
