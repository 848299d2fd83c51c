/** Requests that are too large, too deep, or never end. */
import { once } from "node:events";
import { createGzip } from "node:zlib";
import { CallRequest, ExecuteRequest, SandboxServiceService as Sandbox } from "@livescope/proto";
import { expect } from "vitest";
import { type Answer, frame } from "../raw-http2.js";
import { field, numberField } from "../wire.js";
import { type BadRequest, dataOf, executionOf, type World } from "./world.js";

const MEBIBYTE = 1024 * 1024;
/** What a refused request may take beyond what the server takes anyway: a few times the largest message. */
const MEMORY_MARGIN = 64 * MEBIBYTE;

// Arms of google.protobuf.Value.
const NULL_VALUE = numberField(1, 0);
const NUMBER_VALUE = Buffer.concat([Buffer.from([(2 << 3) | 1]), Buffer.alloc(8)]);
const list = (...elements: readonly Uint8Array[]): Buffer => field(6, ...elements.map((element) => field(1, element)));

export const SIZE_CASES: Readonly<Record<string, BadRequest>> = {
  "size/code-5mib": (world) =>
    world.connection.call(
      Sandbox.execute,
      ExecuteRequest.create({ sessionId: world.here.sessionId, code: "x".repeat(5 * MEBIBYTE) }),
    ),

  "size/length-prefix-4gib": (world) =>
    withBoundedMemory(() =>
      world.connection.send(Sandbox.execute.path, Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), { stall: true }),
    ),

  // The other server is the one that does not wait long.
  "size/length-prefix-stall": (world) =>
    world.connectionAbroad.send(Sandbox.execute.path, frame(Buffer.from([0x0a]), { length: 3 * MEBIBYTE }), {
      stall: true,
    }),

  "size/nested-value-49": async (world) => {
    const nested = (depth: number): Buffer => {
      let value: Buffer = NULL_VALUE;
      for (let level = 0; level < depth; level++) value = list(value);
      return value;
    };
    expect(dataOf(executionOf(await callWithData(world, "kinds", nested(48))))).toEqual(["object"]);
    await world.forgetRun();
    return callWithData(world, "kinds", nested(49));
  },

  "size/list-1m": async (world) => {
    const count = 1_000_000;
    const listOf = (element: Buffer): Buffer => field(6, Buffer.alloc(count * element.length, element));
    const numbers = await callWithData(world, "size", listOf(field(1, NUMBER_VALUE)));
    expect(numbers.status).toBe("RESOURCE_EXHAUSTED");
    expect(await sizeOfJson(world, `[${"0,".repeat(count - 1)}0]`)).toBe(count);
    return callWithData(world, "size", listOf(field(1, NULL_VALUE)));
  },

  "size/map-100k": async (world) => {
    const keys = Array.from({ length: 100_000 }, (_, i) => `key${i}`);
    expect(await sizeOfJson(world, JSON.stringify(Object.fromEntries(keys.map((key) => [key, 0]))))).toBe(keys.length);
    const entries = keys.map((key) => field(1, field(1, Buffer.from(key)), field(2, NULL_VALUE)));
    return callWithData(world, "size", field(5, ...entries));
  },

  "size/metadata-7k": (world) =>
    world.connection.send(Sandbox.execute.path, small(world), { headers: { "x-a": "a".repeat(7000) } }),

  "size/metadata-2000-keys": (world) =>
    world.connection.send(Sandbox.execute.path, small(world), {
      headers: Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`x-${i}`, "1"])),
    }),

  "size/gzip-bomb": async (world) => {
    const bomb = await gzippedZeros(200);
    return withBoundedMemory(() =>
      world.connection.send(Sandbox.execute.path, frame(bomb, { compressed: true }), {
        headers: { "grpc-encoding": "gzip" },
      }),
    );
  },

  "size/gzip-garbage": (world) =>
    world.connection.send(Sandbox.execute.path, frame(Buffer.from("this is no gzip"), { compressed: true }), {
      headers: { "grpc-encoding": "gzip" },
    }),
};

/** A request that would count in `ran`, were it not for what is sent along with it. */
function small(world: World): Buffer {
  return frame(Sandbox.execute.requestSerialize({ ...ExecuteRequest.create(), ...world.here, code: "ran++" }));
}

/** Calls a function of the session with one argument, the body of a google.protobuf.Value. */
function callWithData(world: World, path: string, data: Buffer): Promise<Answer> {
  const call = CallRequest.create({ sessionId: world.here.sessionId, path });
  return world.connection.send(
    Sandbox.call.path,
    frame(Buffer.concat([Sandbox.call.requestSerialize(call), field(5, field(1, data))])),
  );
}

async function sizeOfJson(world: World, json: string): Promise<unknown> {
  const { sessionId } = world.here;
  const call = CallRequest.create({ sessionId, path: "size", args: [{ kind: { $case: "json", value: json } }] });
  const size = dataOf(executionOf(await world.connection.call(Sandbox.call, call)));
  await world.forgetRun();
  return size;
}

async function gzippedZeros(mebibytes: number): Promise<Buffer> {
  const gzip = createGzip();
  const chunks: Buffer[] = [];
  gzip.on("data", (chunk: Buffer) => chunks.push(chunk));
  const zeros = Buffer.alloc(MEBIBYTE);
  for (let i = 0; i < mebibytes; i++) if (!gzip.write(zeros)) await once(gzip, "drain");
  gzip.end();
  await once(gzip, "end");
  return Buffer.concat(chunks);
}

/** Watches the buffers of this process, which is the server's too. */
export async function withBoundedMemory(work: () => Promise<Answer>): Promise<Answer> {
  const { arrayBuffers: before } = process.memoryUsage();
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  }, 1);
  try {
    return await work();
  } finally {
    clearInterval(watch);
    expect(Math.max(most, process.memoryUsage().arrayBuffers) - before).toBeLessThan(MEMORY_MARGIN);
  }
}
