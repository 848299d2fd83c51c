import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Livescope, type Session } from "@livescope/sdk";
import { type RunningServer, type StartOptions, startServer } from "@livescope/server";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { isLong } from "./support/is-long.js";
import { withServer } from "./support/server.js";

const folder = mkdtempSync(join(tmpdir(), "livescope-rest-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const running: { client: Livescope; server: RunningServer }[] = [];

async function start(options: StartOptions = {}): Promise<Livescope> {
  const server = await startServer(options);
  const client = await Livescope.connect(server.address);
  running.push({ client, server });
  return client;
}

afterEach(async () => {
  for (const { client, server } of running.splice(0)) {
    client.close();
    await server.close();
  }
});

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

const isAsleep = (session: Session) =>
  expect.poll(async () => (await session.info()).state, { timeout: 20_000 }).toBe("HIBERNATED");

/** Everything that a session can hold while nothing is in flight in it. */
const LIVE = `
  let total = 0;
  function inc(n) { return total += n }
  class Counter { #n = 0; up() { return ++this.#n } }
  const counter = new Counter();
  counter.up();
  const numbers = (function* () { let n = 0; for (;;) yield n++ })();
  numbers.next();
  const weak = new WeakRef(counter);
  const bytes = new Uint8Array([1, 2, 3]);
  const shared = new Map([["counter", counter]]);
`;

describe("a session that nobody uses", () => {
  const served = withServer({ hibernateAfter: 0.2 });
  afterEach(async () => {
    for await (const { sessionId } of served.client.listSessions()) await served.client.attach(sessionId).delete();
  });

  test("leaves memory, and its next use finds all that was in it", async () => {
    const { client } = served;
    const session = await client.createSession({ labels: { of: "me" } });
    await session.execute(LIVE);
    const inc = await session.handle("inc");
    await inc.call([5]);
    const before = await session.info();
    await isAsleep(session);
    const asleep = await session.info();
    expect({ ...asleep, state: before.state, expireTime: before.expireTime }).toEqual(before);

    expect(await inc.call([2])).toBe(7);
    expect((await session.info()).state).toBe("ACTIVE");
    const code =
      "[counter.up(), numbers.next().value, weak.deref() === counter, shared.get('counter') === counter, bytes[2]]";
    expect(await session.execute(code)).toEqual([2, 1, true, true, 3]);
  });

  test("is woken once by all who want it at once, in the order in which they came", async () => {
    const { client } = served;
    const session = await client.createSession({ setup: "const seen = []" });
    await isAsleep(session);
    const order = Array.from({ length: 20 }, (_, i) => i);
    await Promise.all(order.map((i) => session.execute(`seen.push(${i})`)));
    expect(await session.execute("seen")).toEqual(order);
  });

  test("is given the timers that fell due, and late enough that somebody uses it", async () => {
    const { client } = served;
    const session = await client.createSession();
    await session.execute(
      "let fired = 0; setTimeout(() => { fired++ }, 1200); setTimeout(() => { fired += 10 }, 3_600_000)",
    );
    await isAsleep(session);
    await sleep(1_300);
    expect(await session.execute("await new Promise((done) => setTimeout(done, 1)); fired")).toBe(1);
  });

  test("knows the requests that it has answered", async () => {
    const { client } = served;
    const session = await client.createSession({ setup: "let total = 0" });
    const requestId = randomUUID();
    expect(await session.execute("total += 5", { requestId })).toBe(5);
    await isAsleep(session);
    expect(await session.execute("total += 5", { requestId })).toBe(5);
    expect(await session.execute("total")).toBe(5);
    expect(await failure(session.execute("total += 6", { requestId }))).toMatchObject({ reason: "REQUEST_ID_REUSED" });
  });

  test("is listed, forked, rolled back, looked at and deleted as any other", async () => {
    const { client } = served;
    const made = [];
    for (let i = 0; i < 5; i++)
      made.push(await client.createSession({ labels: { parity: String(i % 2) }, setup: `var n = ${i}` }));
    const [first, second, third] = made as [Session, Session, Session];
    for (const session of made) await isAsleep(session);
    await third.execute("n");
    const listed = [];
    for await (const { sessionId, state } of client.listSessions({ pageSize: 2 })) listed.push([sessionId, state]);
    expect(listed).toEqual(made.map(({ id }) => [id, id === third.id ? "ACTIVE" : "HIBERNATED"]));
    const odd = [];
    for await (const { sessionId } of client.listSessions({ labels: { parity: "1" } })) odd.push(sessionId);
    expect(odd).toEqual([made[1]?.id, made[3]?.id]);

    await first.delete();
    expect(await failure(client.attach(first.id).execute("1"))).toMatchObject({
      code: "NOT_FOUND",
      reason: "SESSION_DELETED",
    });
    expect((await second.inspect("n")).preview.preview).toBe("1");
    await expect(client.createSession({ sessionId: made[4]?.id })).rejects.toMatchObject({ code: "ALREADY_EXISTS" });
  });

  test("is told to who watches it", async () => {
    const { client } = served;
    const session = await client.createSession();
    const states: string[] = [];
    const uses: Promise<unknown>[] = [];
    for await (const happened of session.watch()) {
      if (happened.kind !== "session") continue;
      states.push(happened.session.state);
      if (happened.session.state === "HIBERNATED") uses.push(session.execute("1"));
      if (states.length === 3) break;
    }
    expect(await Promise.all(uses)).toEqual([1]);
    expect(states).toEqual(["ACTIVE", "HIBERNATED", "ACTIVE"]);
  });

  test("stays in memory while a client lends it functions, and while something waits in it", async () => {
    const { client } = served;
    const lent = await client.createSession();
    await lent.expose({ ping: () => 1 });
    const waits = await client.createSession();
    const done = waits.execute("await new Promise((done) => setTimeout(done, 3500)); 7");
    await sleep(3_000);
    expect([(await lent.info()).state, (await waits.info()).state]).toEqual(["ACTIVE", "ACTIVE"]);
    expect(await done).toBe(7);
  });

  test("leaves memory when guest code holds no function any more that was passed to it", async () => {
    const session = await served.client.createSession({ setup: "let kept; function keep(fn) { kept = fn }" });
    await session.call("keep", [(n: number) => n + 1]);
    await sleep(3_000);
    expect((await session.info()).state).toBe("ACTIVE");
    expect(await session.execute("kept(1)")).toBe(2);
    await session.execute("kept = undefined");
    await isAsleep(session);
    const letGo = "const held = { twice }; held.self = held; await twice(4)";
    expect(await session.execute(`{ ${letGo} }`, { bindings: { twice: (n: number) => 2 * n } })).toBe(8);
    await isAsleep(session);
  });

  test("is deleted when its idle_ttl is over, or kept where it says so", async () => {
    const client = await start({ hibernateAfter: 100 });
    const kept = await client.createSession({ idleTtl: 1_000, idleAction: "hibernate", setup: "const x = 1" });
    expect((await kept.info()).expireTime).toBeUndefined();
    const gone = await client.createSession({ idleTtl: 1_000 });
    await isAsleep(kept);
    expect(await failure(gone.execute("1"))).toMatchObject({ reason: "SESSION_EXPIRED" });
    expect(await kept.execute("x")).toBe(1);
  });

  test("is deleted in the store, too, when its idle_ttl is over", async () => {
    const { client } = served;
    const session = await client.createSession({ idleTtl: 4_000 });
    await isAsleep(session);
    await sleep(4_000);
    expect(await failure(session.execute("1"))).toMatchObject({ code: "NOT_FOUND" });
  });
});

describe("where memory is full", () => {
  test("sessions that were not used for longest make room, and all of them go on", async () => {
    const client = await start({ maximumSessions: 4 });
    const sessions: Session[] = [];
    for (let i = 0; i < 12; i++) sessions.push(await client.createSession({ setup: `let n = ${i}` }));
    for (let round = 1; round <= 2; round++) {
      const all = await Promise.all(sessions.map((session) => session.execute("n += 100")));
      expect(all).toEqual(sessions.map((_, i) => i + round * 100));
    }
  });

  test.runIf(isLong)("and many are made at once, every one of them is there", async () => {
    const client = await start({ data: join(folder, "many"), maximumSessions: 30, hibernateAfter: 0.2 });
    const made: Session[] = [];
    const each = isLong ? 20 : 4;
    const lane = async (): Promise<void> => {
      for (let i = 0; i < each; i++) {
        const session = await client.createSession({ setup: "let n = 1" });
        made.push(session);
        await session.execute("n++");
      }
    };
    await Promise.all(Array.from({ length: 16 }, lane));
    const listed = [];
    for await (const { sessionId } of client.listSessions({ pageSize: 17 })) listed.push(sessionId);
    expect(new Set(listed)).toEqual(new Set(made.map(({ id }) => id)));
    for (const session of made) expect(await session.execute("n")).toBe(2);
  });

  test("and nobody can leave it, the next is refused", async () => {
    const client = await start({ maximumSessions: 2 });
    const busy = await Promise.all([client.createSession(), client.createSession()]);
    const waiting = busy.map((session) => session.execute("await new Promise((done) => setTimeout(done, 2000))"));
    expect(await failure(client.createSession())).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "QUOTA_EXCEEDED",
    });
    await Promise.all(waiting);
    await client.createSession();
  });

  test.runIf(isLong)("of heaps that are large, those that are woken at once wait for each other", async () => {
    const client = await start({ maximumMemory: 96 << 20, hibernateAfter: 0.2, workers: 1 });
    const sessions: Session[] = [];
    for (let round = 0; round < 2; round++) {
      const some = await Promise.all([1, 2, 3, 4].map(() => client.createSession()));
      for (const session of some) {
        await session.execute("globalThis.held = new Uint8Array(16 << 20).fill(1); held.length");
      }
      for (const session of some) await isAsleep(session);
      sessions.push(...some);
    }
    const woken = await Promise.all(sessions.map((session) => session.execute("held[held.length - 1]")));
    expect(woken).toEqual(sessions.map(() => 1));
    const isAwake = await Promise.all(sessions.map(async (session) => (await session.info()).state === "ACTIVE"));
    expect(isAwake.filter(Boolean).length).toBeLessThan(6);
  });

  test("nobody leaves it for copies that would take more than there is", async () => {
    const client = await start({ maximumMemory: 64 << 20 });
    const session = await client.createSession({ setup: "var held = new Uint8Array(12 << 20)" });
    const others = await Promise.all([1, 2, 3].map(() => client.createSession()));
    expect(await failure(session.fork(10))).toMatchObject({ reason: "QUOTA_EXCEEDED" });
    for (const other of others) expect((await other.info()).state).toBe("ACTIVE");
  });

  test("and the store as well, the next is refused", async () => {
    const client = await start({ maximumSessions: 2, maximumHibernated: 1 });
    for (let i = 0; i < 3; i++) await client.createSession();
    expect(await failure(client.createSession())).toMatchObject({ reason: "QUOTA_EXCEEDED" });
  });
});

