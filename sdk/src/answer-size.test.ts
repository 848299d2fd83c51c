import { Exception, HostResult, type Value } from "@livescope/proto";
import { expect, test } from "vitest";
import { answerSize } from "./answer-size.js";

const LONG = "x".repeat(1_000_000);
const json: Value = { kind: { $case: "json", value: JSON.stringify(LONG) } };
const exception = (parts: Partial<Exception> = {}): Exception => ({ ...Exception.create(), ...parts });
const thrown = (parts: Partial<Exception>): HostResult => ({
  hostCallId: "1",
  outcome: { $case: "exception", value: exception(parts) },
});

test.each<[what: string, answer: HostResult]>([
  ["a value", { hostCallId: "1", outcome: { $case: "value", value: json } }],
  [
    "bytes",
    {
      hostCallId: "1",
      outcome: { $case: "value", value: { kind: { $case: "bytes", value: Buffer.alloc(1_000_000) } } },
    },
  ],
  ["the message of an error", thrown({ message: LONG })],
  ["its name", thrown({ name: LONG })],
  ["its stack", thrown({ stack: LONG })],
  ["what was thrown in place of one", thrown({ thrown: json })],
  ["the cause of its cause", thrown({ cause: exception({ cause: exception({ message: LONG }) }) })],
  ["one of several", thrown({ errors: [exception(), exception({ message: LONG })] })],
])("%s counts", (_what, answer) => {
  expect(answerSize(answer)).toBeGreaterThanOrEqual(LONG.length);
  expect(answerSize(answer)).toBeLessThan(LONG.length + 2_000);
});

test("an answer without anything counts too", () => {
  expect(answerSize(HostResult.create({}))).toBeGreaterThan(0);
});
