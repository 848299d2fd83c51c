/** Clients, sessions and handles, from their making to their end. */
import { getEventListeners } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { DisposedError, type Handle, Livescope, LivescopeError, type Session } from "@livescope/sdk";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { connect, TRANSPORT, withServer } from "../support/server.js";
import { Wire } from "../support/wire-to-server.js";

const served = withServer();
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession({
    setup: "let n = 0; const api = { up() { return ++n } }; var f = () => 1",
  });
  return () => session[Symbol.asyncDispose]();
});

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "it resolved",
    (error) => error,
  );

/** Checks an error of something that was under way, or used later: it leads to who made an end of it. */
function expectDisposed(error: unknown, message: string, where: string): void {
  expect(error).toBeInstanceOf(DisposedError);
  expect(error).toBeInstanceOf(LivescopeError);
  const { message: told, cause } = error as Error & { cause: Error };
  expect(told).toContain(message);
  expect(cause.stack).toContain(where);
}

test("a client asks no proxy for what is on this machine", async () => {
  // Nobody listens there.
  vi.stubEnv("grpc_proxy", "http://127.0.0.1:1");
  try {
    await using client = await connect(served.server.address);
    expect(await client.execute("6 * 7")).toBe(42);
  } finally {
    vi.unstubAllEnvs();
  }
});

describe("what is used too late says where it ended", () => {
  test("a client", async () => {
    const client = await connect(served.server.address);
    const attached = client.attach(session.id);
    (function closeTheClient() {
      client.close();
    })();
    for (const use of [client.execute("1"), client.createSession(), attached.execute("1"), attached.info()]) {
      expectDisposed(await rejection(use), "the client is closed: connect again", "closeTheClient");
    }
    client.close();
  });

  test("a session object", async () => {
    const attached = served.client.attach(session.id);
    const handle = await attached.handle("api");
    await (function disposeOfIt() {
      return attached[Symbol.asyncDispose]();
    })();
    const uses = [
      attached.execute("1"),
      attached.info(),
      attached.fork(),
      handle.call(),
      attached.expose({ g: () => 1 }),
      attached.delete(),
    ];
    for (const use of uses)
      expectDisposed(await rejection(use), `of session ${session.id}) is disposed`, "disposeOfIt");
    expect(() => attached.watch()).toThrow(DisposedError);
    expect(await session.execute("n")).toBe(0);
  });

  test("a session object whose block was left", async () => {
    let kept: Session | undefined;
    async function leaveTheBlock(): Promise<void> {
      await using attached = served.client.attach(session.id);
      kept = attached;
    }
    await leaveTheBlock();
    expectDisposed(await rejection((kept as Session).execute("1")), "is disposed", "lifecycle.test");
  });

  test("a handle, and a guest", async () => {
    const handle = await session.handle("api");
    const guest = handle.as<{ up(): number }>();
    expect(await guest.up()).toBe(1);
    await (function releaseIt() {
      return handle.release();
    })();
    const uses = [handle.callMethod("up"), handle.value(), guest.up(), session.call("f", [handle])];
    for (const use of uses) expectDisposed(await rejection(use), "is a handle that was released", "releaseIt");
  });
});

test("a call whose arguments dispose of the session object while they are read is not sent", async () => {
  const attached = served.client.attach(session.id);
  let disposal: Promise<void> | undefined;
  const argument = {
    get late() {
      disposal = attached[Symbol.asyncDispose]();
      return 1;
    },
  };
  await session.execute("function count() { n++ }");
  expectDisposed(
    await rejection(attached.call("count", [argument])),
    `of session ${session.id}) is disposed`,
    "get late",
  );
  await disposal;
  expect(await session.execute("n")).toBe(0);
});

