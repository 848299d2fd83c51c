/** Sessions at rest, where the store is slow or fails, and what else happens comes in between. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  create,
  executeAlone,
  reasonOf,
  run,
  type StartOptions,
  startSessions,
  submit,
  TestStore,
} from "../../../test/support/sessions-on-store.js";
import { Engine } from "../engine/engine.js";
import type { Execution } from "./execution.js";
import type { HostLink } from "./lending.js";
import { LiveSessions } from "./live-sessions.js";
import { Session } from "./session.js";
import type { CreateOptions } from "./session-setup.js";
import type { Sessions } from "./sessions.js";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(() => engine.close());

let store: TestStore;
beforeEach(() => {
  store = new TestStore();
});

const start = (options?: StartOptions) => startSessions(engine, store, options);
const ignore = (): void => undefined;
const settle = () => new Promise((resolve) => setTimeout(resolve, 30));

/** Sessions of which there is room for one in memory: `a` rests, `b` does not. */
async function aRests(options: Partial<CreateOptions> = {}): Promise<Sessions> {
  const { sessions } = start();
  await create(sessions, "a", { setup: "var x = 1", ...options });
  await create(sessions, "b");
  expect((await sessions.info("a")).isHibernated).toBe(true);
  return sessions;
}

describe("a session that goes to rest", () => {
  test("may have a fraction of a millisecond of idle_ttl", async () => {
    const put = vi.spyOn(store, "putSession");
    await aRests({ idleTtl: 60_000.5 });
    expect(put.mock.calls.map(([{ expiresAt }]) => Number.isInteger(expiresAt))).toEqual([true]);
  });

  test("and is deleted on its way fails nobody who waits for its room", async () => {
    const { sessions } = start();
    await create(sessions, "a");
    const made = create(sessions, "b");
    await sessions.delete("a");
    expect(await reasonOf(made)).toBe("none");
  });

  test("is none of those who have expired: they end where somebody needs their room, and the store hears nothing of it", async () => {
    const { sessions } = start({ maximum: 2 });
    await create(sessions, "a", { idleTtl: 1 });
    await create(sessions, "b");
    await settle();
    const put = vi.spyOn(store, "putSession");
    await create(sessions, "c");
    expect([put.mock.calls.length, (await sessions.info("b")).isHibernated]).toEqual([0, false]);
    put.mockRestore();
  });

  test("and cannot be stored stays, and others go in its place", async () => {
    const { sessions } = start({ maximum: 2 });
    await create(sessions, "a");
    await create(sessions, "b");
    store.refuses = ({ sessionId }) => sessionId === "a";
    await create(sessions, "c");
    expect((await sessions.info("a")).isHibernated).toBe(false);
    expect((await sessions.info("b")).isHibernated).toBe(true);
    expect(await run(sessions, "a", "2")).toBe(2);
  });

  test("stays where the store takes nothing, and who needs its room is refused for want of room", async () => {
    const { sessions, failures } = start();
    await create(sessions, "a");
    store.failing.add("put");
    expect(await reasonOf(create(sessions, "b"))).toBe("QUOTA_EXCEEDED");
    expect(failures).toMatchObject([{ kind: "full" }]);
    expect(await run(sessions, "a", "2")).toBe(2);
  });

  test("is one of no more than may rest, also when many go at once", async () => {
    const { sessions, hibernation } = start({ maximum: 10, maximumHibernated: 3 });
    for (let i = 0; i < 10; i++) await create(sessions);
    const made = await Promise.all(Array.from({ length: 10 }, () => reasonOf(create(sessions))));
    expect(made.filter((reason) => reason === "none")).toHaveLength(3);
    expect(hibernation.count).toBe(3);
  });

  test("and is deleted on its way leaves nothing to take a new one of its id along with", async () => {
    const { sessions } = start({ maximum: 2 });
    await create(sessions, "a", { setup: "var x = 'old'" });
    await create(sessions, "b");
    const put = store.hold("put");
    const made = reasonOf(create(sessions, "c"));
    await put.met;
    // Those that come after it go by.
    store.hold("put").open();
    await sessions.delete("a");
    const again = create(sessions, "a", { setup: "var x = 'new'" });
    await settle();
    for (const id of ["d", "e"]) await create(sessions, id);
    put.open();
    await Promise.all([made, again]);
    await settle();
    for (const id of ["f", "g"]) await create(sessions, id);
    expect((await sessions.info("a")).isHibernated).toBe(true);
    expect(await run(sessions, "a", "x")).toBe("new");
  });

  test("comes back when there is room for the answers that it has not taken", async () => {
    const { sessions } = start();
    await create(sessions, "a");
    const text = JSON.stringify("x".repeat(100_000));
    let answer = ignore;
    const link = { isOpen: true, attached: ignore, ended: ignore, cancelled: ignore } as unknown as HostLink;
    link.call = ({ callId }, functions) => {
      answer = () => functions.result(link, callId, { kind: "value", value: { kind: "json", text } });
    };
    const exposed = { connectionId: "c", names: ["f"], takeOver: false, reconnectWindow: 0 };
    await sessions.use("a", (session) => session.expose(exposed, link, ignore));
    await run(sessions, "a", "globalThis.asked = f().then((text) => text.length); 0");
    answer();
    await sessions.use("a", (session) => session.hostFunctions.detach(link));
    await settle();
    await create(sessions, "b");
    expect((await sessions.info("a")).isHibernated).toBe(true);
    const others = 2 ** 40;
    engine.mainHeap.add(others);
    const woken = await reasonOf(run(sessions, "a", "1"));
    engine.mainHeap.add(-others);
    expect(woken).toBe("QUOTA_EXCEEDED");
    expect(await run(sessions, "a", "await asked")).toBe(100_000);
  });

  test("while what it left in the store before cannot be deleted is there all the same", async () => {
    const { sessions } = start();
    await create(sessions, "a", { setup: "var x = 1" });
    await create(sessions, "b");
    const deletion = store.hold("delete");
    store.failing.add("delete");
    await run(sessions, "a", "x = 2");
    const made = create(sessions, "c");
    await settle();
    deletion.open();
    await made;
    await settle();
    store.failing.delete("delete");
    expect((await sessions.info("a")).isHibernated).toBe(true);
    expect(await run(sessions, "a", "x")).toBe(2);
  });

  test("and expires there gives its place back when another takes its id", async () => {
    const { sessions, hibernation } = start();
    for (let round = 0; round < 3; round++) {
      await create(sessions, "a", { idleTtl: 60 });
      await create(sessions, "b");
      await sessions.delete("b");
      await new Promise((resolve) => setTimeout(resolve, 120));
    }
    await hibernation.expire(() => undefined);
    expect(hibernation.count).toBe(0);
  });

  test("makes no image before one of the others is gone", async () => {
    const { sessions } = start({ maximum: 20 });
    for (let i = 0; i < 20; i++) await create(sessions);
    const copied = vi.spyOn(engine, "copyImage");
    const put = store.hold("put");
    const made = Promise.all(Array.from({ length: 20 }, () => create(sessions)));
    await put.met;
    await settle();
    expect(copied).toHaveBeenCalledTimes(4);
    put.open();
    await made;
    copied.mockRestore();
  });
});

