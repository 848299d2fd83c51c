/** Durable sessions, from one use to the next: what becomes of them where the server ends, the store fails, or others are too early. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  create,
  reasonOf,
  run,
  type StartOptions,
  startSessions,
  submit,
  TestStore,
} from "../../../test/support/sessions-on-store.js";
import { Engine } from "../engine/engine.js";
import type { HostResult } from "../engine/kernel-protocol.js";
import type { HostCall, HostLink } from "./lending.js";
import { MachineClock } from "./machine-clock.js";
import type { ForkOptions, Sessions } from "./sessions.js";
import type { Watcher } from "./watchers.js";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(() => engine.close());

let store: TestStore;
beforeEach(() => {
  store = new TestStore();
});

const start = (options: StartOptions = {}): Sessions =>
  startSessions(engine, store, { maximum: 100, maximumDurable: 100, ...options }).sessions;
const DURABLE = { isDurable: true } as const;
/** The end of a client's stream that takes no notice of anything else. */
function linkOf(heard: Partial<HostLink>): HostLink {
  const ignore = (): void => undefined;
  const silent = {
    attached: ignore,
    ended: ignore,
    sessionLeft: ignore,
    namesLeft: ignore,
    call: ignore,
    cancelled: ignore,
    passedOn: ignore,
    released: ignore,
  };
  return { isOpen: true, ...silent, ...heard };
}
const settle = () => new Promise((resolve) => setTimeout(resolve, 50));

describe("the store knows of what is in use that it is", () => {
  const TTL = 8_000;
  const storedExpiry = async () => (await store.session("a"))?.expiresAt;

  let ahead = 0;
  beforeEach(() => {
    ahead = 0;
    const now = Date.now.bind(Date);
    const spy = vi.spyOn(Date, "now").mockImplementation(() => now() + ahead);
    // Time has gone on, and nobody has set the clock.
    const set = vi.spyOn(MachineClock.prototype, "takeJump").mockReturnValue(0);
    return () => {
      spy.mockRestore();
      set.mockRestore();
    };
  });

  const later = (milliseconds: number): number => {
    ahead += milliseconds;
    return Date.now();
  };

  test("where something ran for long", async () => {
    const sessions = start();
    await create(sessions, "a", { ...DURABLE, idleTtl: TTL });
    const running = run(sessions, "a", "await new Promise((resolve) => setTimeout(resolve, 200)); 1");
    await settle();
    const now = later(TTL);
    expect(await running).toBe(1);
    expect(await storedExpiry()).toBeGreaterThanOrEqual(now + TTL);
  });

  test("where it is only read", async () => {
    const sessions = start();
    await create(sessions, "a", { ...DURABLE, idleTtl: TTL });
    const now = later(TTL / 2);
    await sessions.use("a", (session) => session.inspect({ handleId: undefined, path: "Math", maximumProperties: 1 }));
    await expect.poll(storedExpiry, { timeout: 10_000 }).toBeGreaterThanOrEqual(now + TTL);
  });

  test("where an atomic execution holds it, of which nothing else is kept", async () => {
    const sessions = start();
    await create(sessions, "a", { ...DURABLE, idleTtl: TTL, setup: "var n = 1" });
    const atomic = submit(sessions, "a", "n = 2; await new Promise((resolve) => setTimeout(resolve, 8000))", {
      atomic: true,
    });
    const ended = reasonOf(atomic.outcome);
    await settle();
    const now = later(TTL / 2);
    await expect.poll(storedExpiry, { timeout: 10_000 }).toBeGreaterThanOrEqual(now + TTL);
    expect(await run(start(), "a", "n")).toBe(1);
    atomic.cancel();
    await ended;
  });

  test("also when the server is stopped", async () => {
    const sessions = start();
    await create(sessions, "a", { ...DURABLE, idleTtl: TTL });
    const now = later(TTL / 5);
    await sessions.use("a", (session) => session.inspect({ handleId: undefined, path: "Math", maximumProperties: 1 }));
    await sessions.drain();
    expect(await storedExpiry()).toBeGreaterThanOrEqual(now + TTL);
  });

  test("and where that cannot be kept, nothing else is lost", async () => {
    const sessions = start({ hibernateAfter: 10 });
    await create(sessions, "a", { ...DURABLE, idleTtl: TTL, setup: "var n = 1" });
    const told: string[] = [];
    const ignore = (): void => undefined;
    await sessions.watch("a", { console: ignore, finished: ignore, changed: ignore, ended: () => told.push("ended") });
    store.failing.add("commit");
    const commit = vi.spyOn(store, "commit");
    later(TTL / 2);
    await sessions.use("a", (session) => session.inspect({ handleId: undefined, path: "n", maximumProperties: 1 }));
    await expect.poll(() => commit).toHaveBeenCalled();
    await settle();
    store.failing.clear();
    expect((await sessions.info("a")).isHibernated).toBe(false);
    expect(await run(sessions, "a", "n += 1")).toBe(2);
    expect(told).toEqual([]);
  });
});

