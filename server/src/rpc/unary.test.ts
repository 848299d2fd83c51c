import { EventEmitter, once } from "node:events";
import type { sendUnaryData } from "@grpc/grpc-js";
import { ExecuteRequest, type ExecuteResponse } from "@livescope/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import type { Outcome } from "../session/outcome.js";
import type { Sessions } from "../session/sessions.js";
import { OpenCalls } from "./open-calls.js";
import { outcomeFor } from "./submit.js";
import { unary } from "./unary.js";

const OUTCOME: Outcome = {
  executionId: "one",
  result: { kind: "value", value: { kind: "json", text: "2" } },
  console: [],
  consoleTruncated: false,
  warnings: [],
  usage: { wallTime: 0, cpuTime: 0, queueTime: 0, hostTime: 0, memoryBytes: 0, turns: 1, hostCalls: 0 },
  undone: false,
};

/** A call that is begun as the gRPC library begins it, in a session that has an outcome when the test gives it one. */
function begun() {
  const call = Object.assign(new EventEmitter(), {
    request: ExecuteRequest.fromPartial({ code: "1 + 1" }),
    getDeadline: () => Number.POSITIVE_INFINITY,
  });
  const its = { call, isCancelled: false, give: (_outcome: Outcome): void => undefined };
  const execution = {
    executionId: "one",
    outcome: new Promise<Outcome>((resolve) => {
      its.give = resolve;
    }),
    cancel: () => {
      its.isCancelled = true;
    },
  };
  const sessions = { executeAlone: () => execution } as unknown as Sessions;
  const handler = unary<ExecuteRequest, ExecuteResponse>(
    async (value, context) => ({ execution: await outcomeFor(sessions, { $case: "execute", value }, context) }),
    { openCalls: new OpenCalls(), logger: pino({ level: "silent" }) },
  );
  const answer: sendUnaryData<ExecuteResponse> = (error, response) => void call.emit("answer", error, response);
  handler(call as never, answer);
  return its;
}

test("a call that is answered keeps neither what it asked with nor its outcome: its client may leave the answer where it is", async () => {
  const { call, give } = begun();
  const answered = once(call, "answer");
  give(OUTCOME);
  const [error, response] = await answered;
  expect([error, response.execution.outcome.value.kind]).toEqual([null, { $case: "data", value: "2" }]);
  expect([call.request, call.listenerCount("cancelled")]).toEqual([undefined, 0]);
});

test("a call whose client goes before ends its execution", () => {
  const its = begun();
  its.call.emit("cancelled");
  expect(its.isCancelled).toBe(true);
});