describe("a session that is woken", () => {
  test("runs what comes meanwhile in its order, of whatever kind", async () => {
    const sessions = await aRests();
    const ran = run(sessions, "a", "x = 2");
    const seen = sessions.use("a", (session) =>
      session.inspect({ handleId: undefined, path: "x", maximumProperties: 1 }),
    );
    await ran;
    expect(JSON.parse(await seen)).toMatchObject({ handle: { preview: "2" } });
  });

  test("is told to who begins to watch it meanwhile", async () => {
    const sessions = await aRests();
    const image = store.hold("image");
    const ran = run(sessions, "a", "1");
    await image.met;
    const told: string[] = [];
    await sessions.watch("a", {
      console: () => undefined,
      finished: () => told.push("finished"),
      changed: ({ isHibernated }) => told.push(isHibernated ? "rests" : "is awake"),
      ended: () => told.push("ended"),
    });
    image.open();
    await ran;
    await sessions.delete("a");
    expect(told).toEqual(["is awake", "finished", "ended"]);
  });

  test("is gone when it is deleted meanwhile", async () => {
    const sessions = await aRests();
    const image = store.hold("image");
    const deletion = store.hold("delete");
    const deleted = sessions.delete("a");
    await deletion.met;
    const ran = reasonOf(run(sessions, "a", "1"));
    await image.met;
    image.open();
    await settle();
    deletion.open();
    await deleted;
    await ran;
    expect(await reasonOf(run(sessions, "a", "1"))).toBe("SESSION_DELETED");
  });

  test("is answered that it was deleted, where that was first", async () => {
    const sessions = await aRests();
    const image = store.hold("image");
    const deletion = store.hold("delete");
    const deleted = sessions.delete("a");
    await deletion.met;
    const ran = reasonOf(run(sessions, "a", "1"));
    await image.met;
    deletion.open();
    await settle();
    image.open();
    expect(await ran).toBe("SESSION_DELETED");
    await deleted;
  });

  test("waits for room as long as it may, also where the machine's clock is set meanwhile", async () => {
    const sessions = await aRests();
    let leave = (): void => undefined;
    const busy = sessions.use("b", () => new Promise<void>((resolve) => (leave = resolve)));
    const woken = reasonOf(sessions.use("a", () => undefined));
    await settle();
    const { now } = Date;
    const set = vi.spyOn(Date, "now").mockImplementation(() => now() + 10_000);
    await settle();
    leave();
    await busy;
    expect(await woken).toBe("none");
    set.mockRestore();
  });

  test("waits for room as long as any other, also where others before it wait to be read", async () => {
    const small = await Engine.start({ workers: 1, memoryBytes: 8 << 20 });
    const { sessions } = startSessions(small, store, { maximum: 20, hibernateAfter: 1 });
    const ids = Array.from({ length: 6 }, (_, i) => `s${i}`);
    for (const id of ids) {
      // What it has grown to is more than what it has.
      await create(sessions, id, { setup: "new Uint8Array(3 << 20).fill(1)" });
      await vi.waitFor(async () => expect((await sessions.info(id)).isHibernated).toBe(true), { timeout: 30_000 });
    }
    await create(sessions, "busy", { setup: "var x = new Uint8Array(5 << 20).fill(1)" });
    let leave = ignore;
    let busy: Promise<void> = Promise.resolve();
    await new Promise<void>((used) => {
      busy = sessions.use("busy", () => {
        used();
        return new Promise((resolve) => {
          leave = resolve;
        });
      });
    });
    const woken = ids.map((id) => reasonOf(run(sessions, id, "1")));
    await Promise.race(woken);
    // Whoever still waits would get the room that comes now.
    await Promise.race([Promise.all(woken), new Promise((resolve) => setTimeout(resolve, 3_000))]);
    leave();
    await busy;
    expect(await Promise.all(woken)).toEqual(ids.map(() => "QUOTA_EXCEEDED"));
    await sessions.drain();
    await small.close();
  });

  test("and for which there is no room can be deleted all the same", async () => {
    const sessions = await aRests();
    const busy = submit(sessions, "b", "await new Promise((done) => setTimeout(done, 60_000)); 1");
    const ran = reasonOf(run(sessions, "a", "1"));
    const cancelled = reasonOf(sessions.cancel("a", "it"));
    await sessions.delete("a");
    expect([await ran, await cancelled]).toEqual(["QUOTA_EXCEEDED", "none"]);
    expect(await reasonOf(sessions.info("a"))).toBe("SESSION_DELETED");
    busy.cancel();
    await busy.outcome;
  });

  test("finds room also where the server is about to stop", async () => {
    const { sessions } = start({ maximum: 2 });
    const ids = Array.from({ length: 8 }, (_, i) => `s${i}`);
    for (const id of ids) await create(sessions, id, { setup: "var x = 1" });
    const ran = ids.map((id) => run(sessions, id, "x += 1").catch((error) => error.reason));
    await sessions.drain();
    expect(await Promise.all(ran)).toEqual(ids.map(() => 2));
  });

  test("has its executions ended before the server is", async () => {
    const sessions = await aRests();
    const image = store.hold("image");
    let ran: unknown;
    void run(sessions, "a", "x + 1").then((value) => {
      ran = value;
    });
    await image.met;
    const drained = sessions.drain();
    image.open();
    await drained;
    await new Promise(setImmediate);
    expect(ran).toBe(2);
  });

  test("leaves nothing behind that is ever met again, though its row cannot be deleted", async () => {
    const { sessions, hibernation } = start();
    await create(sessions, "a", { idleTtl: 60_000 });
    await create(sessions, "b");
    for (let i = 0; i < 3; i++) {
      store.failing.add("delete");
      await run(sessions, "a", "1");
      await settle();
      store.failing.delete("delete");
      await run(sessions, "b", "1");
      expect(hibernation.count).toBe(1);
    }
    store.failing.add("delete");
    await run(sessions, "a", "1");
    await settle();
    store.failing.delete("delete");
    expect(await store.session("a")).toBeDefined();
    expect(await hibernation.find("a")).toBeUndefined();
    expect((await hibernation.list(10, undefined, new Map())).map(({ sessionId }) => sessionId)).toEqual(["b"]);
    expect(await hibernation.expire(() => undefined)).toEqual([]);
    expect(await store.session("a")).toBeUndefined();
    expect(hibernation.count).toBe(1);
  });

  test("and whose row cannot be deleted is in no durable one's way that has its id later", async () => {
    const { sessions } = start({ maximumDurable: 100 });
    await create(sessions, "a");
    await create(sessions, "b");
    store.failing.add("delete");
    await run(sessions, "a", "1");
    await settle();
    await sessions.delete("a");
    store.failing.delete("delete");
    expect(await store.session("a")).toBeDefined();
    await create(sessions, "a", { isDurable: true, setup: "var x = 2" });
    expect(await store.durable("a")).toBeDefined();
    expect(await run(sessions, "a", "x")).toBe(2);
  });
});

