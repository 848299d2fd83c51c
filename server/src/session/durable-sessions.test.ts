/** Durable sessions in a store, as one hand after the other has them. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { wholeDurable } from "../../../test/support/whole-durable.js";
import { Engine } from "../engine/engine.js";
import { MemoryStore } from "../store/memory.js";
import { SqliteStore } from "../store/sqlite.js";
import type { AddAnswer, Store } from "../store/store.js";
import { rowOf } from "./durable-row.js";
import { DurableSessions } from "./durable-sessions.js";
import { sessionLimits } from "./limits.js";
import { Session } from "./session.js";
import { openSnapshot } from "./snapshot-file.js";
import { Watchers } from "./watchers.js";

const INFO = { labels: new Map(), idleTtl: 60_000, idleAction: "delete", parent: "" } as const;

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
afterAll(() => engine.close());

test("the image of another is not run", async () => {
  const store = new MemoryStore();
  const durable = new DurableSessions(engine, store, async () => Buffer.alloc(32));
  for (const sessionId of ["a", "b"]) {
    const made = new Session(engine, { ...INFO, sessionId, limits: sessionLimits({}) });
    await made.makeDurable((facts, saved) => durable.add(facts, saved, 10));
  }
  const [a, b] = await Promise.all([store.durable("a"), store.durable("b")]);
  if (a === undefined || b === undefined) throw new Error("they are not in the store");
  await store.rebase({ sessionId: "a", owner: a.owner, version: 0, image: b.image });
  const nothing = async (): Promise<void> => undefined;
  await expect(durable.load("a", nothing)).rejects.toMatchObject({ reason: "SESSION_LOST" });
  await durable.load("b", nothing);
});

test("one that another build of the engine kept is named as that, and stays", async () => {
  const store = new MemoryStore();
  const key = async () => Buffer.alloc(32);
  const made = new Session(engine, { ...INFO, sessionId: "a", limits: sessionLimits({}) });
  await made.makeDurable((facts, saved) => new DurableSessions(engine, store, key).add(facts, saved, 10));
  const nothing = async (): Promise<void> => undefined;
  const ofAnotherBuild = new DurableSessions({ digest: "another build" } as Engine, store, key);
  await expect(ofAnotherBuild.load("a", nothing)).rejects.toMatchObject({
    reason: "SNAPSHOT_INCOMPATIBLE",
    message: expect.stringMatching(/^the session .* or delete it$/),
    details: { ids: { session_id: "a" } },
  });
  await new DurableSessions(engine, store, key).load("a", nothing);
});

describe("a sweep", () => {
  function put(store: Store, sessionId: string, expiresAt: number): Promise<AddAnswer> {
    const row = { sessionId, createdAt: 1, expiresAt, labels: new Map(), record: "{}", sizeBytes: 1 };
    return store.addDurable(row, Uint8Array.of(1), 1);
  }

  async function sweep(store: Store, isUsed: (sessionId: string) => boolean): Promise<string[]> {
    const deleted: string[] = [];
    const durable = new DurableSessions(engine, store, async () => Buffer.alloc(32));
    await durable.expire(isUsed, (sessionId) => deleted.push(sessionId));
    return deleted;
  }

  test("deletes all that have expired, however many of them are in use before the others", async () => {
    const directory = await mkdtemp(join(tmpdir(), "livescope-sweep-"));
    const store = new SqliteStore(directory);
    const idsOf = (what: string, count: number) => Array.from({ length: count }, (_, i) => `${what}${i}`);
    const idle = idsOf("idle", 600);
    await Promise.all([
      ...idsOf("used", 600).map((id) => put(store, id, 1_000)),
      ...idle.map((id) => put(store, id, 2_000)),
      put(store, "later", Date.now() + 60_000),
    ]);
    const deleted = await sweep(store, (id) => id.startsWith("used"));
    expect(deleted.sort()).toEqual(idle.sort());
    expect(await store.durableCount()).toBe(601);
    await store.close();
    await rm(directory, { recursive: true });
  });

  test("leaves one that was used after it was found to have expired", async () => {
    const store = new MemoryStore();
    await put(store, "idle", 1_000);
    await put(store, "used", 1_000);
    const expiredDurable = store.expiredDurable.bind(store);
    store.expiredDurable = async (now, after) => {
      const found = await expiredDurable(now, after);
      const used = await store.session("used");
      if (used === undefined) throw new Error("it is not in the store");
      const parts = { owner: 1, version: 1, isBusy: false, delta: new Uint8Array() };
      const session = { ...used, expiresAt: now + 60_000 };
      await store.commit({ ...parts, session, outcomes: [], expired: [], forgotten: [], parts: [], dropped: [] });
      return found;
    };
    expect(await sweep(store, () => false)).toEqual(["idle"]);
    expect(await store.durable("used")).toMatchObject({ version: 1 });
  });
});

test("one that leaves memory after every commit is written as a whole all the same", async () => {
  const store = new MemoryStore();
  // Writing it takes longer than going to rest does.
  const rebase = store.rebase.bind(store);
  store.rebase = async (base) => {
    await sleep(20);
    return rebase(base);
  };
  const durable = new DurableSessions(engine, store, async () => Buffer.alloc(32));
  const made = new Session(engine, { ...INFO, sessionId: "a", limits: sessionLimits({}) });
  await made.makeDurable((facts, saved) => durable.add(facts, saved, 10));
  let session: Session | undefined = made;
  const lengths: number[] = [];
  for (let i = 0; i < 300; i++) {
    await session?.update({ labels: new Map([["round", String(i)]]) });
    // Its commit is told within a pause, in which it does not rest.
    await vi.waitFor(async () => expect(await session?.rest(() => Promise.resolve())).toBeDefined(), {
      interval: 1,
      timeout: 20_000,
    });
    lengths.push((await wholeDurable(store, "a"))?.deltas.length ?? -1);
    session = await durable.load("a", ({ info: now, saved, writer }) =>
      Session.wake(engine, now, saved, new Watchers(), writer),
    );
  }
  expect(lengths).not.toContain(-1);
  expect(Math.max(...lengths)).toBeGreaterThan(200);
  expect(lengths.at(-1)).toBeLessThan(200);
});

test("what a session has in flight stands beside its image, which can be read however much that is", async () => {
  const store = new MemoryStore();
  const key = Buffer.alloc(32);
  const durable = new DurableSessions(engine, store, async () => key);
  const info = { sessionId: "a", labels: new Map(), idleTtl: 60_000, idleAction: "delete", parent: "" } as const;
  const made = new Session(engine, { ...info, limits: sessionLimits({}) });
  const result = { kind: "exception", exception: { name: "Error", message: "not taken" } } as const;
  await made.makeDurable((facts, { image, record }) =>
    durable.add(facts, { image, record: { ...record, replies: [{ callId: "c", execution: 0, result }] } }, 10),
  );
  const stored = await store.durable("a");
  if (stored === undefined) throw new Error("it is not there");
  expect(rowOf(stored.session).record.replies).toHaveLength(1);
  const { record } = await openSnapshot(stored.image, { key, tenant: "" }, engine.digest);
  expect(record.replies).toEqual([]);
});