describe("copies", () => {
  const fork = (sessions: Sessions, options: Partial<ForkOptions>) =>
    sessions.fork("a", { count: 2, labels: new Map(), requestId: "", digest: "", ...options });

  test("are seen by nobody before all of them are there", async () => {
    const sessions = start();
    await create(sessions, "a", { ...DURABLE, setup: "var n = 0" });
    const added: string[] = [];
    const seen: unknown[] = [];
    const addDurable = store.addDurable.bind(store);
    store.addDurable = async (session, ...rest) => {
      for (const id of added) {
        seen.push(await reasonOf(run(sessions, id, "n = 1")), await reasonOf(sessions.info(id)));
        seen.push(await reasonOf(sessions.delete(id)), await reasonOf(sessions.cancel(id, "any")));
      }
      const { sessions: listed } = await sessions.list(10, "", new Map());
      seen.push(listed.map(({ sessionId }) => sessionId));
      added.push(session.sessionId);
      return addDurable(session, ...rest);
    };
    const copies = await fork(sessions, {});
    expect(seen).toEqual([["a"], ...Array.from({ length: 4 }, () => "SESSION_NOT_FOUND"), ["a"]]);
    expect(copies.map(({ sessionId }) => sessionId)).toEqual(added);
    for (const { sessionId } of copies) expect(await run(sessions, sessionId, "n += 1")).toBe(1);
  });

  test("are made again for who repeats the request, those that are missing and no others", async () => {
    const sessions = start();
    await create(sessions, "a", { ...DURABLE, setup: "var n = 0" });
    const request = { requestId: "r", digest: "two" };
    // The copies are there, but not that the request was answered.
    const add = vi.spyOn(store, "addDurable").mockImplementation((...row) => {
      store.failing.add("commit");
      return TestStore.prototype.addDurable.apply(store, row);
    });
    // Nobody is told that nothing was done.
    expect(await reasonOf(fork(sessions, request))).toBe("STORE_FAILED");
    add.mockRestore();
    store.failing.clear();
    const copies = (await sessions.list(10, "", new Map())).sessions.filter(({ sessionId }) => sessionId !== "a");
    const [one = "", other = ""] = copies.map(({ sessionId }) => sessionId);
    expect(await run(sessions, one, "n = 42")).toBe(42);
    await sessions.delete(other);
    expect(await reasonOf(fork(sessions, { ...request, count: 1, digest: "one" }))).toBe("REQUEST_ID_REUSED");
    const again = await fork(sessions, request);
    expect(new Set(again.map(({ sessionId }) => sessionId))).toEqual(new Set([one, other]));
    expect([await run(sessions, one, "n"), await run(sessions, other, "n")]).toEqual([42, 0]);
  });
});

/** What hears of a session, as words. */
function hearing(told: unknown[]): Watcher {
  return {
    console: (_executionId, { text }) => told.push(text),
    finished: () => undefined,
    changed: ({ isHibernated }) => told.push(isHibernated ? "rests" : "is awake"),
    ended: () => told.push("ended"),
  };
}

