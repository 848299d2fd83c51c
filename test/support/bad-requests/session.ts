/** Bad requests about sessions. */
import { setTimeout } from "node:timers/promises";
import {
  CreateSessionRequest,
  DeleteSessionRequest,
  ExecuteRequest,
  GetSessionRequest,
  SandboxServiceService as Sandbox,
  SessionServiceService as SessionRpcs,
} from "@livescope/proto";
import { expect } from "vitest";
import { type Answer, detailNames } from "../raw-http2.js";
import { type BadRequest, dataOf, executionOf, QUOTA, type World } from "./world.js";

const UNKNOWN = "s_AAAAAAAAAAAAAAAAAAAAAA";

export const SESSION_CASES: Readonly<Record<string, BadRequest>> = {
  "session/unknown-id": (world) => executeIn(world, UNKNOWN),

  "session/id-1mib": async (world) => {
    const before = world.log.length;
    const answer = await executeIn(world, "A".repeat(1024 * 1024));
    for (const text of [answer.message, ...world.log.slice(before)]) expect(text).not.toContain("A".repeat(200));
    return answer;
  },

  "session/id-nul": (world) => executeIn(world, "s_\0x"),

  "session/id-proto": async (world) => {
    for (const id of ["constructor", "toString", "hasOwnProperty"]) {
      expect((await executeIn(world, id)).status).toBe("NOT_FOUND");
    }
    const answer = await executeIn(world, "__proto__");
    // Where it is chosen as an id it names a session like any other.
    await world.createSession({ sessionId: "__proto__", setup: "let own = 1" });
    expect(dataOf(await world.execute("__proto__", "own"))).toBe(1);
    await world.deleteSession("__proto__");
    return answer;
  },

  "session/other-tenant": async (world) => {
    const answer = await executeIn(world, world.abroad.sessionId);
    expect(withoutIds(answer)).toEqual(withoutIds(await executeIn(world, UNKNOWN)));
    return answer;
  },

  "session/closed": async (world) => executeIn(world, await deletedSession(world)),

  "session/expired": async (world) => {
    const { sessionId } = await world.createSession({ idleTtl: { seconds: 0n, nanos: 1_000_000 } });
    // Reading a session is no use of it, so it expires while it is watched.
    while (
      (await world.connection.call(SessionRpcs.getSession, GetSessionRequest.create({ sessionId }))).status === "OK"
    );
    return executeIn(world, sessionId);
  },

  "session/lost": async (world) => {
    const { sessionId } = await world.createSession({ setup: "let total = 7" });
    const killing = ExecuteRequest.create({
      sessionId,
      // One builtin that is busy for long and never asks whether it should stop.
      code: 'total = 8; new Array(1e9) + ""',
      limits: { timeout: { seconds: 0n, nanos: 200_000_000 } },
    });
    const { execution } = await world.ask(Sandbox.execute, killing);
    expect(execution).toMatchObject({ outcome: { $case: "stopped" }, undone: true });
    const answer = await executeIn(world, sessionId, "total");
    expect(dataOf(executionOf(answer))).toBe(7);
    await world.deleteSession(sessionId);
    return answer;
  },

  "session/close-twice": async (world) => {
    const sessionId = await deletedSession(world);
    const remove = (allowMissing: boolean) =>
      world.connection.call(SessionRpcs.deleteSession, DeleteSessionRequest.create({ sessionId, allowMissing }));
    expect((await remove(true)).status).toBe("OK");
    return remove(false);
  },

  "session/close-while-running": async (world) => {
    const { sessionId } = await world.createSession();
    // So that the first use is another millisecond than the creation, by which untilUsed knows it.
    await setTimeout(2);
    const running = executeIn(world, sessionId, "for (;;);");
    const waiting = executeIn(world, sessionId, "1");
    await untilUsed(world, sessionId);
    const answer = await world.connection.call(SessionRpcs.deleteSession, DeleteSessionRequest.create({ sessionId }));
    for (const ended of [await running, await waiting]) {
      expect(ended.status).toBe("ABORTED");
      expect(detailNames(ended)).toContain("ErrorInfo SESSION_DELETED");
    }
    expect((await executeIn(world, sessionId)).status).toBe("NOT_FOUND");
    return answer;
  },

  "session/create-over-quota": async (world) => {
    const create = (sessionId: string, nanos = 0) =>
      world.connection.call(
        SessionRpcs.createSession,
        CreateSessionRequest.create({ sessionId, idleTtl: { seconds: 0n, nanos } }),
      );
    const filling: string[] = [];
    let answer = await create("fill-0");
    while (answer.status === "OK") {
      filling.push(`fill-${filling.length}`);
      answer = await create(`fill-${filling.length}`);
    }
    expect(filling.length).toBeLessThan(QUOTA);

    // The slot of a session that expires is free again without anybody having deleted it.
    await world.deleteSession(filling.pop() ?? "");
    expect((await create("brief", 1_000_000)).status).toBe("OK");
    while ((await create("after")).status !== "OK");
    for (const sessionId of [...filling, "after"]) await world.deleteSession(sessionId);
    return answer;
  },

  "session/dup-client-id": async (world) => {
    const { sessionId } = await world.createSession({ sessionId: "mine", setup: "let kept = 1" });
    const again = CreateSessionRequest.create({ sessionId, setup: "let kept = 2" });
    const answer = await world.connection.call(SessionRpcs.createSession, again);
    expect(dataOf(await world.execute(sessionId, "kept"))).toBe(1);
    await world.deleteSession(sessionId);
    return answer;
  },

  "session/dup-request-id-other-body": async (world) => {
    const { sessionId } = await world.createSession({ setup: "let runs = 0" });
    const once = (code: string) =>
      world.connection.call(Sandbox.execute, ExecuteRequest.create({ sessionId, code, requestId: "r1" }));
    expect(dataOf(executionOf(await once("++runs")))).toBe(1);
    expect(dataOf(executionOf(await once("++runs")))).toBe(1);
    const answer = await once("runs += 10");
    expect(dataOf(await world.execute(sessionId, "runs"))).toBe(1);
    await world.deleteSession(sessionId);
    return answer;
  },
};

function executeIn(world: World, sessionId: string, code = "1"): Promise<Answer> {
  return world.connection.call(Sandbox.execute, ExecuteRequest.create({ sessionId, code }));
}

async function deletedSession(world: World): Promise<string> {
  const { sessionId } = await world.createSession();
  await world.deleteSession(sessionId);
  return sessionId;
}

/** Waits until something runs in a new session. */
async function untilUsed(world: World, sessionId: string): Promise<void> {
  for (;;) {
    const { session } = await world.ask(SessionRpcs.getSession, GetSessionRequest.create({ sessionId }));
    if (session?.lastUseTime?.getTime() !== session?.createTime?.getTime()) return;
  }
}

/** What a caller learns beside the ids he sent himself. */
function withoutIds(answer: Answer): unknown {
  return { status: answer.status, message: answer.message, details: detailNames(answer) };
}
