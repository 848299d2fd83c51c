/** Calls of host functions in copies of a session, as plain clients of the wire have them. */
import type { ClientUnaryCall } from "@grpc/grpc-js";
import {
  CallRequest,
  Command,
  CreateSnapshotRequest,
  Encoding,
  ForkSessionRequest,
  GetSessionRequest,
} from "@livescope/proto";
import { Livescope, type Session } from "@livescope/sdk";
import { startServer } from "@livescope/server";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { executing, exposing, passing, RawConnection, replying, returned } from "./support/connection.js";
import { withServer } from "./support/server.js";
import { type Clients, connectClients, send } from "./support/unary-client.js";

const served = withServer();
let clients: Clients;
let connection: RawConnection;
let session: Session;
const opened: RawConnection[] = [];

beforeAll(() => {
  clients = connectClients(served.server.address);
});
afterAll(() => clients.close());
beforeEach(async () => {
  connection = open();
  session = await served.client.createSession({
    setup: "var got = []; const keep = async (fn) => { got.push(await fn('kept')) };",
  });
});
afterEach(async () => {
  for (const each of opened.splice(0)) each.stream.cancel();
  await session.delete();
});

function open(): RawConnection {
  const made = new RawConnection(clients.sandbox);
  opened.push(made);
  return made;
}

async function expose(on: RawConnection, to: Session): Promise<void> {
  on.send(exposing(1, { sessionId: to.id, names: ["ask"], connectionId: "c" }));
  await on.exposed(1);
}

/** Runs code in the session and waits until it has ended. */
async function run(frameId: number, code: string): Promise<void> {
  connection.send(executing(frameId, code, { sessionId: session.id }));
  await connection.answer(frameId);
}

/** Both ways to a copy, of which the second goes by way of bytes. */
const WAYS: readonly (readonly [string, () => Promise<Session>])[] = [
  ["a fork", () => session.fork()],
  ["a restored session", async () => served.client.createSession({ from: await session.snapshot() })],
];

describe.each(WAYS)("%s", (_name, copyOf) => {
  test("has the answer that came and was not taken yet, and asks nobody for it again", async () => {
    await expose(connection, session);
    // No execution is in flight when the answer comes, so it waits for the next one.
    await run(2, "ask('early').then((answer) => got.push(answer)); 0");
    const call = await connection.hostCall();
    connection.send(replying(3, call.hostCallId, returned("answered")));
    // A stream is read in order: what is answered behind the answer came after it.
    connection.send(exposing(4, { sessionId: session.id, names: [], connectionId: "c" }));
    await connection.exposed(4);
    await using copy = await copyOf();
    const other = open();
    await expose(other, copy);
    expect(await copy.execute("await 0; got")).toEqual(["answered"]);
    expect(other.hostCalls).toEqual([]);
    expect(await session.execute("await 0; got")).toEqual(["answered"]);
  });

  test("makes a call again whose execution has ended", async () => {
    await expose(connection, session);
    await run(2, "ask('left').then((answer) => got.push(answer)); 0");
    const call = await connection.hostCall();
    await using copy = await copyOf();
    const other = open();
    await expose(other, copy);
    const again = await other.hostCall();
    expect(again).toMatchObject({ sessionId: copy.id, executionId: "", function: { name: "ask" } });
    expect(again.hostCallId).not.toBe(call.hostCallId);
    expect(again.args).toEqual(call.args);
    // By the id of the origin's nothing is answered here.
    other.send(replying(2, call.hostCallId, returned("for another")), replying(3, again.hostCallId, returned("here")));
    while ((await copy.execute<unknown[]>("await 0; got")).length === 0);
    expect(await copy.execute("got")).toEqual(["here"]);
    expect(await session.execute("got")).toEqual([]);
  });

  test("makes a call of a passed function when a client passes one of that id", async () => {
    const passed = { hostFunctionId: "function-1", name: "fn" };
    connection.send(passing(2, session.id, "keep", passed));
    const call = await connection.hostCall();
    await using copy = await copyOf();
    const other = open();
    const value = CallRequest.fromPartial({
      sessionId: copy.id,
      path: "Object.is",
      args: [{ kind: { $case: "hostFunction", value: passed } }],
      encoding: Encoding.FULL,
    });
    other.send({
      frameId: 1n,
      frame: { $case: "command", value: Command.fromPartial({ command: { $case: "call", value } }) },
    });
    const again = await other.hostCall();
    expect(again).toMatchObject({ sessionId: copy.id, function: passed });
    expect(again.hostCallId).not.toBe(call.hostCallId);
    other.send(replying(2, again.hostCallId, returned("here")));
    while ((await copy.execute<unknown[]>("await 0; got")).length === 0);
    expect(await copy.execute("got")).toEqual(["here"]);
    connection.send(replying(3, call.hostCallId, returned("there")));
    expect(await connection.answer(2)).toBe("value undefined");
    expect(await session.execute("got")).toEqual(["there"]);
  });
});

