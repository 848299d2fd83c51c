/** Bad requests about handles. */
import { CallRequest, ReleaseHandlesRequest, SandboxServiceService as Sandbox, type Value } from "@livescope/proto";
import { expect } from "vitest";
import { type Answer, responseOf } from "../raw-http2.js";
import { type BadRequest, dataOf, executionOf, type World } from "./world.js";

export const HANDLE_CASES: Readonly<Record<string, BadRequest>> = {
  "handle/empty": (world) => callHandle(world, ""),

  "handle/unknown": (world) => callHandle(world, "h_AAAAAAAAAAAAAAAA"),

  "handle/of-another-session": (world) => callHandle(world, world.neighbour.mark),

  "handle/of-another-tenant": (world) => callHandle(world, world.abroad.mark),

  "handle/as-argument-of-other-session": (world) => {
    const { mark: handleId } = world.neighbour;
    return callHandle(world, world.here.mark, [
      { kind: { $case: "handle", value: { handleId, type: "", className: "", preview: "", arity: 0 } } },
    ]);
  },

  "handle/release-during-call": async (world) => {
    const handleId = await world.handleOf("slow");
    const calling = callHandle(world, handleId);
    const answer = await releaseHandles(world, [handleId]);
    expect(responseOf(Sandbox.releaseHandles, answer).releasedCount).toBe(1n);
    expect(dataOf(executionOf(await calling))).toBe(42);
    expect((await callHandle(world, handleId)).status).toBe("NOT_FOUND");
    return answer;
  },

  "handle/release-1e6": async (world) => {
    const answer = await releaseHandles(world, new Array<string>(1_000_000).fill("x"));
    expect(dataOf(executionOf(await callHandle(world, world.here.mark)))).toBe(0);
    await world.forgetRun();
    return answer;
  },

  "handle/not-a-function": async (world) => {
    const answer = await callHandle(world, world.here.box);
    expect(executionOf(answer).outcome).toMatchObject({ $case: "exception", value: { name: "TypeError" } });
    return answer;
  },
};

function callHandle(world: World, handleId: string, args: Value[] = []): Promise<Answer> {
  const { sessionId } = world.here;
  return world.connection.call(Sandbox.call, CallRequest.create({ sessionId, handleId, args }));
}

function releaseHandles(world: World, handleIds: string[]): Promise<Answer> {
  const { sessionId } = world.here;
  return world.connection.call(Sandbox.releaseHandles, ReleaseHandlesRequest.create({ sessionId, handleIds }));
}