describe("where the store is full", () => {
  test("a cancellation that is not kept is not acknowledged", async () => {
    const sessions = start();
    await create(sessions, "a", DURABLE);
    const code = "await new Promise((resolve) => setTimeout(resolve, 8000))";
    const waits = reasonOf(submit(sessions, "a", code, { requestId: "r", digest: "d" }).outcome);
    await expect.poll(() => store.busySessions()).toEqual(["a"]);
    store.failing.add("commit");
    expect(await reasonOf(sessions.cancel("a", "r"))).toMatch(/^STORE_/);
    expect(await waits).toBe("STORE_FAILED");
    store.failing.clear();
    await sessions.cancel("a", "r");
  });

  test("copies that cannot be kept leave nothing in memory", async () => {
    const own = await Engine.start({ workers: 1, memoryBytes: 32 << 20 });
    const { sessions } = startSessions(own, store, { maximum: 100, maximumDurable: 100 });
    await create(sessions, "a", { ...DURABLE, setup: "var held = new Uint8Array(4 << 20)" });
    store.failing.add("commit");
    const options = { count: 1, labels: new Map<string, string>(), requestId: "", digest: "" };
    for (let round = 0; round < 8; round++) {
      expect(await reasonOf(sessions.fork("a", options))).toBe("STORE_FULL");
      await expect.poll(async () => (await sessions.info("a")).isHibernated).toBe(false);
    }
    store.failing.clear();
    expect(await sessions.fork("a", options)).toHaveLength(1);
    await own.close();
  });

  test("a copy that is lost before the others are there is loaded when it is used", async () => {
    const sessions = start();
    await create(sessions, "a", { ...DURABLE, setup: "var n = 0; setInterval(() => n++, 1)" });
    submit(sessions, "a", "await new Promise((resolve) => setTimeout(resolve, 8000))").outcome.catch(() => undefined);
    await settle();
    const addDurable = store.addDurable.bind(store);
    let added = 0;
    store.addDurable = async (...row) => {
      if (++added === 2) {
        // The first copy has begun to run, and cannot keep what it does.
        store.failing.add("commit");
        await settle();
        store.failing.clear();
      }
      return addDurable(...row);
    };
    const options = { count: 2, labels: new Map<string, string>(), requestId: "", digest: "" };
    for (const { sessionId } of await sessions.fork("a", options)) {
      expect(await reasonOf(run(sessions, sessionId, "n"))).toBe("none");
    }
  });

  test("who waits for what goes on from before is not told that it is undone", async () => {
    const sessions = start();
    await create(sessions, "a", { ...DURABLE, setup: "var log = []" });
    const code =
      "log.push('begun'); await new Promise((resolve) => setTimeout(resolve, 1_000)); log.push('ended'); log";
    const request = { requestId: "r", digest: "d" };
    const waits = reasonOf(submit(sessions, "a", code, request).outcome);
    // What comes after it is answered when both are kept.
    expect(await run(sessions, "a", "log.length")).toBe(1);
    store.failing.add("commit");
    expect(await reasonOf(run(sessions, "a", "log.push('another')"))).toBe("STORE_FULL");
    expect(await waits).toBe("STORE_FAILED");
    store.failing.clear();
    expect(await run(sessions, "a", code, request)).toEqual(["begun", "ended"]);
  });

  test("a deletion that fails has changed nothing", async () => {
    const sessions = start();
    await create(sessions, "a", { ...DURABLE, setup: "var n = 1" });
    const asked: string[] = [];
    const ignore = (): void => undefined;
    const call = ({ name }: { readonly name: string }): void => void asked.push(name);
    const link = {
      isOpen: true,
      attached: ignore,
      ended: () => asked.push("ended"),
      call,
      cancelled: ignore,
      released: ignore,
      sessionLeft: ignore,
      namesLeft: ignore,
    };
    const exposed = { connectionId: "c", names: ["ask"], takeOver: false, reconnectWindow: 30_000 };
    await sessions.use("a", (session) => session.expose(exposed, link as never, ignore));
    const runs = run(sessions, "a", "await new Promise((resolve) => setTimeout(resolve, 200)); n += 1");
    await settle();
    store.failing.add("delete");
    expect(await reasonOf(sessions.delete("a"))).toBe("full");
    expect(await runs).toBe(2);
    const asks = submit(sessions, "a", "await ask()");
    const ended = reasonOf(asks.outcome);
    await expect.poll(() => asked).toEqual(["ask"]);
    store.failing.clear();
    await sessions.delete("a");
    expect(await ended).toBe("SESSION_DELETED_MEANWHILE");
    expect(await reasonOf(sessions.info("a"))).toBe("SESSION_DELETED");
  });

  test("a client has back what it passed where that is not kept, and keeps it where it is not kept that the guest let go of it", async () => {
    const sessions = start();
    await create(sessions, "a", { ...DURABLE, setup: "var kept; function keep(fn) { kept = fn }" });
    const told: string[] = [];
    const link = linkOf({
      released: (id) => told.push(`released ${id}`),
      call: ({ callId, hostFunctionId }, functions) => {
        told.push(`call ${hostFunctionId}`);
        queueMicrotask(() =>
          functions.result(link, callId, { kind: "value", value: { kind: "json", text: "42" } } as HostResult),
        );
      },
    });
    const exposed = { connectionId: "c", names: [], takeOver: false, reconnectWindow: 30_000 };
    await sessions.use("a", (session) => session.expose(exposed, link, () => undefined));
    const command = {
      kind: "call",
      handleId: undefined,
      path: "keep",
      construct: false,
      thisValue: undefined,
      args: [{ kind: "hostFunction", hostFunctionId: "f", name: "f" }],
    } as const;
    const options = { encoding: 0, handleGroup: "", atomic: false, parentExecutionId: "", requestId: "", digest: "" };
    const passed = { ids: ["f"], link };
    const pass = () =>
      sessions.submit("a", command, { ...options, deadline: Number.POSITIVE_INFINITY, passed }).outcome;
    store.failing.add("commit");
    expect(await reasonOf(pass())).toBe("STORE_FULL");
    store.failing.clear();
    await expect.poll(() => told.splice(0)).toEqual(["released f"]);
    await pass();
    // Garbage is collected when the memory has grown, and that is told in the next turn.
    const letGo = () => {
      const first = run(sessions, "a", "kept = undefined; void Array.from({ length: 100_000 }, (_, i) => ({ i }))");
      return reasonOf(Promise.all([first, run(sessions, "a", "0")]));
    };
    store.failing.add("commit");
    expect(await letGo()).toBe("STORE_FULL");
    store.failing.clear();
    expect(await run(sessions, "a", "await kept()", { limits: { timeout: 5_000 } })).toBe(42);
    expect(told).toEqual(["call f"]);
    expect(await letGo()).toBe("none");
    expect(told).toEqual(["call f", "released f"]);
    expect((await store.durable("a"))?.session.record).toContain('"passed":[]');
  });

  test("a client has all that it lent when it lends some more while the session is loaded again", async () => {
    const sessions = start();
    await create(sessions, "a", DURABLE);
    const link = linkOf({
      call: ({ callId, name }, functions) => {
        const text = JSON.stringify(`from ${name}`);
        queueMicrotask(() => functions.result(link, callId, { kind: "value", value: { kind: "json", text } }));
      },
    });
    let told: readonly string[] = [];
    const expose = (name: string) =>
      sessions.use("a", (session) =>
        session.expose(
          { connectionId: "c", names: [name], takeOver: false, reconnectWindow: 30_000 },
          link,
          (names) => {
            told = names;
          },
        ),
      );
    await expose("one");
    store.failing.add("commit");
    const find = store.hold("find");
    expect(await reasonOf(run(sessions, "a", "1"))).toBe("STORE_FULL");
    store.failing.clear();
    const exposed = expose("two");
    find.open();
    await exposed;
    expect(told).toEqual(["one", "two"]);
    const limits = { timeout: 5_000 };
    expect(await run(sessions, "a", "[await one(), await two()]", { limits })).toEqual(["from one", "from two"]);
  });

  test("a client has a name back that another was about to take over", async () => {
    const sessions = start();
    await create(sessions, "a", DURABLE);
    const left: (readonly string[])[] = [];
    const expose = (by: string) => {
      const link = linkOf({
        namesLeft: (_session, _connection, names) => left.push(names),
        call: ({ callId }, functions) => {
          const value = { kind: "json", text: JSON.stringify(by) } as const;
          queueMicrotask(() => functions.result(link, callId, { kind: "value", value }));
        },
      });
      const options = { connectionId: by, names: ["f"], takeOver: true, reconnectWindow: 30_000 };
      return sessions.use("a", (session) => session.expose(options, link, () => undefined));
    };
    await expose("c");
    const commit = store.hold("commit");
    const lost = reasonOf(run(sessions, "a", "1"));
    await commit.met;
    const refused = reasonOf(expose("d"));
    await settle();
    store.failing.add("commit");
    commit.open();
    expect(await lost).toBe("STORE_FULL");
    expect(await refused).toBe("STORE_FULL");
    store.failing.clear();
    expect(await run(sessions, "a", "await f()", { limits: { timeout: 5_000 } })).toBe("c");
    expect(left).toEqual([]);
  });

  test("a client is told where the session that it lends to cannot be loaded again, and lends to it when it can", async () => {
    const sessions = start();
    await create(sessions, "a", DURABLE);
    const told: string[] = [];
    const link = linkOf({
      sessionLeft: (sessionId, why) => told.push(`${sessionId} ${why?.reason}`),
      call: ({ callId }, functions) =>
        queueMicrotask(() => functions.result(link, callId, { kind: "value", value: { kind: "json", text: "1" } })),
    });
    const expose = () =>
      sessions.use("a", (session) =>
        session.expose({ connectionId: "c", names: ["f"], takeOver: false, reconnectWindow: 30_000 }, link, () => {
          told.push("exposed");
        }),
      );
    await expose();
    for (const call of ["commit", "find"] as const) store.failing.add(call);
    expect(await reasonOf(run(sessions, "a", "1"))).toBe("STORE_FULL");
    await expect.poll(() => told).toEqual(["exposed", "a STORE_FAILED"]);
    store.failing.clear();
    await expose();
    expect(await run(sessions, "a", "await f()", { limits: { timeout: 5_000 } })).toBe(1);
    expect(told).toEqual(["exposed", "a STORE_FAILED", "exposed"]);
  });

  test("nobody who watches is told of a change that is not kept", async () => {
    const sessions = start();
    await create(sessions, "a", DURABLE);
    const told: unknown[] = [];
    const ignore = (): void => undefined;
    const changed = ({ labels }: { readonly labels: ReadonlyMap<string, string> }): void => void told.push([...labels]);
    await sessions.watch("a", { console: ignore, finished: ignore, changed, ended: ignore });
    store.failing.add("commit");
    expect(await reasonOf(sessions.update("a", { labels: new Map([["x", "1"]]) }))).toBe("STORE_FULL");
    expect(told.flat()).toEqual([]);
  });
});

