import { once } from "node:events";
import { connect } from "node:http2";
import { CreateSessionRequest, ExecuteRequest } from "@livescope/proto";
import { Livescope, NotFoundError } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { frame } from "./support/raw-http2.js";

let server: RunningServer;
beforeAll(async () => {
  server = await startServer({ receiveTimeout: 150 });
});
afterAll(() => server.close());

const message = frame(ExecuteRequest.encode(ExecuteRequest.fromPartial({ code: "1" })).finish());

describe("a request that never ends", () => {
  test.each([
    ["sends nothing", Buffer.alloc(0)],
    ["stops in the middle of its message", message.subarray(0, 6)],
    ["sends its message and keeps the stream open", message],
  ])("is answered, and loses its stream, when it %s", async (_how, bytes) => {
    const session = connect(`http://${server.address}`);
    try {
      const stream = session.request({
        ":method": "POST",
        ":path": "/sandbox.v1.SandboxService/Execute",
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.resume();
      if (bytes.length > 0) stream.write(bytes);
      const closed = once(stream, "close");
      // A status without a message comes as headers alone.
      const statuses: unknown[] = [];
      for (const event of ["response", "trailers"]) {
        stream.on(event, (headers: Record<string, unknown>) => statuses.push(headers["grpc-status"]));
      }
      await closed;
      expect(statuses.filter((status) => status !== undefined)).toEqual(["4"]);
    } finally {
      session.destroy();
    }
  });
});

test("a request that was answered so is not carried out, although its stream ends then", async () => {
  const session = connect(`http://${server.address}`);
  try {
    const stream = session.request({
      ":method": "POST",
      ":path": "/sandbox.v1.SessionService/CreateSession",
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.resume();
    const request = CreateSessionRequest.fromPartial({ sessionId: "stalled" });
    stream.write(frame(CreateSessionRequest.encode(request).finish()));
    await once(stream, "close");
    await using client = await Livescope.connect(server.address);
    await expect(client.attach("stalled").info()).rejects.toThrow(NotFoundError);
  } finally {
    session.destroy();
  }
});

describe("a request that has arrived whole", () => {
  test("may be worked on for as long as it takes", async () => {
    await using client = await Livescope.connect(server.address, { transport: "unary" });
    await using session = await client.createSession();
    const events = session.watch();
    await events.next();
    expect(await session.execute("await new Promise((done) => setTimeout(done, 400)); 'done'")).toBe("done");
    // The stream that answers one request has lived as long.
    await session.update({ labels: { still: "watched" } });
    const kinds: unknown[] = [];
    for await (const event of events) {
      kinds.push(event.kind);
      if (event.kind === "session" && event.session.labels.still === "watched") break;
    }
    expect(kinds).toContain("session");
  });
});
