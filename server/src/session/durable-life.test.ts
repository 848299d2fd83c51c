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
import type { ForkOptions, Sessions } from "./sessions.js";

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
const settle = () => new Promise((resolve) => setTimeout(resolve, 50));

describe("the store knows of what is in use that it is", () => {
  const TTL = 8_000;
  const storedExpiry = async () => (await store.session("a"))?.expiresAt;

  let ahead = 0;
  beforeEach(() => {
    ahead = 0;
    const now = Date.now.bind(Date);
    const spy = vi.spyOn(Date, "now").mockImplementation(() => now() + ahead);
    return () => spy.mockRestore();
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
    await vi.waitFor(() => expect(commit).toHaveBeenCalled(), { timeout: 10_000 });
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
});
