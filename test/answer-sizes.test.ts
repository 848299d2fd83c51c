/** What a status says and an answer carries fits, whatever was asked: else clients lose the connection, or what was done. */
import {
  BadRequest,
  CreateSessionRequest,
  ExecuteRequest,
  ForkSessionRequest,
  ListSessionsRequest,
  ListSnapshotsRequest,
  SandboxServiceService as Sandbox,
  SessionServiceService as Sessions,
  SnapshotServiceService as Snapshots,
  UpdateSessionRequest,
} from "@livescope/proto";
import { InvalidRequestError, Livescope } from "@livescope/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { executing, RawConnection as RawStream } from "./support/connection.js";
import { type Answer, detailNames, RawConnection } from "./support/raw-http2.js";
import { withServer } from "./support/server.js";
import { type Clients, connectClients } from "./support/unary-client.js";

const served = withServer();
let clients: Clients;
let connection: RawConnection;

beforeAll(() => {
  clients = connectClients(served.server.address);
  connection = new RawConnection(served.server.address);
});
afterAll(() => {
  connection[Symbol.dispose]();
  clients.close();
});

/** As many labels of as many characters as there may be. */
const LARGEST = new Map(Array.from({ length: 64 }, (_, i) => [`${i}`.padEnd(1_024, "n"), "v".repeat(1_024)]));
const create = async (of: Partial<CreateSessionRequest> = {}): Promise<string> => {
  const { session } = await connection.ask(Sessions.createSession, CreateSessionRequest.fromPartial(of));
  return session?.sessionId ?? "";
};
const reasons = (answer: Answer) => [answer.status, ...detailNames(answer)];

describe("a status", () => {
  test.each(["connect", "unary"] as const)(
    "quotes what guest code said, as far as clients can read it (%s)",
    async (transport) => {
      await using client = await Livescope.connect(served.server.address, { transport });
      const other = await client.createSession();
      const refused = client.createSession({ setup: 'throw new Error("x".repeat(40000))' });
      await expect(refused).rejects.toBeInstanceOf(InvalidRequestError);
      await expect(refused).rejects.toThrow(/^setup: threw Error: x{900,}…$/);
      expect(await other.execute("1 + 1")).toBe(2);
    },
  );

  test("of a setup that throws half a character says so, and ends no server", async () => {
    const setups = [
      "throw new Error('a\\ud800b')",
      "throw '\\ud800'",
      "throw Object.assign(new Error('x'), { name: '\\udc00' })",
    ];
    for (const setup of setups) {
      const answer = await connection.call(Sessions.createSession, CreateSessionRequest.fromPartial({ setup }));
      expect([answer.status, answer.message]).toEqual(["INVALID_ARGUMENT", expect.stringContaining("\ufffd")]);
    }
    expect(await create()).not.toBe("");
  });

  test.each([
    ["a message", { setup: 'throw new Error("é".repeat(30000))' }],
    ["the path of a field", { labels: new Map([["é".repeat(1_024), "v".repeat(1_025)]]) }],
    ["an id", { snapshotId: "x".repeat(256) }],
  ])("has not more of %s than clients take as headers", async (_what, request) => {
    const answer = await connection.call(Sessions.createSession, CreateSessionRequest.fromPartial(request));
    const details = answer.details.reduce((sum, { value }) => sum + value.length, 0);
    // As the headers have it: percent-encoded, and once more in base64 beside the details.
    const size = encodeURIComponent(answer.message).length + ((details + Buffer.byteLength(answer.message)) * 4) / 3;
    expect(size).toBeLessThan(8_000);
    expect(["INVALID_ARGUMENT", "NOT_FOUND"]).toContain(answer.status);
  });

  test("does not end the stream of other commands, whatever a refused one is called", async () => {
    const stream = new RawStream(clients.sandbox);
    const sessionId = await create();
    stream.send(executing(1, "await new Promise((resolve) => setTimeout(resolve, 50)); 1", { sessionId }));
    const name = "n".repeat(1_600_000);
    stream.send(executing(2, "2", { sessionId, bindings: new Map([[name, { kind: undefined }]]) }));
    expect(await stream.answer(2)).toBe("status 3");
    expect(await stream.answer(1)).toBe("value 1");
    stream.stream.cancel();
  });
});

