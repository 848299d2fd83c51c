/** Clients that send much and never the whole of it: what the server keeps for all of them together is bounded. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { ConnectRequest, SandboxServiceService as Sandbox } from "@livescope/proto";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { answerOf, frame } from "./support/raw-http2.js";

const MEBIBYTE = 1 << 20;

let server: RunningServer;
let client: ClientHttp2Session;
beforeAll(async () => {
  server = await startServer({ maximumArriving: 5.5 * MEBIBYTE });
  client = connect(`http://${server.address}`);
});
afterAll(async () => {
  client.destroy();
  await server.close();
});

function open(): ClientHttp2Stream {
  const path = Sandbox.connect.path;
  const stream = client.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  // A first one that is whole: the stream may stay then.
  stream.write(frame(new Uint8Array()));
  return stream;
}

test("what a stream has said and its handler has taken counts no more", async () => {
  const stream = open();
  const answer = answerOf(stream);
  // Of a field that this version does not know.
  const padding = Buffer.concat([Buffer.from([0x7a, 0x80, 0x80, 0x40]), Buffer.alloc(MEBIBYTE)]);
  for (let i = 0; i < 20; i++) stream.write(frame(padding));
  stream.end();
  expect(await answer).toMatchObject({ status: "OK" });
});

test("so many streams of half-sent messages are ended as there is no room for, and the others go on", async () => {
  const code = "x".repeat(1.2 * MEBIBYTE);
  const command = { command: { $case: "execute", value: { code: `"${code}".length` } } } as const;
  const request = ConnectRequest.fromPartial({
    frames: [{ frameId: 1n, frame: { $case: "command", value: command } }],
  });
  const message = frame(ConnectRequest.encode(request).finish());
  const streams = Array.from({ length: 10 }, () => {
    const stream = open();
    stream.write(message.subarray(0, MEBIBYTE));
    return { stream, answer: answerOf(stream) };
  });
  const ended = new Map<ClientHttp2Stream, string>();
  for (const { stream, answer } of streams) void answer.then(({ status }) => ended.set(stream, status));
  await expect.poll(() => [...ended.values()]).toEqual(Array(5).fill("RESOURCE_EXHAUSTED"));
  const left = streams.filter(({ stream }) => !ended.has(stream));
  // One after the other: none of them has room for the rest of all.
  for (const { stream, answer } of left) {
    stream.end(message.subarray(MEBIBYTE));
    expect(await answer).toMatchObject({ status: "OK" });
  }
});
