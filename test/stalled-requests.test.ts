import { once } from "node:events";
import { connect } from "node:http2";
import {
  CreateSessionRequest,
  ExecuteRequest,
  ImportSnapshotRequest,
  SessionServiceService,
  SnapshotServiceService,
} from "@livescope/proto";
import { Livescope, NotFoundError } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { frame, RawConnection } from "./support/raw-http2.js";
import { ServerProcess } from "./support/server-process.js";

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
  using raw = new RawConnection(server.address);
  const { path, requestSerialize } = SessionServiceService.createSession;
  const request = CreateSessionRequest.fromPartial({ sessionId: "stalled" });
  const { status } = await raw.send(path, frame(requestSerialize(request)), { stall: true });
  expect(status).toBe("DEADLINE_EXCEEDED");
  // What came with the end of the stream would have run when this is answered.
  await using client = await Livescope.connect(server.address);
  await expect(client.attach("stalled").info()).rejects.toThrow(NotFoundError);
});

test("a request that has arrived whole may be worked on for as long as it takes", async () => {
  await using client = await Livescope.connect(server.address, { transport: "unary" });
  expect(await client.execute("await new Promise((done) => setTimeout(done, 400)); 'done'")).toBe("done");
});

test("an import whose deadline passes while it is sent is no fault of the server, and not logged as one", async () => {
  await using other = await ServerProcess.start();
  using raw = new RawConnection(other.address);
  const { path, requestSerialize } = SnapshotServiceService.importSnapshot;
  const request = ImportSnapshotRequest.fromPartial({ chunk: Buffer.from("livesnap") });
  const headers = { "grpc-timeout": "100m" };
  const { status } = await raw.send(path, frame(requestSerialize(request)), { headers, stall: true });
  expect(status).toBe("DEADLINE_EXCEEDED");
  // What it is answered with after that is logged by the time it has drained.
  process.kill(other.pid, "SIGTERM");
  await expect.poll(() => other.exit).toBe("code 0");
  expect(other.log).toBe("");
});