test("a list of sessions with large labels goes through all of them once, and reads no more than a page has room for", async () => {
  const { sessions } = start({ maximum: 5, maximumDurable: 100 });
  const text = (i: number): string => `${i}`.padEnd(1_000, "x");
  const labels = new Map(Array.from({ length: 64 }, (_, i) => [text(i), text(i)]));
  const ids = Array.from({ length: 80 }, (_, i) => `s${String(i).padStart(2, "0")}`);
  for (const id of ids) await create(sessions, id, { labels, isDurable: true });
  const read: number[] = [];
  const page = store.sessions.bind(store);
  store.sessions = async (options) => {
    const found = await page(options);
    read.push(found.items.length);
    return found;
  };
  const pages: string[][] = [];
  let token = "";
  do {
    const { sessions: found, next } = await sessions.list(1_000, token, new Map());
    pages.push(found.map(({ sessionId }) => sessionId));
    token = next;
  } while (token !== "");
  expect(new Set(pages.flat())).toEqual(new Set(ids));
  expect(pages.flat().length).toBe(ids.length);
  expect(pages.length).toBeGreaterThan(2);
  // For the first page not all of them are read.
  expect(read[0]).toBeLessThan(ids.length);
});

test("a session for which the system gives no memory leaves nothing behind", async () => {
  const { sessions } = start();
  const kept = vi.spyOn(engine.mainHeap, "add");
  vi.spyOn(engine, "createMemory").mockImplementationOnce(() => {
    throw new RangeError("could not allocate memory");
  });
  const labels = new Map([["a", "b".repeat(1_000)]]);
  await expect(create(sessions, "a", { labels })).rejects.toThrow("could not allocate memory");
  expect(kept.mock.calls.reduce((sum, [bytes]) => sum + bytes, 0)).toBe(0);
  await create(sessions, "a", { labels });
  vi.restoreAllMocks();
});

