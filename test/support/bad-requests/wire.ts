/** What is no request at all, or only nearly one. */
import { ExecuteRequest, SandboxServiceService as Sandbox } from "@livescope/proto";
import { expect } from "vitest";
import { type Ending, openStream, sayText } from "../raw-frames.js";
import { type Answer, type CallOptions, frame } from "../raw-http2.js";
import { field } from "../wire.js";
import { type BadRequest, dataOf, executionOf, type World } from "./world.js";

export const WIRE_CASES: Readonly<Record<string, BadRequest>> = {
  "wire/malformed-bytes": (world) => world.connection.send(Sandbox.execute.path, frame(Buffer.alloc(11, 0xff))),

  "wire/field-zero": (world) =>
    world.connection.send(Sandbox.execute.path, frame(Buffer.concat([Buffer.from([2, 0]), plainRequest(world)]))),

  "wire/unknown-fields": async (world) => {
    const unknown = field(15_000, Buffer.alloc(1_000_000, 0x61));
    const request = frame(Buffer.concat([plainRequest(world), unknown]));
    const answer = await world.connection.send(Sandbox.execute.path, request);
    expect(dataOf(executionOf(answer))).toBe(2);
    expect(answer.messages[0]?.length).toBeLessThan(1_000);
    return answer;
  },

  "wire/trailing-bytes": (world) =>
    world.connection.send(Sandbox.execute.path, Buffer.concat([frame(plainRequest(world)), Buffer.from([0, 0])])),

  "wire/wrong-content-type": (world) => executeWith(world, { "content-type": "application/json" }),

  "wire/no-content-type": (world) => executeWith(world, { "content-type": undefined }),

  "wire/http1": async (world) => ended(await sayText(world.address, "GET / HTTP/1.1\r\nHost: livescope\r\n\r\n")),

  "wire/unknown-method": (world) =>
    world.connection.send("/sandbox.v1.SandboxService/Nope", frame(plainRequest(world))),

  "wire/path-weird": (world) => world.connection.send("//", frame(plainRequest(world))),

  "wire/malformed-stream-init": async (world) => {
    const headers = { ":method": "POST", ":scheme": "http", "content-type": "application/grpc", te: "trailers" };
    // A request may name no authority; whatever becomes of it, it ends.
    await openStream(world.address, { ...headers, ":path": Sandbox.execute.path });
    return ended(await openStream(world.address, headers));
  },

  "wire/timeout-header-0": (world) => executeWith(world, { "grpc-timeout": "0m" }, "ran++"),

  "wire/timeout-header-junk": (world) => executeWith(world, { "grpc-timeout": "abc" }, "ran++"),

  "wire/metadata-bin-junk": (world) => executeWith(world, { "x-a-bin": "!!!" }),
};

function plainRequest(world: World, code = "1 + 1"): Buffer {
  return Sandbox.execute.requestSerialize(ExecuteRequest.create({ sessionId: world.here.sessionId, code }));
}

function executeWith(world: World, headers: NonNullable<CallOptions["headers"]>, code?: string): Promise<Answer> {
  return world.connection.send(Sandbox.execute.path, frame(plainRequest(world, code)), { headers });
}

function ended(status: Ending): Answer {
  return { status, message: "", details: [], messages: [] };
}
