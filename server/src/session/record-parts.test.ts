import { expect, test } from "vitest";
import { changesOf, frameOf, NO_PARTS, partsOf, recordOf } from "./record-parts.js";
import {
  type ExecutionRecord,
  type HostCallRecord,
  NO_RECORD,
  type ReplyRecord,
  type SessionRecord,
} from "./session-record.js";

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
const execution = (number: number): ExecutionRecord => ({
  number,
  executionId: `id ${number}`,
  digest: "",
  encoding: 0,
  limits: NO_RECORD.limits,
  parent: 0,
  isStreaming: false,
  clock: 1.5,
  isWaiting: true,
  elapsed: 2.25,
  cpuTime: 1,
  turns: 1,
  hostCalls: 0,
  hostTime: 0,
  warnings: [],
});
const record = (
  calls: readonly HostCallRecord[],
  replies: readonly ReplyRecord[],
  executions: readonly ExecutionRecord[] = [],
): SessionRecord => ({
  ...NO_RECORD,
  executions,
  hostFunctions: { names: ["f"], passed: [], calls },
  replies,
});

test("a record is the same when it is put together again", () => {
  const whole = record([call("a"), call("b")], [reply("a"), reply("c")], [execution(3), execution(7)]);
  const { parts } = changesOf(NO_PARTS, partsOf(whole));
  const keys = ["execution 3", "execution 7", "call a", "call b", "reply a", "reply c"];
  expect(parts.map(({ key }) => key)).toEqual(keys);
  expect(JSON.stringify(frameOf(whole))).not.toMatch(/"args"|"value"|"elapsed"/);
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
  const whole = record([call("a")], [reply("b")], [execution(1)]);
  const [again, known] = recordOf(whole, []);
  expect(again).toEqual(whole);
  expect(known.size).toBe(0);
});

test("where one is missing there is no record", () => {
  const whole = record([call("a"), call("b")], [], [execution(4)]);
  const { parts } = changesOf(NO_PARTS, partsOf(whole));
  const without = (lost: string) => parts.filter(({ key }) => key !== lost);
  expect(() => recordOf(frameOf(whole), without("call a"))).toThrow(/lacks the call a/);
  expect(() => recordOf(frameOf(whole), without("execution 4"))).toThrow(/lacks the execution 4/);
});