test("of many for whom there is no room others have the thread before all have looked who may leave", async () => {
  const { sessions } = start({ maximum: 1 });
  await create(sessions, "a");
  let leave = (): void => undefined;
  const busy = sessions.use("a", () => new Promise<void>((resolve) => (leave = resolve)));
  const look = vi.spyOn(LiveSessions.prototype, "all");
  try {
    let refused = 0;
    const reasons = Array.from({ length: 100 }, async (_, i) => {
      const reason = await reasonOf(create(sessions, `b${i}`));
      refused++;
      return reason;
    });
    let before = 0;
    const inOneRound: number[] = [];
    while (refused < reasons.length) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      inOneRound.push(look.mock.calls.length - before);
      before = look.mock.calls.length;
    }
    expect(new Set(await Promise.all(reasons))).toEqual(new Set(["QUOTA_EXCEEDED"]));
    // Sweeps look too, and come late together on a busy machine.
    expect(Math.max(...inOneRound)).toBeLessThan(50);
  } finally {
    look.mockRestore();
    leave();
    await busy;
  }
});

test("of many lists that are asked for at one moment others have the thread before all are made", async () => {
  const { sessions } = start();
  await create(sessions, "a");
  let listed = 0;
  const lists = Array.from({ length: 100 }, async () => {
    const { sessions: found } = await sessions.list(10, "", new Map());
    listed++;
    return found.map(({ sessionId }) => sessionId);
  });
  let before = 0;
  const inOneRound: number[] = [];
  while (before < lists.length) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    inOneRound.push(listed - before);
    before = listed;
  }
  expect(Math.max(...inOneRound)).toBeLessThan(10);
  expect(await Promise.all(lists)).toEqual(Array.from({ length: 100 }, () => ["a"]));
});