test("a client that names itself is not told of names that another has taken over meanwhile", async () => {
  const sessions = start();
  await create(sessions, "a", DURABLE);
  const told: (readonly string[])[] = [];
  const link = linkOf({ namesLeft: (_session, _connection, names) => told.push(names) });
  const expose = (connectionId: string, names: string[]) =>
    sessions.use("a", (session) =>
      session.expose(
        { connectionId, names, takeOver: true, reconnectWindow: 30_000 },
        connectionId === "c" ? link : linkOf({}),
        (all) => {
          if (connectionId === "c") told.push(all);
        },
      ),
    );
  await expose("c", ["f"]);
  const commit = store.hold("commit");
  const taken = expose("d", ["f"]);
  await commit.met;
  const named = expose("c", []);
  commit.open();
  await Promise.all([taken, named]);
  expect(told).toEqual([["f"], [], []]);
});

describe("after another server has ended", () => {
  const WAITS = "await new Promise((resolve) => setTimeout(resolve, 8000))";
  const request = { requestId: "r", digest: "d" };

  /** Once these are in the middle of something, nothing that is committed of them gets anywhere. */
  async function end(...sessionIds: readonly string[]): Promise<void> {
    await expect.poll(() => store.busySessions()).toEqual(sessionIds);
    const stored = await Promise.all(sessionIds.map((id) => store.durable(id)));
    const owners = new Set(stored.map((session) => session?.owner));
    const commit = store.commit.bind(store);
    store.commit = (one) => (owners.has(one.owner) ? new Promise(() => undefined) : commit(one));
  }

  test("an execution can be cancelled before anybody has come to its session", async () => {
    const before = start();
    await create(before, "a", DURABLE);
    submit(before, "a", WAITS, request).outcome.catch(() => undefined);
    await end("a");
    const sessions = start();
    await sessions.cancel("a", "r");
    expect(await run(sessions, "a", WAITS, request)).toBe("stopped");
  });

  test("one that waited to begin when its caller went away runs when it is asked for again", async () => {
    const before = start();
    await create(before, "a", DURABLE);
    const wait = "await new Promise((resolve) => { globalThis.go = resolve; setTimeout(resolve, 3_600_000) })";
    submit(before, "a", wait).outcome.catch(() => undefined);
    const late = submit(before, "a", "globalThis.n = 1", { ...request, atomic: true });
    late.outcome.catch(() => undefined);
    // Nobody takes what it emits any more.
    late.allow(1);
    await end("a");
    const sessions = start();
    expect(await run(sessions, "a", "go(); 2")).toBe(2);
    expect(await run(sessions, "a", "globalThis.n = 1", { ...request, atomic: true })).toBe(1);
  });

  test("who repeats what brought functions is told which of them nobody holds any more", async () => {
    const sessions = start();
    await create(sessions, "a", {
      ...DURABLE,
      setup: "let kept; function use(mine, lost) { kept = mine }",
    });
    const pass = async (to: Sessions): Promise<string[]> => {
      const told: string[] = [];
      const link = linkOf({ released: (id) => told.push(`released ${id}`) });
      const exposed = { connectionId: "c", names: [], takeOver: false, reconnectWindow: 30_000 };
      await to.use("a", (session) => session.expose(exposed, link, () => undefined));
      const ids = ["mine", "lost"];
      const args = ids.map((id) => ({ kind: "hostFunction", hostFunctionId: id, name: id }) as const);
      const command = { kind: "call", handleId: undefined, path: "use", construct: false, thisValue: undefined, args };
      const options = {
        encoding: 0,
        handleGroup: "",
        atomic: false,
        parentExecutionId: "",
        requestId: "r",
        digest: "d",
      };
      const passed = { ids, link };
      const execution = to.submit(
        "a",
        { ...command, kind: "call" },
        { ...options, deadline: Number.POSITIVE_INFINITY, passed },
      );
      expect((await execution.outcome).result.kind).toBe("value");
      return told;
    };
    const told = await pass(sessions);
    await run(sessions, "a", "void Array.from({ length: 100_000 }, (_, i) => ({ i }))");
    await run(sessions, "a", "0");
    expect(told).toEqual(["released lost"]);
    // It was said to a stream that ended before it came.
    expect(await pass(start())).toEqual(["released lost"]);
  });

  test("those that were busy go on when there is room, also if that takes long", async () => {
    const before = start();
    for (const id of ["a", "b"]) {
      await create(before, id, DURABLE);
      submit(before, id, WAITS, { requestId: "r", digest: "d" }).outcome.catch(() => undefined);
    }
    await end("a", "b");
    const sessions = start({ maximum: 1 });
    void sessions.resume();
    await expect.poll(() => store.busySessions(), { timeout: 25_000 }).toEqual([]);
  });
});