describe("what is under way is given up", () => {
  const ENDLESS = "for (;;) { n++; await new Promise((resolve) => setTimeout(resolve, 1)) }";
  const EMITTING = "for (;;) { await emit(n) }";

  /** Everything that can be under way in a session object. */
  async function begin(within: Session): Promise<Promise<unknown>[]> {
    const handle = await within.handle("api");
    const stream = within.stream<number>(EMITTING);
    expect((await stream.next()).done).toBe(false);
    const watched = within.watch();
    await watched.next();
    // Holds up what waits in the queue of the session.
    const running = within.execute(ENDLESS, { atomic: true, timeout: 60_000 });
    const last = (async () => {
      for await (const _ of stream);
    })();
    const watching = (async () => {
      for await (const _ of watched);
    })();
    return [running, within.call("f"), handle.callMethod("up"), within.fork(), last, watching].map(rejection);
  }

  test("by the end of a session object, and its executions are ended", async () => {
    const attached = served.client.attach(session.id);
    const underWay = await begin(attached);
    await (function disposeOfIt() {
      return attached[Symbol.asyncDispose]();
    })();
    for (const error of await Promise.all(underWay)) {
      expectDisposed(error, `of session ${session.id}) was disposed while this was under way`, "disposeOfIt");
    }
    // Nothing holds the session any more.
    expect(await session.execute("n")).toBe(0);
    expect((await session.info()).handleCount).toBe(0);
  });

  test("by deleting the session", async () => {
    const underWay = await begin(session);
    await session.delete();
    for (const error of await Promise.all(underWay)) expectDisposed(error, "was disposed while this was", "delete");
    await expect(served.client.attach(session.id).execute("1")).rejects.toMatchObject({ reason: "SESSION_DELETED" });
  });

  test("by closing the client, whatever it waits for", async () => {
    const client = await connect(served.server.address);
    const underWay = await begin(client.attach(session.id));
    underWay.push(
      rejection(client.execute("for (;;);")),
      rejection(client.attach(session.id).expose({ later: () => 1 })),
    );
    (function closeTheClient() {
      client.close();
    })();
    for (const error of await Promise.all(underWay)) {
      expectDisposed(error, "the client was closed while this was under way", "closeTheClient");
    }
    expect(await session.execute("n")).toBe(0);
  });

  test("by closing the client, also what nobody reads any more: its connection goes", async () => {
    const wire = new Wire(served.server.address);
    const client = await connect(await wire.open());
    const { signal } = new AbortController();
    const events = client.attach(session.id).watch({ signal });
    expect((await events.next()).value).toMatchObject({ kind: "session" });
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    expect(wire.connections).toBe(1);
    client.close();
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await expect.poll(() => wire.connections).toBe(0);
    expect(await rejection(events.next())).toBeInstanceOf(DisposedError);
    wire.close();
  });

  test("but what has a request id goes on, and gives its outcome to who asks again", async () => {
    const client = await connect(served.server.address);
    const code = "n++; await new Promise((resolve) => setTimeout(resolve, 200)); n";
    const requestId = crypto.randomUUID();
    const calls = [
      client.attach(session.id).execute(code, { requestId }),
      client.attach(session.id).execute(code, { requestId: crypto.randomUUID(), onConsole: () => undefined }),
    ].map(rejection);
    await expect.poll(() => session.execute("n")).toBe(2);
    client.close();
    for (const error of await Promise.all(calls)) expect(error).toBeInstanceOf(DisposedError);
    expect(await session.execute(code, { requestId })).toBe(2);
    expect(await session.execute("n")).toBe(2);
  });

  test("and what was asked for in the same breath is never sent", async () => {
    const attached = served.client.attach(session.id);
    const call = rejection(attached.execute("n = 100"));
    const guestCall = rejection(attached.guest<{ api: { up(): number } }>().api.up());
    await attached[Symbol.asyncDispose]();
    expect(await call).toBeInstanceOf(DisposedError);
    expect(await guestCall).toBeInstanceOf(DisposedError);
  });
});

