import { once } from "node:events";
import { connect } from "node:http2";
import { ExecuteRequest } from "@livescope/proto";
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
