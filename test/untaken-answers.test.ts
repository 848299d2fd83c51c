/** Clients that ask for much and read nothing of it: what the server keeps for all of them together is bounded. */
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import {
  Command,
  ConnectRequest,
  Encoding,
  ExecuteRequest,
  SandboxServiceService as Sandbox,
  SessionServiceService as Sessions,
  WatchSessionRequest,
} from "@livescope/proto";
import { Livescope, type Session } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { answerOf, frame } from "./support/raw-http2.js";

const MEBIBYTE = 1 << 20;
const large = (sessionId?: string): ExecuteRequest =>
  ExecuteRequest.fromPartial({
    sessionId,
    code: `globalThis.answers = (globalThis.answers ?? 0) + 1; "x".repeat(${MEBIBYTE})`,
    encoding: Encoding.FULL,
  });

let server: RunningServer;
beforeAll(async () => {
  server = await startServer({ maximumUntaken: 5.5 * MEBIBYTE });
});
afterAll(() => server.close());

/** A connection that reads what a stream is answered when the test does. */
class IdleConnection implements Disposable {
  readonly #session: ClientHttp2Session = connect(`http://${server.address}`);

  open(path: string, message: Uint8Array): ClientHttp2Stream {
    const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
    const stream = this.#session.request(headers);
    stream.on("error", () => undefined);
    stream.write(frame(message));
    return stream;
  }

  execute(): ClientHttp2Stream {
    return this.open(Sandbox.execute.path, ExecuteRequest.encode(large()).finish()).end();
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

test("of the connection that leaves most answers unread so many streams are cut as there is no room for", async () => {
  using one = new IdleConnection();
  using other = new IdleConnection();
  const modest = one.execute();
  const streams = Array.from({ length: 10 }, () => other.execute());
  const cut = (): ClientHttp2Stream[] =>
    streams.filter(({ rstCode }) => rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM);
  await expect.poll(() => cut().length).toBe(6);
  const left = streams.filter((stream) => !cut().includes(stream));
  const answers = await Promise.all([modest, ...left].map(answerOf));
  expect(answers.map(({ status, messages }) => [status, (messages[0]?.length ?? 0) > MEBIBYTE])).toEqual(
    Array.from({ length: 5 }, () => ["OK", true]),
  );
});

test("what is read is not counted any more", async () => {
  using connection = new IdleConnection();
  for (let i = 0; i < 10; i++) expect(await answerOf(connection.execute())).toMatchObject({ status: "OK" });
});

test("a Connect stream on which most is unread ends, and says why", async () => {
  await using client = await Livescope.connect(server.address);
  await using session = await client.createSession();
  using connection = new IdleConnection();
  const frames = Array.from({ length: 8 }, (_, i) => {
    const command = Command.fromPartial({ command: { $case: "execute", value: large(session.id) } });
    return { frameId: BigInt(i + 1), frame: { $case: "command" as const, value: command } };
  });
  const stream = connection.open(Sandbox.connect.path, ConnectRequest.encode({ frames }).finish());
  await expect.poll(() => session.execute("globalThis.answers")).toBeGreaterThanOrEqual(5);
  const answer = await answerOf(stream);
  expect(answer).toMatchObject({ status: "RESOURCE_EXHAUSTED" });
  expect(answer.message).toContain("the client has not read");
});

/** Idle watchers of these sessions, in each of which 2.4 MB are written then, and what they end with when the sessions are deleted. */
async function endsOfWatchers(sessions: readonly Session[]): Promise<string[]> {
  using connection = new IdleConnection();
  const request = (sessionId: string): Uint8Array => WatchSessionRequest.encode({ sessionId }).finish();
  const streams = sessions.map(({ id }) => connection.open(Sessions.watchSession.path, request(id)).end());
  await Promise.all(streams.map((stream) => once(stream, "response")));
  for (const session of new Set(sessions)) {
    for (let i = 0; i < 12; i++) await session.execute('for (let i = 0; i < 20; i++) console.log("z".repeat(10_000))');
  }
  for (const session of new Set(sessions)) await session.delete();
  return (await Promise.all(streams.map(answerOf))).map(({ status }) => status);
}

test("of watchers that do not read some are cut where all of them are too much; of one session they have what they are told in common", async () => {
  await using client = await Livescope.connect(server.address);
  const sessions = await Promise.all([1, 2, 3].map(() => client.createSession()));
  const [session] = [await client.createSession()];
  const ends = await endsOfWatchers(sessions);
  expect(ends.filter((status) => status === "ABORTED")).toHaveLength(2);
  expect(await endsOfWatchers([session, session, session])).toEqual(["ABORTED", "ABORTED", "ABORTED"]);
});

test("answers that were taken count no more, also of streams that stay open", async () => {
  const open: { client: Livescope; session: Session; waiting: Promise<unknown> }[] = [];
  for (let i = 0; i < 8; i++) {
    const client = await Livescope.connect(server.address);
    const session = await client.createSession({ limits: { timeout: 600_000 } });
    const waiting = session.execute(
      "await new Promise((done) => { globalThis.done = done; setTimeout(done, 1e7) }); 1",
    );
    open.push({ client, session, waiting });
    expect(await session.execute(`"x".repeat(${MEBIBYTE})`)).toHaveLength(MEBIBYTE);
  }
  for (const { client, session, waiting } of open) {
    await session.execute("done()");
    expect(await waiting).toBe(1);
    await session.delete();
    await client.close();
  }
});
