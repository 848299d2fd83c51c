/** Durable sessions in a store, as one hand after the other has them. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Engine } from "../engine/engine.js";
import { MemoryStore } from "../store/memory.js";
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
    await made.makeDurable((facts, saved) => durable.add(facts, saved));
  }
  const [a, b] = await Promise.all([store.durable("a"), store.durable("b")]);
  if (a === undefined || b === undefined) throw new Error("they are not in the store");
  await store.rebase({ sessionId: "a", owner: a.owner, version: 0, image: b.image });
  const nothing = async (): Promise<void> => undefined;
  await expect(durable.load("a", nothing)).rejects.toMatchObject({ reason: "SESSION_LOST" });
  await durable.load("b", nothing);
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
  await made.makeDurable((facts, saved) => durable.add(facts, saved));
  let session: Session | undefined = made;
  const lengths: number[] = [];
  for (let i = 0; i < 300; i++) {
    await session?.update({ labels: new Map([["round", String(i)]]) });
    // Its commit is told within a pause, in which it does not rest.
    await vi.waitFor(async () => expect(await session?.rest(() => Promise.resolve())).toBeDefined(), { interval: 1 });
    lengths.push((await store.durable("a"))?.deltas.length ?? -1);
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
    durable.add(facts, { image, record: { ...record, replies: [{ callId: "c", execution: 0, result }] } }),
  );
  const stored = await store.durable("a");
  if (stored === undefined) throw new Error("it is not there");
  expect(rowOf(stored.session).record.replies).toHaveLength(1);
  const { record } = await openSnapshot(stored.image, { key, tenant: "" }, engine.digest);
  expect(record.replies).toEqual([]);
});