test("a new session with the id of one that another process left is not taken for it", async () => {
  const before = start();
  await create(before.sessions, "mine");
  await create(before.sessions, "other");
  const list = store.hold("list");
  const { sessions } = start();
  await list.met;
  await create(sessions, "mine", { setup: "var x = 1" });
  list.open();
  await settle();
  await create(sessions, "another");
  expect((await sessions.info("mine")).isHibernated).toBe(true);
  expect(await run(sessions, "mine", "x")).toBe(1);
});

test("a session whose row is damaged can be deleted", async () => {
  const sessions = await aRests();
  store.failing.add("find");
  expect(await reasonOf(sessions.info("a"))).toBe("full");
  await sessions.delete("a");
  expect(await reasonOf(sessions.info("a"))).toBe("SESSION_DELETED");
});

test("pieces of a snapshot that hold nothing are counted, too", async () => {
  const { snapshots } = start();
  const nothing = new Uint8Array();
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 2_000_000; i++) yield nothing;
  }
  expect(await reasonOf(snapshots.import(endless()))).toBe("QUOTA_EXCEEDED");
});

describe("what is cancelled while a copy is made of it goes on in the copy", () => {
  const code = "await new Promise((resolve) => setTimeout(resolve, 300)); globalThis.isDone = true";

  test.each([
    ["a fork", "createMemoryFrom"],
    ["a snapshot", "copyImage"],
  ] as const)("%s", async (kind, copying) => {
    const { sessions, snapshots } = start({ maximum: 10 });
    await create(sessions, "a");
    const execution = submit(sessions, "a", code);
    const cancelled = reasonOf(execution.outcome);
    await settle();
    const copy = engine[copying].bind(engine) as (...args: unknown[]) => Promise<never>;
    // Of a large heap it takes some ticks.
    const spy = vi.spyOn(engine, copying).mockImplementation(async (...args: unknown[]) => {
      const made = await copy(...args);
      execution.cancel();
      return made;
    });
    const named = { labels: new Map<string, string>(), requestId: "", digest: "" };
    const made = async (): Promise<string> => {
      if (kind === "a fork") return (await sessions.fork("a", { ...named, count: 1 }))[0]?.sessionId ?? "";
      const { snapshotId } = await sessions.use("a", (session) => snapshots.take(session, { ...named, ttl: 0 }));
      return (await create(sessions, "copy", { snapshotId })).sessionId;
    };
    const sessionId = await made();
    spy.mockRestore();
    await cancelled;
    const isDone = "await new Promise((resolve) => setTimeout(resolve, 10)); globalThis.isDone === true";
    await expect.poll(() => run(sessions, sessionId, isDone), { timeout: 10_000 }).toBe(true);
  });
});

test("copies that there can never be room for make nobody leave memory", async () => {
  const { sessions } = start({ maximum: 2 });
  const { sessionId } = await create(sessions);
  const idle = await create(sessions);
  const options = { count: 3, labels: new Map<string, string>(), requestId: "", digest: "" };
  await expect(sessions.fork(sessionId, options)).rejects.toMatchObject({ reason: "QUOTA_EXCEEDED" });
  expect((await sessions.info(idle.sessionId)).isHibernated).toBe(false);
});

test("an execution without a session runs when one that nobody uses has made room for it", async () => {
  const { sessions } = start();
  await create(sessions, "a", { setup: "var x = 1" });
  const { result } = await executeAlone(sessions, "2").outcome;
  expect(result).toMatchObject({ kind: "value", value: { text: "2" } });
  expect(await run(sessions, "a", "x")).toBe(1);
});