describe("a session that is rolled back", () => {
  test("waits for nothing that it called since, and calls again what nobody's code had called before", async () => {
    await expose(connection, session);
    await run(2, "ask('before').then((answer) => got.push(answer)); 0");
    const before = await connection.hostCall();
    const snapshot = await session.snapshot();
    connection.send(executing(3, "await ask('since')", { sessionId: session.id }));
    const since = await connection.hostCall(2);
    await session.rollback(snapshot);
    expect(await connection.answer(3)).toBe("stopped 8");
    const cancelled = connection.frames.flatMap(({ frame }) =>
      frame?.$case === "hostCallCancelled" ? [frame.value.hostCallId] : [],
    );
    expect(cancelled.sort()).toEqual([before.hostCallId, since.hostCallId].sort());
    const again = await connection.hostCall(3);
    expect(again.args).toEqual(before.args);
    expect([before.hostCallId, since.hostCallId]).not.toContain(again.hostCallId);
    connection.send(replying(4, again.hostCallId, returned("again")));
    while ((await session.execute<unknown[]>("await 0; got")).length === 0);
    expect(await session.execute("got")).toEqual(["again"]);
  });

  test("lets go of functions that came since", async () => {
    const snapshot = await session.snapshot();
    connection.send(passing(2, session.id, "Object.is", { hostFunctionId: "since", name: "fn" }));
    await connection.answer(2);
    await session.rollback(snapshot);
    await connection.until(({ frame }) => frame?.$case === "releasedHostFunctionId" && frame.value === "since");
  });
});

describe("what was made for a call that was cancelled meanwhile", () => {
  let labels: Map<string, string>;
  beforeEach(() => {
    labels = new Map([["for", crypto.randomUUID()]]);
  });

  const found = async (): Promise<string[]> => {
    const ids: string[] = [];
    const wanted = { labels: Object.fromEntries(labels) };
    for await (const { sessionId } of served.client.listSessions(wanted)) ids.push(sessionId);
    for await (const { snapshotId } of served.client.listSnapshots(wanted)) ids.push(snapshotId);
    return ids;
  };

  /** Asks for a copy while the session is held, and hangs up before it can be made. */
  async function hangUp(what: string, requestId: string): Promise<void> {
    const { sessions, snapshots } = clients;
    connection.send(executing(2, "await ask(1)", { sessionId: session.id, atomic: true }));
    await connection.hostCall();
    const request = { sessionId: session.id, labels, requestId };
    let call: ClientUnaryCall | undefined;
    const ended = new Promise<void>((resolve) => {
      const done = (): void => resolve();
      if (what === "a fork") call = sessions.forkSession(ForkSessionRequest.fromPartial(request), done);
      else call = snapshots.createSnapshot(CreateSnapshotRequest.fromPartial(request), done);
    });
    // What comes by the same connection afterwards is answered after it was heard.
    const isHeard = () => send(sessions, sessions.getSession, GetSessionRequest.create({ sessionId: session.id }));
    await isHeard();
    call?.cancel();
    await ended;
    await isHeard();
    connection.send(replying(3, connection.hostCalls[0]?.hostCallId ?? "", returned(1)));
    // Copies are made in the order in which they were asked for.
    await (await session.fork()).delete();
  }

  test.each(["a fork", "a snapshot"])("is deleted again, as nobody knows of it: %s", async (what) => {
    await expose(connection, session);
    await hangUp(what, "");
    await expect.poll(found).toEqual([]);
  });

  test.each(["a fork", "a snapshot"])("stays where it can be asked for again: %s", async (what) => {
    await expose(connection, session);
    await hangUp(what, crypto.randomUUID());
    await expect.poll(found).toHaveLength(1);
  });
});

test("a snapshot that is there is told to who asks for it again also while the server stops, and no other one is taken", async () => {
  const server = await startServer();
  const own = connectClients(server.address);
  await using client = await Livescope.connect(server.address);
  const busy = await client.createSession();
  const lender = new RawConnection(own.sandbox);
  await expose(lender, busy);
  const take = (requestId: string) => {
    const request = CreateSnapshotRequest.fromPartial({ sessionId: busy.id, requestId });
    return send(own.snapshots, own.snapshots.createSnapshot, request);
  };
  const taken = await take("known");
  lender.send(executing(2, "await ask(1)", { sessionId: busy.id }));
  await lender.hostCall();
  const closed = server.close();
  await expect(take("other")).rejects.toThrow("the server is stopping");
  expect(await take("known")).toEqual(taken);
  lender.send(replying(3, lender.hostCalls[0]?.hostCallId ?? "", returned(1)));
  await closed;
  own.close();
});