describe("what host functions were called with, and answered", () => {
  /** A client that never answers by itself. */
  function lending() {
    const calls: (HostCall & { answer(text: string): void })[] = [];
    const link: HostLink = {
      isOpen: true,
      attached: () => undefined,
      ended: () => undefined,
      sessionLeft: () => undefined,
      namesLeft: () => undefined,
      cancelled: () => undefined,
      passedOn: () => undefined,
      released: () => undefined,
      call: (call, functions) => {
        const answer = (text: string) =>
          functions.result(link, call.callId, { kind: "value", value: { kind: "json", text } });
        calls.push({ ...call, answer });
      },
    };
    const expose = (sessions: Sessions) =>
      sessions.use("a", (session) =>
        session.expose(
          { connectionId: "c", names: ["f"], takeOver: false, reconnectWindow: 60_000 },
          link,
          () => undefined,
        ),
      );
    return { calls, expose };
  }

  const LARGE = 100_000;
  const CALLS = `Promise.all(["x", "y"].map((one) => f(one.repeat(${LARGE}))))`;
  const request = { requestId: "r", digest: "d" };

  async function calling(sessions: Sessions, client: ReturnType<typeof lending>): Promise<void> {
    await create(sessions, "a", DURABLE);
    await client.expose(sessions);
    submit(sessions, "a", `(async () => { const [x, y] = await ${CALLS}; return x + y })()`, request).outcome.catch(
      () => undefined,
    );
    await expect.poll(() => client.calls.length).toBe(2);
  }

  test("goes to the store once, whatever is committed while it waits", async () => {
    const sessions = start();
    const client = lending();
    const sizes: number[] = [];
    const commit = store.commit.bind(store);
    store.commit = (one) => {
      const texts = [one.session.record, ...one.parts.map(({ text }) => text)];
      sizes.push(texts.join("").length);
      return commit(one);
    };
    await calling(sessions, client);
    const before = sizes.length;
    expect(Math.max(...sizes)).toBeGreaterThan(2 * LARGE);
    for (let i = 1; i < 4; i++) expect(await run(sessions, "a", "globalThis.n = (globalThis.n ?? 0) + 1")).toBe(i);
    client.calls[0]?.answer(JSON.stringify("1"));
    client.calls[1]?.answer(JSON.stringify("2"));
    expect(await run(sessions, "a", "0", request)).toBe("12");
    expect(sizes.length).toBeGreaterThan(before + 3);
    expect(Math.max(...sizes.slice(before))).toBeLessThan(LARGE / 10);
    expect((await store.durable("a"))?.parts).toEqual([]);
  });

  test("is there after another server has ended, and goes to the store no second time", async () => {
    const [before, then] = [lending(), lending()];
    await calling(start(), before);
    // Nothing more that the first one commits gets anywhere.
    const first = (await store.durable("a"))?.owner;
    const commit = store.commit.bind(store);
    const written: string[] = [];
    store.commit = (one) => {
      if (one.owner === first) return new Promise(() => undefined);
      written.push(...one.parts.map(({ key }) => key).filter((key) => !key.startsWith("execution")));
      return commit(one);
    };
    const sessions = start();
    await then.expose(sessions);
    await expect.poll(() => then.calls.length).toBe(2);
    const told = ({ callId, args }: HostCall) => ({ callId, args });
    expect(then.calls.map(told)).toEqual(before.calls.map(told));
    expect(await run(sessions, "a", "globalThis.n = 1")).toBe(1);
    expect(written).toEqual([]);
    for (const [i, call] of then.calls.entries()) call.answer(String(i + 1));
    expect(await run(sessions, "a", "0", request)).toBe(3);
  });

  test("is not made up where the store has lost it", async () => {
    await calling(start(), lending());
    const durable = store.durable.bind(store);
    store.durable = async (id) => {
      const found = await durable(id);
      return found === undefined ? undefined : { ...found, parts: found.parts.slice(1) };
    };
    expect(await reasonOf(run(start(), "a", "1"))).toBe("SESSION_LOST");
  });
});