test("a session that somebody has in hand does not expire", async () => {
  const { sessions } = start({ maximum: 2 });
  await create(sessions, "a", { idleTtl: 50 });
  await sessions.use("a", async (session) => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await sessions.info("a")).sessionId).toBe("a");
    await session.inspect({ handleId: undefined, path: "Math", maximumProperties: 1 });
  });
});

describe("a snapshot", () => {
  const OPTIONS = { labels: new Map<string, string>(), ttl: 0, requestId: "", digest: "" };

  test("of a session that had the same id is another's", async () => {
    const { sessions, snapshots } = start({ maximum: 10 });
    await create(sessions, "a", { setup: "var x = 'old'" });
    const { snapshotId } = await sessions.use("a", (session) => snapshots.take(session, OPTIONS));
    await run(sessions, "a", "x = 'newer'");
    await sessions.rollBack("a", snapshotId, "", "");
    expect(await run(sessions, "a", "x")).toBe("old");
    await sessions.delete("a");
    await create(sessions, "a", { setup: "var x = 'another'" });
    expect(await reasonOf(sessions.rollBack("a", snapshotId, "", ""))).toBe("INVALID_REQUEST");
    expect(await run(sessions, "a", "x")).toBe("another");
  });

  test("of a small session does not wait for those of large ones", async () => {
    const { sessions, snapshots } = start({ maximum: 10 });
    const large = ["a", "b", "c"];
    for (const id of large) await create(sessions, id, { setup: "var x = new Uint8Array(6 << 20)" });
    await create(sessions, "small");
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const encode = engine.encodeImage.bind(engine);
    const spy = vi.spyOn(engine, "encodeImage").mockImplementation((image) => gate.then(() => encode(image)));
    const take = (id: string) => sessions.use(id, (session) => snapshots.take(session, OPTIONS));
    const taken = large.map(take);
    await settle();
    taken.push(take("small"));
    expect(await run(sessions, "small", "1")).toBe(1);
    open();
    await Promise.all(taken);
    spy.mockRestore();
  });
});

describe("durable sessions", () => {
  test("are no more than may be, also when many are made at once", async () => {
    const { sessions } = start({ maximum: 10, maximumDurable: 2 });
    const isDurable = true;
    const made = await Promise.all(Array.from({ length: 6 }, () => reasonOf(create(sessions, "", { isDurable }))));
    expect(made.filter((reason) => reason === "none").length).toBe(2);
    expect(new Set(made)).toEqual(new Set(["none", "QUOTA_EXCEEDED"]));
    expect([await store.durableCount(), sessions.count]).toEqual([2, 2]);
  });

  test("are all there that a fork is to make, or none", async () => {
    const { sessions } = start({ maximum: 20, maximumDurable: 5 });
    const { sessionId } = await create(sessions, "a", { isDurable: true });
    const options = { count: 3, labels: new Map(), requestId: "", digest: "" };
    const made = await Promise.all([1, 2].map(() => reasonOf(sessions.fork(sessionId, options))));
    expect(made).toContain("QUOTA_EXCEEDED");
    const forks = made.filter((reason) => reason === "none").length;
    expect([await store.durableCount(), sessions.count]).toEqual([1 + 3 * forks, 1 + 3 * forks]);
  });
});

