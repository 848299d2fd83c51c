/** What the SDK does when the server is killed and started again at the same address. */
import {
  ConnectionLostError,
  type ConsoleEntry,
  type Exposure,
  Livescope,
  type Session,
  SessionLostError,
  UnavailableError,
} from "@livescope/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ServerProcess } from "./support/server-process.js";

const SLOW = "await new Promise((resolve) => setTimeout(resolve, 1_000)); 'done'";
const TRANSPORTS = ["connect", "unary"] as const;
/** Longer than a start takes on a machine that is busy. */
const RECONNECT_TIMEOUT = 20_000;

/** A client, and what it had when its server was killed. */
interface Before {
  readonly client: Livescope;
  readonly session: Session;
  readonly exposure: Exposure;
  /** In flight, with a request id. */
  readonly repeated: Promise<unknown>;
  /** In flight, with somebody who listens. */
  readonly lost: Promise<unknown>;
}

let server: ServerProcess;
const before = {} as Record<(typeof TRANSPORTS)[number], Before>;

// A start takes long: what is promised of one is seen on two clients of the same server.
beforeAll(async () => {
  server = await ServerProcess.start();
  const open = async (transport: (typeof TRANSPORTS)[number]) => {
    const client = await Livescope.connect(server.address, { transport, reconnectTimeout: RECONNECT_TIMEOUT });
    const session = await client.createSession();
    return { transport, client, session, exposure: await session.expose({ f: () => 1 }) };
  };
  for (const { transport, ...opened } of await Promise.all(TRANSPORTS.map(open))) {
    const repeated = opened.client.execute(SLOW, { requestId: crypto.randomUUID() });
    const lost = opened.client.execute(SLOW, { onConsole: () => undefined });
    for (const each of [repeated, lost]) each.catch(() => undefined);
    before[transport] = { ...opened, repeated, lost };
  }
  // They are on their way when this is answered.
  await before.connect.client.serverInfo();
  await server.kill();
});
afterAll(async () => {
  for (const { client } of Object.values(before)) client.close();
  await server.kill();
});

test("a server that was killed and started again is found by calls that wait for it", async () => {
  const clients = TRANSPORTS.map((transport) => before[transport].client);
  const waiting = clients.map((client) => client.execute("6 * 7"));
  const heard: string[] = [];
  const onConsole = ({ text }: ConsoleEntry): void => void heard.push(text);
  const listening = clients.map((client) => client.execute("console.log('heard')", { onConsole }));
  const abort = new AbortController();
  const { signal } = abort;
  const aborted = clients.map((client) => client.execute("1", { signal, onConsole }).catch((error: unknown) => error));
  abort.abort(new Error("no longer"));
  expect(await Promise.all(aborted)).toEqual([signal.reason, signal.reason]);
  const started = ServerProcess.start(["--address", server.address]);
  expect(await Promise.all(waiting)).toEqual([42, 42]);
  await Promise.all(listening);
  expect(heard).toEqual(["heard", "heard"]);
  server = await started;
});

describe.each(TRANSPORTS)("over %s", (transport) => {
  test("a call that was in flight runs again if it has a request id, and none that is listened to", async () => {
    const { repeated, lost } = before[transport];
    expect(await repeated).toBe("done");
    const error = await lost.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(transport === "connect" ? ConnectionLostError : UnavailableError);
  });

  test("calls that come later find it, and their sessions gone", async () => {
    const { client, session, exposure } = before[transport];
    const requests: Readonly<Record<string, () => Promise<unknown>>> = {
      execute: () => session.execute("1"),
      listen: () => session.execute("1", { onConsole: () => undefined }),
      call: () => session.call("f"),
      handle: () => session.handle("1"),
      render: () => session.render("text"),
      fork: () => session.fork(),
      snapshot: () => session.snapshot(),
      rollback: () => session.rollback("some"),
      expose: () => session.expose({ g: () => 1 }),
      info: () => session.info(),
      inspect: () => session.inspect(),
      update: () => session.update({ labels: {} }),
      watch: () => session.watch().next(),
    };
    for (const [name, request] of Object.entries(requests)) {
      const error = await request().catch((thrown: unknown) => thrown);
      expect(error, name).toBeInstanceOf(SessionLostError);
      expect(error, name).toMatchObject({
        code: "DATA_LOSS",
        reason: "SESSION_LOST",
        message:
          `session ${session.id} is lost: its server has ended since, and with it the session; ` +
          "make another, or make it durable",
      });
      expect((error as SessionLostError).stack, name).toContain("restart.test.ts");
    }
    // Of one that was never met here nobody can tell.
    await expect(client.attach("unknown").execute("1")).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(await exposure.ended).toBeInstanceOf(SessionLostError);
    await session[Symbol.asyncDispose]();
    await using made = await client.createSession();
    expect(await made.execute("3")).toBe(3);
  });
});

test("a server that stays away fails calls after a while, and not what is only let go of", async () => {
  const options = TRANSPORTS.map((transport) => ({ transport, reconnectTimeout: 300 }));
  const clients = await Promise.all(options.map((each) => Livescope.connect(server.address, each)));
  const sessions = await Promise.all(clients.map((client) => client.createSession()));
  await server.kill();
  const checks = sessions.map(async (session) => {
    // That the process has ended is heard before or after that its connection has: a call between the two is lost.
    await expect
      .poll(() => session.execute("1").catch(({ message }: Error) => message))
      .toContain(`no connection to ${server.address} for 300 ms (connect ECONNREFUSED`);
    await expect(session.info()).rejects.toThrow(UnavailableError);
    await session[Symbol.asyncDispose]();
  });
  await Promise.all(checks);
  for (const client of clients) client.close();
});
