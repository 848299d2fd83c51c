/** Bad requests about limits. */
import {
  CreateSessionRequest,
  type Duration,
  ExecuteRequest,
  type Limits,
  SandboxServiceService as Sandbox,
  SessionServiceService as SessionRpcs,
} from "@livescope/proto";
import { expect } from "vitest";
import { type Answer, frame, responseOf } from "../raw-http2.js";
import { field, numberField } from "../wire.js";
import { type BadRequest, dataOf, executionOf, type World } from "./world.js";

const MEBIBYTE = 1024 * 1024;
const FIELD_OF_LIMITS = { createSession: 4, execute: 9 } as const;
/** A number of no field of Limits. */
const UNKNOWN_FIELD = 99;

export const LIMITS_CASES: Readonly<Record<string, BadRequest>> = {
  "limits/timeout-negative": async (world) => {
    const nanos = await executeIn(world, world.here.sessionId, "ran++", { timeout: { seconds: 0n, nanos: -1 } });
    expect(nanos.status).toBe("INVALID_ARGUMENT");
    return executeIn(world, world.here.sessionId, "ran++", { timeout: { seconds: -1n, nanos: 0 } });
  },

  "limits/timeout-zero": async (world) => {
    const { sessionId } = await world.createSession({ limits: limitsOf({ timeout: milliseconds(200) }) });
    const zero = { timeout: milliseconds(0) };
    const endless = executionOf(await executeIn(world, sessionId, "for (;;);", zero));
    expect(endless.outcome).toMatchObject({ $case: "stopped" });
    const answer = await executeIn(world, sessionId, "1", zero);
    expect(dataOf(executionOf(answer))).toBe(1);
    await world.deleteSession(sessionId);
    return answer;
  },

  "limits/stack-huge": async (world) => {
    const limits = field(FIELD_OF_LIMITS.createSession, numberField(UNKNOWN_FIELD, 0x40000000));
    const answer = await world.connection.send(SessionRpcs.createSession.path, frame(limits));
    const sessionId = responseOf(SessionRpcs.createSession, answer).session?.sessionId ?? "";
    const deep = await world.execute(sessionId, "(function f() { f() })()");
    expect(deep.outcome).toMatchObject({ $case: "exception" });
    expect(dataOf(await world.execute(sessionId, "40 + 2"))).toBe(42);
    await world.deleteSession(sessionId);
    return answer;
  },

  "limits/depth-huge": async (world) => {
    const request = ExecuteRequest.create({ sessionId: world.here.sessionId, code: "1" });
    const limits = field(FIELD_OF_LIMITS.execute, numberField(UNKNOWN_FIELD, 1_000_000));
    const body = Buffer.concat([Sandbox.execute.requestSerialize(request), limits]);
    const answer = await world.connection.send(Sandbox.execute.path, frame(body));
    expect(dataOf(executionOf(answer))).toBe(1);
    return answer;
  },

  "limits/nan-limit": async (world) => {
    const { sessionId } = world.here;
    const mixed = await executeIn(world, sessionId, "ran++", { cpuTime: { seconds: 1n, nanos: -1 } });
    expect(mixed.status).toBe("INVALID_ARGUMENT");
    return executeIn(world, sessionId, "ran++", { cpuTime: { seconds: 1n, nanos: 2 ** 31 - 1 } });
  },

  "limits/infinity-limit": async (world) => {
    const limits = limitsOf({ cpuTime: { seconds: 2n ** 63n - 1n, nanos: 999_999_999 } });
    const created = await world.connection.call(SessionRpcs.createSession, CreateSessionRequest.create({ limits }));
    expect(created.status).toBe("INVALID_ARGUMENT");
    const { sessionId } = await world.createSession({ limits: limitsOf({ cpuTime: milliseconds(100) }) });
    const answer = await executeIn(world, sessionId, "for (;;);", limits);
    expect(executionOf(answer).outcome).toMatchObject({ $case: "stopped" });
    await world.deleteSession(sessionId);
    return answer;
  },

  "limits/limits-raise-own": async (world) => {
    const memoryBytes = BigInt(8 * MEBIBYTE);
    const { sessionId } = await world.createSession({ limits: limitsOf({ memoryBytes, timeout: milliseconds(200) }) });
    const raised = { memoryBytes: BigInt(256 * MEBIBYTE), timeout: { seconds: 60n, nanos: 0 } };
    const large = await executeIn(world, sessionId, `new Uint8Array(${32 * MEBIBYTE}).length`, raised);
    expect(executionOf(large).outcome).toMatchObject({ $case: "stopped" });
    const answer = await executeIn(world, sessionId, "for (;;);", raised);
    expect(executionOf(answer).outcome).toMatchObject({ $case: "stopped" });
    await world.deleteSession(sessionId);
    return answer;
  },
};

function executeIn(world: World, sessionId: string, code: string, limits: Partial<Limits>): Promise<Answer> {
  const request = ExecuteRequest.create({ sessionId, code, limits: limitsOf(limits) });
  return world.connection.call(Sandbox.execute, request);
}

function limitsOf(limits: Partial<Limits>): Limits {
  return {
    memoryBytes: 0n,
    timeout: undefined,
    cpuTime: undefined,
    consoleBytes: 0n,
    valueBytes: 0n,
    handles: 0n,
    queuedExecutions: 0n,
    ...limits,
  };
}

function milliseconds(count: number): Duration {
  return { seconds: 0n, nanos: count * 1e6 };
}