describe("in the store", () => {
  test("a session is of its process: the next one knows that it is lost, and takes its id for another", async () => {
    const data = join(folder, "restart");
    const first = await start({ data, hibernateAfter: 0.2 });
    const session = await first.createSession({ sessionId: "mine", setup: "const x = 1" });
    await isAsleep(session);
    first.close();
    await running.pop()?.server.close();
    const second = await start({ data });
    const left = second.attach("mine");
    for (const use of [() => left.execute("x"), () => left.info(), () => left.inspect("x")]) {
      expect(await failure(use())).toMatchObject({ code: "DATA_LOSS", reason: "SESSION_LOST" });
    }
    const another = await second.createSession({ sessionId: "mine" });
    expect(await another.execute("typeof x")).toBe("undefined");
  });
});

test("sessions that rest and wake all the time lose nothing and do nothing twice", async () => {
  const client = await start({ maximumSessions: 3, hibernateAfter: 0.2 });
  const sessions: Session[] = [];
  for (let i = 0; i < 9; i++) sessions.push(await client.createSession({ setup: "let total = 0; const log = []" }));
  const expected = sessions.map(() => 0);
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed % below;
  };
  const worker = async (): Promise<void> => {
    for (let i = 0; i < 40; i++) {
      const index = random(sessions.length);
      const session = sessions[index] as Session;
      const by = random(1_000);
      const kind = random(4);
      if (kind === 0) await session.info();
      else if (kind === 1) await session.inspect("total");
      else {
        await session.execute(kind === 2 ? `total += ${by}` : `await null; total += ${by}`);
        expected[index] = (expected[index] ?? 0) + by;
      }
    }
  };
  await Promise.all(Array.from({ length: 6 }, worker));
  expect(await Promise.all(sessions.map((session) => session.execute("total")))).toEqual(expected);
});
