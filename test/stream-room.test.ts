/** What open streams take is bounded for all connections together, and a connection with few of them finds room beside one with many. */
import { GetServerInfoRequest, SandboxServiceService } from "@livescope/proto";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { frame, RawConnection } from "./support/raw-http2.js";

const { connect, getServerInfo } = SandboxServiceService;
const NO_FRAMES = frame(Buffer.alloc(0));

let server: RunningServer;
beforeAll(async () => {
  server = await startServer({ maximumStreams: 30 });
});
afterAll(() => server.close());

const infoOf = async (connection: RawConnection): Promise<string> =>
  (await connection.call(getServerInfo, GetServerInfoRequest.create())).status;

test("beyond the bound streams are refused to who has many, and not to who has few, until some have ended", async () => {
  const many = new RawConnection(server.address);
  using few = new RawConnection(server.address);
  const refused: string[] = [];
  for (let i = 0; i < 50; i++) {
    void many.send(connect.path, NO_FRAMES, { stall: true }).then(({ status }) => refused.push(status));
  }
  await expect.poll(() => refused).toEqual(Array.from({ length: 20 }, () => "RESOURCE_EXHAUSTED"));
  expect([await infoOf(many), await infoOf(few)]).toEqual(["RESOURCE_EXHAUSTED", "OK"]);
  for (let i = 0; i < 20; i++) void few.send(connect.path, NO_FRAMES, { stall: true });
  expect(await infoOf(few)).toBe("RESOURCE_EXHAUSTED");
  many[Symbol.dispose]();
  await expect.poll(() => infoOf(few)).toBe("OK");
});

test("a request with more than 16 KiB of metadata is reset", async () => {
  using connection = new RawConnection(server.address);
  const withMetadata = async (kibibytes: number): Promise<string> => {
    const headers = Object.fromEntries(Array.from({ length: kibibytes }, (_, i) => [`x-${i}`, "a".repeat(1024)]));
    const request = frame(getServerInfo.requestSerialize(GetServerInfoRequest.create()));
    return (await connection.send(getServerInfo.path, request, { headers })).status;
  };
  // The bound holds when the client has heard of it.
  expect(await withMetadata(1)).toBe("OK");
  expect([await withMetadata(14), await withMetadata(17)]).toEqual(["OK", "STREAM_RST"]);
});