describe("what runs on behalf of an execution", () => {
  const WAITS = "await new Promise((resolve) => setTimeout(resolve, 8000))";
  const started = async (sessions: Sessions, options: object, setup = "var n = 0"): Promise<Execution> => {
    await create(sessions, "a", { setup });
    const parent = submit(sessions, "a", `n = 1; ${WAITS}`, { requestId: "parent", digest: "d", ...options });
    parent.outcome.catch(() => undefined);
    return parent;
  };
  const OF_IT = { parentExecutionId: "parent" };
  const reasonsOf = async (executions: readonly Execution[]): Promise<unknown[]> =>
    (await Promise.all(executions.map(({ outcome }) => outcome))).map(({ result }) =>
      result.kind === "stopped" ? result.reason : result.kind,
    );

  test("is stopped with it, and what runs on behalf of that", async () => {
    const { sessions } = start();
    const parent = await started(sessions, {});
    const child = submit(sessions, "a", WAITS, { ...OF_IT, requestId: "child", digest: "d" });
    const grandchild = submit(sessions, "a", WAITS, { parentExecutionId: "child" });
    const other = submit(sessions, "a", "await new Promise((resolve) => setTimeout(resolve, 200)); n += 1");
    await settle();
    parent.cancel();
    const stopped = ["CANCELLED", "CANCELLED", "CANCELLED"];
    expect(await reasonsOf([parent, child, grandchild, other])).toEqual([...stopped, "value"]);
  });

  test.each([true, false])("does not run when that was stopped: atomic %s", async (atomic) => {
    const { sessions } = start();
    const parent = await started(sessions, { atomic });
    await settle();
    parent.cancel();
    await parent.outcome;
    expect(await reasonsOf([submit(sessions, "a", "n = 100", OF_IT)])).toEqual(["CANCELLED"]);
    expect(await run(sessions, "a", "n")).toBe(atomic ? 0 : 1);
  });

  test("does not run when that is undone before it has begun", async () => {
    const { sessions } = start();
    await create(sessions, "a", { setup: "var n = 0" });
    const failing = { requestId: "parent", digest: "d", atomic: true };
    const parent = submit(sessions, "a", "n = 1; throw new Error('undone')", failing);
    const child = submit(sessions, "a", "n = 100", OF_IT);
    expect(await reasonsOf([parent, child])).toEqual(["exception", "CANCELLED"]);
    expect(await run(sessions, "a", "n")).toBe(0);
  });

  test("is stopped with it also when what it was asked for by has ended meanwhile", async () => {
    const { sessions } = start();
    const parent = await started(sessions, {});
    const code = "await new Promise((resolve) => { globalThis.go = resolve })";
    const child = submit(sessions, "a", code, { ...OF_IT, requestId: "child", digest: "d" });
    const grandchild = submit(sessions, "a", `globalThis.go(); ${WAITS}`, { parentExecutionId: "child" });
    expect(await reasonsOf([child])).toEqual(["value"]);
    parent.cancel();
    expect(await reasonsOf([parent, grandchild])).toEqual(["CANCELLED", "CANCELLED"]);
  });

  test("does not run where what asked for it has ended, and all is undone", async () => {
    const { sessions } = start();
    await create(sessions, "a", { setup: "var n = 0" });
    const code = "await new Promise((resolve) => { globalThis.go = resolve }); throw new Error('no')";
    const parent = submit(sessions, "a", code, { requestId: "parent", digest: "d", atomic: true });
    const child = submit(sessions, "a", "globalThis.go()", { ...OF_IT, requestId: "child", digest: "d" });
    const grandchild = submit(sessions, "a", "n = 1000", { parentExecutionId: "child" });
    expect(await reasonsOf([parent, child, grandchild])).toEqual(["exception", "value", "CANCELLED"]);
    expect(await run(sessions, "a", "n")).toBe(0);
  });

  test("runs before what waits to have the session alone, also when what all was asked for by has ended", async () => {
    const { sessions } = start();
    await create(sessions, "a");
    const parent = submit(sessions, "a", "await new Promise((resolve) => { globalThis.end = resolve })", {
      requestId: "parent",
      digest: "d",
    });
    const waits = "setTimeout(() => 0, 3_600_000); await new Promise((resolve) => { globalThis.go = resolve })";
    const child = submit(sessions, "a", `globalThis.end(); ${waits}`, { ...OF_IT, requestId: "child", digest: "d" });
    expect(await reasonsOf([parent])).toEqual(["value"]);
    const atomic = submit(sessions, "a", "1", { atomic: true });
    const grandchild = submit(sessions, "a", "globalThis.go()", { parentExecutionId: "child" });
    expect(await reasonsOf([grandchild, child, atomic])).toEqual(["value", "value", "value"]);
  });

  test("is let in while the server waits for it to end", async () => {
    const { sessions } = start();
    await create(sessions, "a");
    const code = "setTimeout(() => 0, 3_600_000); await new Promise((resolve) => { globalThis.go = resolve })";
    const parent = submit(sessions, "a", code, { requestId: "parent", digest: "d" });
    await settle();
    const drained = sessions.drain();
    expect(() => submit(sessions, "a", "1")).toThrow("stopping");
    expect(await reasonsOf([submit(sessions, "a", "globalThis.go()", OF_IT), parent])).toEqual(["value", "value"]);
    await drained;
  });
});