describe("who watches one", () => {
  test("goes on to hear of it when it is loaded again as it could not be kept", async () => {
    const sessions = start();
    await create(sessions, "a", DURABLE);
    const told: unknown[] = [];
    await sessions.watch("a", hearing(told));
    store.failing.add("commit");
    expect(await reasonOf(run(sessions, "a", "1"))).toBe("STORE_FULL");
    store.failing.clear();
    await run(sessions, "a", "console.log('again')");
    expect(told).toEqual(["is awake", "again"]);
    await sessions.delete("a");
    expect(told).toEqual(["is awake", "again", "ended"]);
  });

  test("and is told where it cannot be loaded again", async () => {
    const sessions = start();
    await create(sessions, "a", DURABLE);
    const told: unknown[] = [];
    const ended = (why: Error): void => void reasonOf(Promise.reject(why)).then((reason) => told.push(reason));
    await sessions.watch("a", { ...hearing(told), ended });
    for (const call of ["commit", "find"] as const) store.failing.add(call);
    expect(await reasonOf(run(sessions, "a", "1"))).toBe("STORE_FULL");
    await expect.poll(() => told).toEqual(["STORE_FAILED"]);
  });

  test("hears that it was deleted, also when it went to rest on its way out of the store", async () => {
    const sessions = start({ maximum: 1 });
    await create(sessions, "a", DURABLE);
    const told: unknown[] = [];
    await sessions.watch("a", hearing(told));
    const deletion = store.hold("delete");
    const deleted = sessions.delete("a");
    await deletion.met;
    const made = create(sessions, "b");
    await settle();
    deletion.open();
    await Promise.all([deleted, made]);
    expect(told.at(-1)).toBe("ended");
  });

  test.each([true, false])("hears nothing of another that has its id later: durable %s", async (isDurable) => {
    const sessions = start({ maximum: 1 });
    await create(sessions, "a", { isDurable, idleTtl: 300 });
    const told: unknown[] = [];
    await sessions.watch("a", hearing(told));
    await create(sessions, "b");
    expect(told).toEqual(["rests"]);
    await new Promise((resolve) => setTimeout(resolve, 400));
    await create(sessions, "a", { isDurable, setup: "console.log('secret')" });
    await run(sessions, "a", "console.log('secret')");
    expect(told).toEqual(["rests", "ended"]);
  });
});

