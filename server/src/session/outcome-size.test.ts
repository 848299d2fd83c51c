import { expect, test } from "vitest";
import type { Frame, GuestException, Outcome } from "./outcome.js";
import { sizeOfAnswer } from "./outcome-size.js";

const MEBIBYTE = 1 << 20;
const TEXT = "x".repeat(MEBIBYTE);

const FRAME: Frame = { functionName: "", filename: "", line: 1, column: 1 };
const ERROR: GuestException = { name: "", message: "", stack: "", frames: [], errors: [] };
const EMPTY: Outcome = {
  executionId: "",
  result: { kind: "value", value: { kind: "undefined" } },
  console: [],
  consoleTruncated: false,
  warnings: [],
  usage: { wallTime: 0, cpuTime: 0, queueTime: 0, memoryBytes: 0, turns: 0, hostTime: 0, hostCalls: 0 },
  undone: false,
};

const withValue = (value: (Outcome["result"] & { kind: "value" })["value"]): Outcome => ({
  ...EMPTY,
  result: { kind: "value", value },
});
const withError = (of: Partial<GuestException>): Outcome => ({
  ...EMPTY,
  result: { kind: "exception", exception: { ...ERROR, ...of } },
});

const HANDLE = { handleId: "", type: "", className: "", preview: "", arity: 0 };

test.each<[what: string, outcome: Outcome]>([
  ["a value as JSON", withValue({ kind: "json", text: TEXT })],
  ["a value as a graph", withValue({ kind: "graph", text: TEXT })],
  ["bytes", withValue({ kind: "bytes", bytes: Buffer.alloc(MEBIBYTE) })],
  ["the preview of a handle", withValue({ kind: "handle", handle: { ...HANDLE, preview: TEXT } })],
  ["the class of a handle", withValue({ kind: "handle", handle: { ...HANDLE, className: TEXT } })],
  ["the name of an error", withError({ name: TEXT })],
  ["the message of an error", withError({ message: TEXT })],
  ["the stack of an error", withError({ stack: TEXT })],
  ["what was thrown, as plain data", withError({ thrown: TEXT })],
  ["what was thrown, as the caller asked for it", withError({ value: { kind: "graph", text: TEXT } })],
  ["a cause of a cause", withError({ cause: { ...ERROR, cause: { ...ERROR, message: TEXT } } })],
  ["an error among errors", withError({ errors: [ERROR, { ...ERROR, thrown: TEXT }] })],
  ["the function of a frame", withError({ frames: [{ ...FRAME, functionName: TEXT }] })],
  ["the file of a frame", withError({ frames: [{ ...FRAME, filename: TEXT }] })],
  ["why it was stopped", { ...EMPTY, result: { kind: "stopped", reason: "TIMEOUT", message: TEXT } }],
  ["the console", { ...EMPTY, console: [{ level: "log", text: TEXT, time: 0, undone: false }] }],
  [
    "the place of a console entry",
    { ...EMPTY, console: [{ level: "warn", text: "", time: 0, frame: { ...FRAME, filename: TEXT }, undone: false }] },
  ],
  ["a warning", { ...EMPTY, warnings: [{ message: TEXT }] }],
  ["the place of a warning", { ...EMPTY, warnings: [{ message: "", frame: { ...FRAME, functionName: TEXT } }] }],
])("what is kept of an outcome counts %s", (_, outcome) => {
  expect(sizeOfAnswer(outcome)).toBeGreaterThanOrEqual(MEBIBYTE);
  // And not more often than it is there.
  expect(sizeOfAnswer(outcome)).toBeLessThan(MEBIBYTE + 1_000);
});

test("parts without text take room, too", () => {
  const console = Array.from({ length: 1_000 }, () => ({ level: "log", text: "", time: 0, undone: false }) as const);
  expect(sizeOfAnswer({ ...EMPTY, console })).toBeGreaterThan(10_000);
  expect(sizeOfAnswer(withError({ frames: Array.from({ length: 100 }, () => FRAME) }))).toBeGreaterThan(1_000);
});