describe("leaving a block", () => {
  test("lets go of what it held, from the inside out, also when something in it throws", async () => {
    let ids: { session: string; handle: Handle } | undefined;
    const block = async (): Promise<void> => {
      await using client = await connect(served.server.address);
      await using made = await client.createSession();
      await using handle = await made.handle("({})");
      await using guest = await made.load<{ f(): number }>("export const f = () => 1");
      expect(await guest.f()).toBe(1);
      ids = { session: made.id, handle };
      throw new Error("mine");
    };
    await expect(block()).rejects.toThrow("mine");
    expect(ids?.handle.released).toBe(true);
    await expect(served.client.attach(ids?.session ?? "").info()).rejects.toMatchObject({ reason: "SESSION_DELETED" });
  });

  test("throws nothing where the client is closed already", async () => {
    const block = async (): Promise<string> => {
      const client = await connect(served.server.address);
      await using made = await client.createSession({ idleTtl: 1_000 });
      await using handle = await made.handle("({})");
      client.close();
      return handle.type;
    };
    expect(await block()).toBe("object");
  });

  test("of what waits for a session that is deleted meanwhile is one that was deleted", async () => {
    await using attached = served.client.attach(session.id);
    const handle = await attached.handle("api");
    const busy = rejection(session.execute("for (;;);"));
    const released = rejection(handle.release());
    const disposed = rejection(attached[Symbol.asyncDispose]());
    // Both are on their way when this is answered.
    await served.client.serverInfo();
    await session.delete();
    expect([await released, await disposed]).toEqual(["it resolved", "it resolved"]);
    await busy;
  });

  test("twice is once", async () => {
    const made = await served.client.createSession();
    await made[Symbol.asyncDispose]();
    await made[Symbol.asyncDispose]();
    await made.delete();
  });
});

describe("a handle that is lost", () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;

  /** Of handles of the session, once what is garbage has been collected. */
  async function count(): Promise<number> {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
    return (await session.info()).handleCount;
  }

  test("is released when it is collected, and one that is held is not", async () => {
    const held = await session.handle("api");
    await (async () => {
      for (let i = 0; i < 3; i++) await session.handle(`({ i: ${i} })`);
      await session.load("export const n = 1");
    })();
    await expect.poll(count, { timeout: 10_000 }).toBe(1);
    expect(await held.callMethod("up")).toBe(1);
    await held.release();
    expect(await count()).toBe(0);
  });

  test("is not released while it comes again", async () => {
    await (async () => {
      await session.handle("api");
    })();
    const waiting = session.execute<Handle>("await new Promise((resolve) => setTimeout(resolve, 200)); api.up");
    const handles = await Promise.all([1, 2, 3].map(() => session.handle("api")));
    collectGarbage();
    await waiting;
    expect(new Set(handles).size).toBe(1);
    expect(await handles[0]?.callMethod("up")).toBe(1);
  });
});

test("a session that outlives its client is found again by its id", async () => {
  const id = await (async () => {
    const client = await Livescope.connect(served.server.address);
    const made = await client.createSession({ setup: "let kept = 1" });
    client.close();
    return made.id;
  })();
  await using attached = served.client.attach(id);
  expect(await attached.execute("kept")).toBe(1);
  await attached.delete();
});