test("who repeats a request is told its outcome by a server that is about to stop", async () => {
  const { sessions } = start();
  await create(sessions, "a", { setup: "let n = 0" });
  const code = "setTimeout(() => 0, 3_600_000); await new Promise((resolve) => { globalThis.go = resolve }); ++n";
  const request = { requestId: "r", digest: "d" };
  const first = submit(sessions, "a", code, request);
  await settle();
  const drained = sessions.drain();
  const repeat = run(sessions, "a", code, request);
  expect(() => submit(sessions, "a", "++n", { requestId: "another", digest: "d" })).toThrow("stopping");
  await run(sessions, "a", "go()", { parentExecutionId: "r" });
  expect(await repeat).toBe(1);
  await drained;
  expect(await run(sessions, "a", code, request)).toBe(1);
  expect((await first.outcome).result.kind).toBe("value");
});

test("a server that is about to stop waits for nothing of a session that is deleted meanwhile", async () => {
  const { sessions } = start();
  await create(sessions, "a");
  const waiting = submit(sessions, "a", "setTimeout(() => 0, 3_600_000); await new Promise(() => {})");
  const ended = reasonOf(waiting.outcome);
  // Behind its turn: nothing runs from then on.
  await run(sessions, "a", "1");
  const drained = sessions.drain();
  // It waits for the session by now.
  await settle();
  await sessions.delete("a");
  expect(await ended).toBe("SESSION_DELETED_MEANWHILE");
  await drained;
});

test("an execution without a session that is refused takes no room", async () => {
  const { sessions } = start();
  for (let i = 0; i < 3; i++) {
    expect(() => executeAlone(sessions, "1", { limits: { memoryBytes: 2 ** 50 } })).toThrow("memory_bytes");
  }
  expect((await executeAlone(sessions, "1").outcome).result).toMatchObject({ kind: "value" });
});

test("executions without a session are cancelled by their id, and others are not looked at for that", async () => {
  const { sessions } = start({ maximum: 5 });
  const waits = "await new Promise((resolve) => setTimeout(resolve, 8000))";
  const same = [1, 2].map(() => executeAlone(sessions, waits, { requestId: "r" }));
  const others = ["s", ""].map((requestId) => executeAlone(sessions, waits, { requestId }));
  const asked = vi.spyOn(Session.prototype, "cancel");
  sessions.cancelAlone("nobody");
  sessions.cancelAlone("r");
  expect(asked).toHaveBeenCalledTimes(2);
  for (const { executionId } of others) sessions.cancelAlone(executionId);
  const outcomes = await Promise.all([...same, ...others].map(({ outcome }) => outcome));
  expect(outcomes.map(({ result }) => result)).toEqual(
    outcomes.map(() => expect.objectContaining({ kind: "stopped", reason: "CANCELLED" })),
  );
  asked.mockRestore();
});

test("an execution without a session that waits for room can be cancelled by its id", async () => {
  const { sessions } = start();
  await create(sessions, "a");
  const put = store.hold("put");
  const waits = executeAlone(sessions, "1", { requestId: "r" });
  await put.met;
  sessions.cancelAlone("r");
  put.open();
  expect((await waits.outcome).result).toMatchObject({ kind: "stopped", reason: "CANCELLED" });
});

test("of many that come at one moment others have the thread before all are made", async () => {
  const { sessions } = start({ maximum: 1_000 });
  const make = vi.spyOn(engine, "createMemory");
  try {
    const executions = Array.from({ length: 200 }, () => executeAlone(sessions, "1"));
    const made = Array.from({ length: 100 }, (_, i) => create(sessions, `made-${i}`));
    let before = 0;
    const inOneRound: number[] = [];
    while (before < 300) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      inOneRound.push(make.mock.calls.length - before);
      before = make.mock.calls.length;
    }
    expect(Math.max(...inOneRound)).toBeLessThan(100);
    const outcomes = await Promise.all(executions.map(({ outcome }) => outcome));
    expect(outcomes.filter(({ result }) => result.kind !== "value")).toEqual([]);
    expect(await Promise.all(made)).toHaveLength(100);
  } finally {
    make.mockRestore();
  }
});