describe("a list", () => {
  test("ends a page where a message would be full, and goes on from there", async () => {
    const ids = new Set<string>();
    for (let i = 0; i < 40; i++) ids.add(await create({ labels: LARGEST }));
    const found: string[] = [];
    let pageToken = "";
    do {
      const request = ListSessionsRequest.fromPartial({ pageSize: 1_000, pageToken, labels: LARGEST });
      const page = await connection.ask(Sessions.listSessions, request);
      found.push(...page.sessions.map(({ sessionId }) => sessionId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(found.length).toBe(40);
    expect(new Set(found)).toEqual(ids);
  });

  test("of snapshots does so too", async () => {
    const sessionId = await create();
    for (let i = 0; i < 30; i++) await clientSnapshot(sessionId);
    const found = new Set<string>();
    let pageToken = "";
    do {
      const page = await connection.ask(
        Snapshots.listSnapshots,
        ListSnapshotsRequest.fromPartial({ pageSize: 1_000, pageToken }),
      );
      for (const { snapshotId } of page.snapshots) found.add(snapshotId);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(found.size).toBe(30);
  });

  const clientSnapshot = (sessionId: string) =>
    connection.ask(Snapshots.createSnapshot, {
      sessionId,
      labels: LARGEST,
      ttl: undefined,
      requestId: "",
    });

  test("is asked for with no more labels than there may be", async () => {
    const labels = new Map([...LARGEST, ["one", "more"]]);
    const answers = await Promise.all([
      connection.call(Sessions.listSessions, ListSessionsRequest.fromPartial({ labels })),
      connection.call(Snapshots.listSnapshots, ListSnapshotsRequest.fromPartial({ labels })),
    ]);
    for (const answer of answers) {
      expect(reasons(answer)).toEqual(["INVALID_ARGUMENT", "ErrorInfo INVALID_REQUEST", "BadRequest"]);
    }
  });

  test.each(["p0:forged", "garbage", "p0:a%"])("takes no token that it cannot read: %s", async (text) => {
    const pageToken = `${Buffer.from(text).toString("base64url")}!?é`;
    const answers = await Promise.all([
      connection.call(Sessions.listSessions, ListSessionsRequest.fromPartial({ pageToken })),
      connection.call(Snapshots.listSnapshots, ListSnapshotsRequest.fromPartial({ pageToken })),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(["INVALID_ARGUMENT", "INVALID_ARGUMENT"]);
  });
});

test("more copies than an answer can tell of are not made", async () => {
  const sessionId = await create();
  const labels = new Map([["of", "x".repeat(1_000)]]);
  const request = ForkSessionRequest.fromPartial({ sessionId, count: 5_000, labels });
  const answer = await connection.call(Sessions.forkSession, request);
  expect(reasons(answer)).toEqual(["RESOURCE_EXHAUSTED", "ErrorInfo QUOTA_EXCEEDED", "QuotaFailure", "RetryInfo"]);
  expect(answer.message).toMatch(/ask for fewer at once/);
  const listed = await connection.ask(Sessions.listSessions, ListSessionsRequest.fromPartial({ labels }));
  expect(listed.sessions).toEqual([]);
});

test("UpdateSession looks at the limits where its mask names some, and says where one is wrong", async () => {
  const sessionId = await create();
  const session = { sessionId, labels: new Map([["a", "b"]]), limits: { timeout: { seconds: -1n, nanos: 5 } } };
  const update = (updateMask: string[]) =>
    connection.call(Sessions.updateSession, UpdateSessionRequest.fromPartial({ session, updateMask }));
  expect((await update(["labels"])).status).toBe("OK");
  const refused = await update(["limits.handles"]);
  expect(refused.status).toBe("INVALID_ARGUMENT");
  expect(refused.message).toMatch(/^session\.limits\.timeout: /);
});

test.each([
  ["session.limits.timeout", "limits", { limits: { timeout: { seconds: 1_000n } } }],
  ["session.limits.handles", "limits.handles", { limits: { handles: -1n } }],
  ["session.limits.memory_bytes", "limits.memory_bytes", { limits: { memoryBytes: 1n } }],
  ["session.idle_ttl", "idle_ttl", { idleTtl: { seconds: -1n } }],
  ["session.session_id", "labels", { sessionId: "" }],
])("UpdateSession says that %s is wrong by the name that it has in the request", async (field, path, changes) => {
  const sessionId = await create();
  // More than a session begins with, so that it cannot be made smaller again.
  await connection.ask(Sandbox.execute, ExecuteRequest.fromPartial({ sessionId, code: "var kept = 'x'.repeat(1e7)" }));
  const request = UpdateSessionRequest.fromPartial({ session: { sessionId, ...changes }, updateMask: [path] });
  const refused = await connection.call(Sessions.updateSession, request);
  expect(reasons(refused)).toEqual(["INVALID_ARGUMENT", "ErrorInfo INVALID_REQUEST", "BadRequest"]);
  const { fieldViolations } = BadRequest.decode(refused.details[1]?.value ?? new Uint8Array());
  expect(fieldViolations).toMatchObject([{ field, description: refused.message }]);
  expect(refused.message.startsWith(`${field}: `)).toBe(true);
});

test.each([[[]], [["durability"]]])("UpdateSession whose mask is %j says what a mask may name", async (updateMask) => {
  const session = { sessionId: await create() };
  const request = UpdateSessionRequest.fromPartial({ session, updateMask });
  const refused = await connection.call(Sessions.updateSession, request);
  expect(refused.status).toBe("INVALID_ARGUMENT");
  expect(refused.message).toMatch(/^update_mask: .*labels, limits, .*limits\.timeout, idle_ttl, idle_action$/);
});

test("a request with 0 is another one than a request with -0", async () => {
  const sessionId = await create();
  const execute = (data: string) =>
    connection.call(
      Sandbox.execute,
      ExecuteRequest.fromPartial({
        sessionId,
        code: "1 / x",
        requestId: "zero",
        bindings: new Map([["x", { kind: { $case: "data", value: data } }]]),
      }),
    );
  expect((await execute("[0]")).status).toBe("OK");
  expect(reasons(await execute("[-0]"))).toContain("ErrorInfo REQUEST_ID_REUSED");
});

test("a deadline may be further away than a timer can be", async () => {
  const request = ExecuteRequest.fromPartial({ code: "1 + 1" });
  for (const timeout of ["2592000S", "720H", "99999999H", "43200M"]) {
    const answer = await connection.call(Sandbox.execute, request, { "grpc-timeout": timeout });
    expect([timeout, answer.status]).toEqual([timeout, "OK"]);
  }
});
