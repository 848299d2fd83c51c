import { once } from "node:events";
import { createServer, type Http2Server, constants as http2, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { ConnectionLostError, Livescope } from "../index.js";

let server: Http2Server;
let client: Livescope;

afterEach(() => {
  client.close();
  server.close();
});

/** Connects to what answers a request with a message that is empty, unless `refuse` has done something with it. */
async function connectTo(refuse: (stream: ServerHttp2Stream) => boolean): Promise<void> {
  server = createServer().listen(0, "127.0.0.1");
  server.on("stream", (stream, { ":path": path }) => {
    stream.on("error", () => undefined);
    if (path?.endsWith("/GetServerInfo") !== true && refuse(stream)) return;
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(Buffer.alloc(5));
  });
  await once(server, "listening");
  client = await Livescope.connect(`127.0.0.1:${(server.address() as AddressInfo).port}`);
}

const resets = {
  "it without a reason": (stream: ServerHttp2Stream) => stream.close(http2.NGHTTP2_NO_ERROR),
  "it as one that it gives up": (stream: ServerHttp2Stream) => stream.close(http2.NGHTTP2_CANCEL),
  "it as one that it fails at": (stream: ServerHttp2Stream) => stream.close(http2.NGHTTP2_INTERNAL_ERROR),
  "its connection, as for too many resets": ({ session }: ServerHttp2Stream) =>
    session?.goaway(http2.NGHTTP2_INTERNAL_ERROR),
};

it.each(Object.entries(resets))("a request is sent again where the other side resets %s", async (_, reset) => {
  let requests = 0;
  await connectTo((stream) => {
    if (++requests === 1) reset(stream);
    return requests === 1;
  });
  expect((await client.listSessions().next()).done).toBe(true);
  expect(requests).toBe(2);
});

it.each(Object.entries(resets))(
  "what is to be deleted is told again where the other side resets %s",
  async (_, reset) => {
    let requests = 0;
    await connectTo((stream) => {
      if (++requests === 1) reset(stream);
      return requests === 1;
    });
    await client.attach("s").delete();
    expect(requests).toBe(2);
  },
);

it("a request that is reset each time fails as a call whose connection broke, after some attempts", async () => {
  let requests = 0;
  await connectTo((stream) => {
    requests++;
    stream.close(http2.NGHTTP2_INTERNAL_ERROR);
    return true;
  });
  const error = await client
    .listSessions()
    .next()
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConnectionLostError);
  expect(error).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("ended on the way") });
  expect(requests).toBe(3);
});