describe("what is made for a request that nobody waits for is deleted again:", () => {
  const patiently = { timeout: 20_000 };
  const aborted = async (make: (signal: AbortSignal) => Promise<unknown>): Promise<void> => {
    const controller = new AbortController();
    const made = make(controller.signal);
    controller.abort(new Error("not now"));
    await expect(made).rejects.toThrow("not now");
  };
  const count = async (list: AsyncIterable<unknown>): Promise<number> => {
    let found = 0;
    for await (const _ of list) found++;
    return found;
  };

  test("a session", async () => {
    const sessionId = "made-for-nobody";
    await aborted((signal) => served.client.createSession({ sessionId, signal }));
    await using again = await vi.waitFor(() => served.client.createSession({ sessionId }), patiently);
    expect(again.id).toBe(sessionId);
  });

  test("copies", async () => {
    const labels = { copies: session.id };
    await aborted((signal) => session.fork(2, { labels, signal }));
    // It comes after them.
    await session.execute("1");
    await expect.poll(() => count(served.client.listSessions({ labels }))).toBe(0);
  });

  test("a snapshot", async () => {
    await aborted((signal) => session.snapshot({ signal }));
    const { snapshotId } = await session.snapshot();
    await expect.poll(() => count(served.client.listSnapshots())).toBe(1);
    await served.client.deleteSnapshot(snapshotId);
  });

  test("a session whose client is closed before it is there", async () => {
    const sessionId = "made-for-a-closed-client";
    await using own = await connect(served.server.address);
    await aborted((signal) => own.createSession({ sessionId, signal }));
    own.close();
    await using again = await vi.waitFor(() => served.client.createSession({ sessionId }), patiently);
    expect(again.id).toBe(sessionId);
  });

  test.each([true, false])(
    "copies and snapshots whose session object is disposed before they are there (aborted: %s)",
    async (isAborted) => {
      const labels = { of: `${session.id} ${isAborted}` };
      const controller = new AbortController();
      const { signal } = controller;
      const attached = served.client.attach(session.id);
      const making = [attached.fork(2, { labels, signal }), attached.snapshot({ labels, signal })];
      const errors = Promise.all(making.map((each) => each.catch((thrown: unknown) => thrown)));
      if (isAborted) controller.abort(new Error("not now"));
      await attached[Symbol.asyncDispose]();
      const [message, name] = isAborted ? ["not now", "Error"] : [/was disposed while/, "DisposedError"];
      for (const error of await errors) expect(error).toMatchObject({ name, message: expect.stringMatching(message) });
      // It comes after them.
      const { snapshotId } = await session.snapshot({ labels });
      await expect.poll(() => count(served.client.listSessions({ labels }))).toBe(0);
      await expect.poll(() => count(served.client.listSnapshots())).toBe(1);
      await served.client.deleteSnapshot(snapshotId);
    },
  );

  test("copies and snapshots whose time is over", async () => {
    const labels = { late: session.id };
    let letOn = (): void => undefined;
    const held = new Promise<void>((resolve) => (letOn = resolve));
    let sequence: Promise<void> | undefined;
    await new Promise<void>((begun) => {
      sequence = session.atomic(async () => {
        begun();
        await held;
      });
    });
    const making = [session.fork(2, { labels, timeout: 50 }), session.snapshot({ labels, timeout: 50 })];
    for (const made of making) {
      await expect(made).rejects.toMatchObject({ name: "StatusError", code: "DEADLINE_EXCEEDED" });
    }
    letOn();
    await sequence;
    // It comes after them.
    const { snapshotId } = await session.snapshot({ labels });
    await vi.waitFor(async () => expect(await count(served.client.listSessions({ labels }))).toBe(0), patiently);
    await vi.waitFor(async () => expect(await count(served.client.listSnapshots())).toBe(1), patiently);
    await served.client.deleteSnapshot(snapshotId);
  });

  test("a snapshot whose request is aborted while there is no connection", async () => {
    const wire = new Wire(served.server.address);
    await using own = await Livescope.connect(await wire.open(), { transport: TRANSPORT, reconnectTimeout: 60_000 });
    const labels = { lost: session.id };
    const controller = new AbortController();
    let made: Promise<unknown> | undefined;
    await session.atomic(async () => {
      made = own.attach(session.id).snapshot({ labels, signal: controller.signal });
      made.catch(() => undefined);
      // It comes behind the request, which the server has then.
      await own.serverInfo();
      wire.close();
      await rejection(own.serverInfo());
    });
    await expect.poll(() => count(served.client.listSnapshots()), patiently).toBe(1);
    controller.abort(new Error("not now"));
    await expect(made).rejects.toThrow("not now");
    await wire.open();
    await vi.waitFor(async () => expect(await count(served.client.listSnapshots())).toBe(0), patiently);
    wire.close();
  });

  test("but a session that a repeat may ask for stays", async () => {
    const options = { sessionId: "made-for-later", requestId: "e2b6a1d2-6f2e-4b58-b6a7-1a7c5b1f9c11" };
    await aborted((signal) => served.client.createSession({ ...options, signal }));
    await using made = await served.client.createSession(options);
    expect(await made.execute("1")).toBe(1);
  });

  test("and one whose request is aborted when it has its answer", async () => {
    const controller = new AbortController();
    await using made = await served.client.createSession({ signal: controller.signal });
    controller.abort();
    expect(await made.execute("1")).toBe(1);
  });
});