test("an execution that waits goes to the store again only when something of it has run", async () => {
  const sessions = start();
  await create(sessions, "a", DURABLE);
  const written: string[] = [];
  const commit = store.commit.bind(store);
  store.commit = (one) => {
    written.push(...one.parts.map(({ key }) => key), ...one.dropped.map((key) => `no ${key}`));
    return commit(one);
  };
  const wait =
    "await new Promise((resolve) => { (globalThis.go ??= []).push(resolve); setTimeout(resolve, 3_600_000) })";
  const waiting = [1, 2].map((i) => submit(sessions, "a", `${wait}; ${i}`));
  expect(await run(sessions, "a", "1 + 1")).toBe(2);
  expect(written.splice(0)).toEqual(["execution 1", "execution 2"]);
  expect(await run(sessions, "a", "globalThis.n = 1")).toBe(1);
  expect(await run(sessions, "a", "go[0](); 3")).toBe(3);
  await waiting[0]?.outcome;
  expect(await run(sessions, "a", "go[1](); 4")).toBe(4);
  await waiting[1]?.outcome;
  expect(written).toEqual(["no execution 1", "no execution 2"]);
  expect((await store.durable("a"))?.parts).toEqual([]);
});

test("one that is only read is written as a whole now and then, too", async () => {
  const sessions = start();
  await create(sessions, "a", { ...DURABLE, idleTtl: 60_000 });
  const rebase = vi.spyOn(store, "rebase");
  await sessions.use("a", async (session) => {
    for (let i = 0; i < 260; i++) await session.commits.touch(Date.now());
  });
  await expect.poll(() => rebase).toHaveBeenCalled();
});

