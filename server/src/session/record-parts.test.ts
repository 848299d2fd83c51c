import { expect, test } from "vitest";
import { changesOf, frameOf, NO_PARTS, partsOf, recordOf } from "./record-parts.js";
import { type HostCallRecord, NO_RECORD, type ReplyRecord, type SessionRecord } from "./session-record.js";

const json = (text: string) => ({ arm: "json", text }) as const;
const call = (callId: string): HostCallRecord => ({
  execution: 1,
  callId,
  text: {
    call: callId,
    name: "f",
    encoding: 0,
    args: [json("1"), { arm: "bytes", bytes: Buffer.from([1, 255]) }],
    locals: new Map([["tenant", json('"a"')]]),
  },
});
const reply = (callId: string): ReplyRecord => ({
  callId,
  execution: 0,
  result: { kind: "value", value: { kind: "bytes", bytes: Buffer.from([0, 200]) } },
});
const record = (calls: readonly HostCallRecord[], replies: readonly ReplyRecord[]): SessionRecord => ({
  ...NO_RECORD,
  hostFunctions: { names: ["f"], passed: [], calls },
  replies,
});

test("a record is the same when it is put together again", () => {
  const whole = record([call("a"), call("b")], [reply("a"), reply("c")]);
  const { parts } = changesOf(NO_PARTS, partsOf(whole));
  expect(parts.map(({ key }) => key)).toEqual(["call a", "call b", "reply a", "reply c"]);
  expect(JSON.stringify(frameOf(whole))).not.toMatch(/"args"|"value"/);
  const [again, known] = recordOf(frameOf(whole), parts);
  expect(again).toEqual(whole);
  // They need not be written again as long as they are there.
  expect(changesOf(known, partsOf(again))).toEqual({ parts: [], dropped: [] });
});

test("only what was not there is written, and what is there no more is dropped", () => {
  const [a, b, c] = [call("a"), call("b"), reply("b")];
  const changes = changesOf(partsOf(record([a, b], [])), partsOf(record([a], [c])));
  expect(changes.parts.map(({ key }) => key)).toEqual(["reply b"]);
  expect(changes.dropped).toEqual(["call b"]);
});

test("another of the same key takes its place", () => {
  const changes = changesOf(partsOf(record([call("a")], [])), partsOf(record([call("a")], [])));
  expect(changes.parts.map(({ key }) => key)).toEqual(["call a"]);
  expect(changes.dropped).toEqual([]);
});

test("what stands in the frame is taken from there, and is not taken to be stored", () => {
  const whole = record([call("a")], [reply("b")]);
  const [again, known] = recordOf(whole, []);
  expect(again).toEqual(whole);
  expect(known.size).toBe(0);
});

test("where one is missing there is no record", () => {
  const whole = record([call("a"), call("b")], []);
  const { parts } = changesOf(NO_PARTS, partsOf(whole));
  expect(() => recordOf(frameOf(whole), parts.slice(1))).toThrow(/lacks the call a/);
});
