import { expect, test } from "vitest";
import { HeapShare, MainHeap } from "../engine/main-heap.js";
import { LiveConsole } from "./live-console.js";
import type { ConsoleEntry } from "./outcome.js";

function consoleOf(
  bytes: number,
  share = new HeapShare(new MainHeap()),
): { console: LiveConsole; write: (text: string, last?: boolean) => void } {
  const console = new LiveConsole(bytes, true, share, () => undefined);
  const write = (text: string, last = false): void => {
    console.add({ text: JSON.stringify({ level: "log", time: 0, text }), last, execution: 1 }, false, false);
  };
  return { console, write };
}

const textsOf = (entries: readonly ConsoleEntry[]): string[] => entries.map(({ text }) => text);

test("a console goes on with what was written and what may be, as one", () => {
  const first = consoleOf(200);
  first.write("a".repeat(60));
  const second = consoleOf(200);
  second.console.restore(first.console.record(1_000));
  expect(second.console.isTruncated).toBe(false);
  second.write("b");
  second.write("c".repeat(100));
  second.write("d");
  expect(textsOf(second.console.entries)).toEqual(["a".repeat(60), "b", `${"c".repeat(43)}…`]);
  expect(second.console.isTruncated).toBe(true);
  // One that is full stays so.
  const third = consoleOf(200);
  third.console.restore(second.console.record(1_000));
  third.write("e");
  expect(textsOf(third.console.entries)).toEqual(textsOf(second.console.entries));
});

test("a console that was full for its turn stays so", () => {
  const first = consoleOf(1_000);
  first.write("a", true);
  const second = consoleOf(1_000);
  second.console.restore(first.console.record(1_000));
  second.write("b");
  expect([textsOf(second.console.entries), second.console.isTruncated]).toEqual([["a…"], true]);
});

test("a record has the first entries that there is room for, and says that others are missing", () => {
  const { console, write } = consoleOf(10_000);
  for (let i = 0; i < 10; i++) write(String(i).repeat(68));
  expect(console.record(1_000)).toMatchObject({ bytes: 1_000, isTruncated: false });
  const record = console.record(399);
  expect(record).toMatchObject({ bytes: 300, isTruncated: true, bytesLeft: 9_000 });
  const next = consoleOf(10_000);
  next.console.restore(record);
  next.write("later");
  expect(textsOf(next.console.entries)).toEqual([..."012"].map((digit) => digit.repeat(68)).concat("later"));
  expect(next.console.isTruncated).toBe(true);
  expect(console.record(0)).toMatchObject({ entries: [], bytes: 0, isTruncated: true });
});