test("one that is written as a whole while it cannot be kept that it was used has all that comes after", async () => {
  const sessions = start();
  await create(sessions, "a", { ...DURABLE, setup: "var n = 0, large = 'x'.repeat(1000)" });
  await sessions.use("a", async (session) => {
    for (let i = 0; i < 255; i++) await session.commits.touch(Date.now());
    // It waits behind the commit after which the session is written as a whole.
    const commit = store.hold("commit");
    const changed = run(sessions, "a", "n = 1");
    await commit.met;
    const touched = reasonOf(session.commits.touch(Date.now()));
    let write = (): void => undefined;
    const rebased = new Promise<void>((resolve) => (write = resolve));
    const rebase = vi.spyOn(store, "rebase").mockImplementation(async (...base) => {
      await rebased;
      return TestStore.prototype.rebase.apply(store, base);
    });
    commit.open();
    const next = store.hold("commit");
    await next.met;
    store.failing.add("commit");
    next.open();
    expect([await changed, await touched]).toEqual([1, "full"]);
    store.failing.clear();
    await expect.poll(() => rebase).toHaveBeenCalled();
    await run(sessions, "a", "large = large.toUpperCase(); n = 2");
    write();
    await rebase.mock.results[0]?.value;
  });
  expect(await run(start(), "a", "[n, large[999]]")).toEqual([2, "X"]);
});

test("one that there is never room for makes none of the others wait that go on after a restart", async () => {
  const WAITS = "await new Promise((resolve) => setTimeout(resolve, 8000))";
  const before = start();
  await create(before, "a", {
    ...DURABLE,
    limits: { memoryBytes: 128 << 20 },
    setup: "var x = new Uint8Array(48 << 20)",
  });
  await create(before, "b", DURABLE);
  for (const id of ["a", "b"]) submit(before, id, WAITS).outcome.catch(() => undefined);
  await expect.poll(() => store.busySessions()).toHaveLength(2);
  const own = await Engine.start({ workers: 1, memoryBytes: 16 << 20 });
  const { sessions } = startSessions(own, store, { maximum: 10, maximumDurable: 10 });
  const info = vi.spyOn(store, "durable");
  void sessions.resume();
  await expect.poll(() => info.mock.calls.flat()).toContain("b");
  await own.close();
});
