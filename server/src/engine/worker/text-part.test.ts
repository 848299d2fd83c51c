/** What is kept of a message between threads does not keep the rest of it. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { decodeEffects } from "../kernel-protocol.js";
import { Mailbox } from "./mailbox.js";
import type { TurnReply } from "./messages.js";
import { partOf } from "./text-part.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const MEBIBYTE = 1 << 20;
const COUNT = 40;

/** Bytes of this thread's heap that `make` leaves behind by what it gives, called again and again. */
function kept(make: (i: number) => unknown): number {
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const all = Array.from({ length: COUNT }, (_, i) => make(i));
  collectGarbage();
  const bytes = process.memoryUsage().heapUsed - before;
  expect(all).toHaveLength(COUNT);
  return bytes;
}

/** A text of a mebibyte, unlike any other. */
function large(i: number): string {
  return `${i + 100}-`.repeat(MEBIBYTE / 4);
}

test("a part of a text is what slice gives", () => {
  for (const text of ["", "a", "x\u{1f600}y".repeat(20), `${"a".repeat(5)}${"é".repeat(50)}`]) {
    for (let begin = 0; begin <= text.length; begin++) {
      for (let end = begin; end <= text.length; end++) expect(partOf(text, begin, end)).toBe(text.slice(begin, end));
    }
  }
});

test("a small part holds nothing of the rest", () => {
  // What it is about: a slice does.
  expect(kept((i) => large(i).slice(0, 20))).toBeGreaterThan((COUNT / 2) * MEBIBYTE);
  expect(kept((i) => partOf(large(i), 0, 20))).toBeLessThan(4 * MEBIBYTE);
});

function reply(turn: number, texts: readonly string[]): TurnReply {
  const numbers = texts.flatMap(({ length }) => [1, turn, 1, length]);
  const effects = { numbers, text: texts.join(""), bytes: [] };
  const rest = { handles: 0, heapBytes: 0, nextTimer: -1, nextTimerOwner: 0, owner: 0 };
  return { kind: "committed", turn, startedAt: 1, cpuTime: 1, effects, ...rest };
}

/** The first effect of the first of these replies, when they were told by the mailbox together. */
function firstOf(replies: readonly TurnReply[]): unknown {
  const worker = new Mailbox();
  const [first] = new Mailbox(worker.buffer).readReplies(worker.writeReplies(replies) as string);
  return first?.kind === "committed" ? decodeEffects(first.effects)[0] : undefined;
}

const SMALL = "what is kept for long";

test.each<[string, (i: number) => unknown]>([
  ["other turns", (i) => firstOf([reply(1, [SMALL]), reply(2, [large(i)])])],
  ["the same turn", (i) => firstOf([reply(1, [SMALL, large(i)])])],
])("an effect holds nothing of others, of %s", (_what, make) => {
  expect(make(0)).toMatchObject({ kind: "value", text: SMALL });
  expect(kept(make)).toBeLessThan(4 * MEBIBYTE);
});
