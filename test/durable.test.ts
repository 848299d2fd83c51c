/** What a durable session is beside surviving: the same session, wherever it is used from, before and after. */
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  GuestError,
  type HostCallContext,
  Livescope,
  NotFoundError,
  ResourceExhaustedError,
  type Session,
  StatusError,
} from "@livescope/sdk";
import { startServer } from "@livescope/server";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connect } from "./support/durable-load.js";
import { DurableServer } from "./support/durable-server.js";
import { isLong } from "./support/is-long.js";
import { ServerProcess } from "./support/server-process.js";

/** One for all tests, emptied after each: a start takes longer than most of them. A test that ends it leaves the next one another. */
let server: DurableServer;
let client: Livescope;
beforeAll(makeServer);
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  if (!server.isRunning) {
    await server[Symbol.asyncDispose]();
    await makeServer();
  }
  client = await connect(server.address);
});
afterEach(async () => {
  client.close();
  if (server.isRunning) await empty();
});

async function makeServer(): Promise<void> {
  server = await DurableServer.make();
  await server.start();
}

async function empty(): Promise<void> {
  await using emptying = await connect(server.address);
  for await (const { sessionId } of emptying.listSessions()) await emptying.attach(sessionId).delete();
  for await (const snapshot of emptying.listSnapshots()) await emptying.deleteSnapshot(snapshot);
}

async function crash(): Promise<void> {
  await server.process.kill();
  client.close();
  await server.start();
  client = await connect(server.address);
}

/** The same session, as somebody finds it who has its id. */
function found({ id }: Session): Session {
  return client.attach(id, { durability: "durable" });
}

test.runIf(isLong)("what copies one is answered when the server is told to stop meanwhile", async () => {
  // What cannot be compressed takes time to be kept.
  const setup = `
    const large = new Uint32Array(1 << 20);
    for (let i = 0, x = 1; i < large.length; i++) large[i] = x = Math.imul(x, 1664525) + 1013904223;`;
  const limits = { memoryBytes: 64 << 20 };
  const session = await client.createSession({ durability: "durable", limits, setup });
  const copies = session.fork(3);
  await sleep(100);
  process.kill(server.process.pid, "SIGTERM");
  expect(await copies).toHaveLength(3);
  await expect.poll(() => server.hasEnded, { timeout: 10_000 }).toBe(true);
  expect(server.process.log).toBe("");
});

describe("a durable session, after its server was killed", () => {
  test("goes on with all that lived in it", async () => {
    const session = await client.createSession({
      durability: "durable",
      labels: { of: "ann" },
      limits: { memoryBytes: 20 << 20 },
      globals: { given: new Uint8Array([1, 2, 3]) },
      modules: { "lib.js": "export const twice = (n) => n * 2" },
      setup: `
        let total = 0;
        const inc = (by) => (total += by);
        class Counter { #n = 0; up() { return ++this.#n } }
        const counter = new Counter();
        function* walk() { for (let i = 0; ; i++) yield i }
        const steps = walk();
        const weak = new WeakMap([[counter, "known"]]);
        const table = new Map([["a", { b: [1n, new Date(0), /x/g] }]]);
        table.get("a").self = table;
      `,
    });
    await session.execute("inc(5); counter.up(); steps.next(); steps.next()");
    await session.execute("const { twice } = await import('lib.js')");
    const handle = await session.handle("inc");
    const big = await session.execute<number>("var big = Array.from({ length: 2e5 }, (_, i) => ({ i })); big.length");
    await session.execute("var priced = (n) => n * rate", { bindings: { rate: 3 } });
    const before = await session.info();
    await crash();
    const again = found(session);
    expect(await again.info()).toMatchObject({ durability: "durable", labels: { of: "ann" }, limits: before.limits });
    expect(await handle.in(again).call([2])).toBe(7);
    expect(await again.execute("[total, counter.up(), steps.next().value, weak.get(counter)]")).toEqual([
      7,
      2,
      2,
      "known",
    ]);
    expect(await again.execute("[twice(4), given[2], priced(2)]")).toEqual([8, 3, 6]);
    expect(await again.execute("table.get('a').self === table && table.get('a').b[0] === 1n")).toBe(true);
    expect(await again.execute("big.length + big[199999].i")).toBe(big + 199_999);
    expect((await again.info()).createTime).toEqual(before.createTime);
  });

  test("lets executions go on that were waiting, and timers fall due", async () => {
    const session = await client.createSession({ durability: "durable", setup: "const log = []" });
    const requestId = randomUUID();
    const waiting = session.execute(
      "log.push('a'); await new Promise((r) => setTimeout(r, 600)); log.push('b'); log.length",
      {
        requestId,
      },
    );
    const lost = waiting.catch((error: unknown) => error);
    await expect.poll(() => session.execute("log.length")).toBe(1);
    await crash();
    await lost;
    // Nobody uses it: it goes on by itself.
    await sleep(800);
    expect(await found(session).execute("log")).toEqual(["a", "b"]);
    const repeated = found(session).execute(
      "log.push('a'); await new Promise((r) => setTimeout(r, 600)); log.push('b'); log.length",
      { requestId },
    );
    expect(await repeated).toBe(2);
    expect(await found(session).execute("log")).toEqual(["a", "b"]);
  });

  test("calls the functions that clients had passed to it, once they are back", async () => {
    const session = await client.createSession({
      durability: "durable",
      setup: "let kept; function keep(fn) { kept = fn }",
    });
    await session.call("keep", [(n: number) => n + 1]);
    await server.process.kill();
    await server.start();
    await expect.poll(() => session.execute("kept(1)").catch(() => undefined), { timeout: 10_000 }).toBe(2);
  });

  test.runIf(isLong)("has its calls run once by a client that tells it in several messages what it lends", async () => {
    await using lender = await Livescope.connect(server.address, { reconnectTimeout: 20_000 });
    const setup = "let kept; function keep(fn) { kept = fn }";
    const session = await lender.createSession({ durability: "durable", setup });
    const long = Array.from({ length: 900 }, (_, i) => `f${i}`.padStart(1_024, "\u4e00"));
    let answer: (value: string) => void = () => undefined;
    const signals: AbortSignal[] = [];
    const ask = (_: unknown, { signal }: HostCallContext) => {
      signals.push(signal);
      return new Promise((resolve) => (answer = resolve));
    };
    await session.expose(Object.fromEntries(long.map((name) => [name, () => 0])));
    await session.expose({ ask, ping: () => "pong" });
    await session.call("keep", [() => 1]);
    const running = session.execute("await ask(1)");
    await expect.poll(() => signals.length).toBe(1);
    // What it follows from is kept.
    await session.execute("0");
    await crash();
    expect(await found(session).execute("await ping()")).toBe("pong");
    answer("once");
    expect(await running).toBe("once");
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  });

  test.runIf(isLong)("has in the outcome of one that went on what it wrote to its console before", async () => {
    const session = await client.createSession({
      durability: "durable",
      limits: { timeout: 60_000 },
      setup: "let go, isWaiting = false",
    });
    const requestId = randomUUID();
    const code = `console.log('before'); isWaiting = true;
      await new Promise((resolve) => { go = resolve; setTimeout(resolve, 3_600_000) }); console.log('after')`;
    const lost = session.execute(code, { requestId });
    lost.catch(() => undefined);
    await expect.poll(() => session.execute("isWaiting")).toBe(true);
    await crash();
    await found(session).execute("go()");
    const { console, consoleTruncated } = await found(session).execute(code, { requestId }).execution();
    expect([console.map(({ text }) => text), consoleTruncated]).toEqual([["before", "after"], false]);
  });

  test("knows what it answered: also what it threw, and whose request it was", async () => {
    const session = await client.createSession({ durability: "durable", setup: "let n = 0" });
    const [ids, code] = [[randomUUID(), randomUUID()] as const, "n++; throw new TypeError('no ' + n)"];
    await expect(session.execute("n += 10; ({ n, at: new Date(5) })", { requestId: ids[0] })).resolves.toEqual({
      n: 10,
      at: new Date(5),
    });
    await expect(session.execute(code, { requestId: ids[1] })).rejects.toThrow("no 11");
    await crash();
    const again = found(session);
    expect(await again.execute("n += 10; ({ n, at: new Date(5) })", { requestId: ids[0] })).toEqual({
      n: 10,
      at: new Date(5),
    });
    const thrown = await again.execute(code, { requestId: ids[1] }).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(GuestError);
    expect((thrown as GuestError).message).toContain("no 11");
    expect(await again.execute("n")).toBe(11);
    await expect(again.execute("n++", { requestId: ids[0] })).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
  });

  test.runIf(isLong)("is made once for one request, and found by who repeats it", async () => {
    const options = { durability: "durable", setup: "var made = Math.random()", requestId: randomUUID() } as const;
    const session = await client.createSession(options);
    const made = await session.execute("made");
    await crash();
    const again = await client.createSession(options);
    expect([again.id, await again.execute("made")]).toEqual([session.id, made]);
    await expect(client.createSession({ ...options, setup: "" })).rejects.toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
    await again.delete();
    await crash();
    await expect(client.attach(session.id).execute("1")).rejects.toBeInstanceOf(NotFoundError);
  });

  test("is where it was put back to, has what was changed, and leaves its copies to themselves", async () => {
    const session = await client.createSession({ durability: "durable", setup: "let n = 1" });
    const snapshot = await session.snapshot();
    await session.execute("n = 2");
    const fork = await session.fork();
    await fork.execute("n += 10");
    await session.rollback(snapshot);
    await session.update({ labels: { now: "changed" }, idleTtl: 60_000 });
    const restored = await client.createSession({ from: snapshot, durability: "durable" });
    await restored.execute("n = 100");
    await crash();
    expect(await found(session).execute("n")).toBe(1);
    expect(await found(session).info()).toMatchObject({ labels: { now: "changed" }, idleTtl: 60_000 });
    expect(await found(fork).execute("n")).toBe(12);
    expect(await found(restored).execute("n")).toBe(100);
    expect((await found(fork).info()).durability).toBe("durable");
  });

  test.runIf(isLong)("is put back once for one request: a repeat does not undo what came after", async () => {
    const session = await client.createSession({ durability: "durable", setup: "let n = 1" });
    const [snapshot, requestId] = [await session.snapshot(), randomUUID()];
    await session.execute("n = 2");
    await server.process.kill();
    client.close();
    // Its commit is the first that this server makes.
    await server.start({ at: "kept", count: 1 });
    client = await connect(server.address);
    const lost = found(session).rollback(snapshot, { requestId });
    lost.catch(() => undefined);
    await expect.poll(() => server.hasEnded).toBe(true);
    client.close();
    await server.start();
    client = await connect(server.address);
    const again = found(session);
    expect(await again.execute("n")).toBe(1);
    await again.execute("n = 100");
    await again.rollback(snapshot, { requestId });
    expect(await again.execute("n")).toBe(100);
  });

  test.runIf(isLong)(
    "has one snapshot of one request, also if the server ended before it could keep that it was taken",
    async () => {
      const session = await client.createSession({ durability: "durable" });
      const requestId = randomUUID();
      await server.process.kill();
      client.close();
      // The first is of the pause in which it is taken, the second of the answer.
      await server.start({ at: "commit", count: 2 });
      client = await connect(server.address);
      const lost = found(session).snapshot({ requestId });
      lost.catch(() => undefined);
      await expect.poll(() => server.hasEnded).toBe(true);
      client.close();
      await server.start();
      client = await connect(server.address);
      const { snapshotId } = await found(session).snapshot({ requestId });
      const listed: string[] = [];
      for await (const snapshot of client.listSnapshots()) listed.push(snapshot.snapshotId);
      expect(listed).toEqual([snapshotId]);
    },
  );

  test("has request ids of its own, also for the copies that are made of it", async () => {
    const requestId = randomUUID();
    const [one, other] = [1, 2].map((n) => client.createSession({ durability: "durable", setup: `let n = ${n}` }));
    const forks = [await (await one)?.fork({ requestId }), await (await other)?.fork({ requestId })];
    const made = await client.createSession({ durability: "durable", setup: "let n = 3", requestId });
    const ids = [...forks, made].map((session) => session?.id ?? "");
    await crash();
    expect(await Promise.all(ids.map((id) => client.attach(id).execute("n")))).toEqual([1, 2, 3]);
    expect((await found((await one) as Session).fork({ requestId })).id).toBe(ids[0]);
  });

  test("has copies in which a request that was in flight runs again, whatever became of it there", async () => {
    const session = await client.createSession({ durability: "durable", setup: "let n = 0" });
    const requestId = randomUUID();
    const code = "n += 1; await new Promise((wake) => setTimeout(wake, 300)); n";
    const first = session.execute(code, { requestId });
    await expect.poll(() => session.execute("n")).toBe(1);
    const fork = await session.fork();
    // The copy has one of its own of it, which ends meanwhile.
    const again = fork.execute(code, { requestId });
    expect(await Promise.all([first, again])).toEqual([1, 2]);
    expect(await fork.execute("n")).toBe(2);
    expect(await fork.execute(code, { requestId })).toBe(2);
    await crash();
    expect(await found(fork).execute(code, { requestId })).toBe(2);
    expect(await found(session).execute(code, { requestId })).toBe(1);
  });

  test("has nothing of an atomic execution that had not ended", async () => {
    const session = await client.createSession({ durability: "durable", setup: "let n = 1" });
    const reached: number[] = [];
    let crashed: Promise<void> | undefined;
    const sequence = session.atomic(async (tx) => {
      reached.push(await tx.execute<number>("n = 50"));
      crashed = crash();
      await crashed;
    });
    await sequence.catch(() => undefined);
    await crashed;
    expect(reached).toEqual([50]);
    expect(await found(session).execute("n")).toBe(1);
    await found(session).atomic(async (tx) => {
      await tx.execute("n = 60");
      await tx.execute("n++");
    });
    await crash();
    expect(await found(session).execute("n")).toBe(61);
  });

  test("does not run a sequence twice that its server had not ended", async () => {
    await using patient = await Livescope.connect(server.address, { reconnectTimeout: 25_000 });
    const session = await patient.createSession({ durability: "durable", setup: "const log = []" });
    let [runs, begin, goOn] = [0, (): void => undefined, (): void => undefined];
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const again = new Promise<void>((resolve) => (goOn = resolve));
    const sequence = session.atomic(async (tx) => {
      runs++;
      await tx.execute("log.push('begun')");
      begin();
      await again;
      await tx.execute("log.push('ended')");
    });
    const error = sequence.catch((thrown: unknown) => thrown);
    await begun;
    await server.process.kill();
    await server.start();
    expect(await error).toMatchObject({ name: "UnavailableError", message: expect.stringContaining("is undone") });
    goOn();
    expect(await session.execute("log")).toEqual([]);
    expect(runs).toBe(1);
  });

  test("runs nothing by itself that a sequence asks for while its server is away", async () => {
    await using patient = await Livescope.connect(server.address, { reconnectTimeout: 25_000 });
    const session = await patient.createSession({ durability: "durable", setup: "const log = []" });
    let [begin, goOn] = [(): void => undefined, (): void => undefined];
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const again = new Promise<void>((resolve) => (goOn = resolve));
    let late: Promise<unknown> | undefined;
    const sequence = session.atomic(async (tx) => {
      begin();
      await again;
      late = tx.execute("log.push('late')");
      await late;
    });
    const error = sequence.catch((thrown: unknown) => thrown);
    await begun;
    await server.process.kill();
    // It is known that it is gone, and what was in flight waits yet to be sent again.
    await expect(patient.serverInfo()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    goOn();
    await server.start();
    expect(await error).toMatchObject({ name: "UnavailableError", message: expect.stringContaining("is undone") });
    await expect(late).rejects.toThrow("the atomic sequence that this call belongs to is over");
    expect(await session.execute("log")).toEqual([]);
  });

  test("expires as any, also while no server runs, and is deleted by who deletes it", async () => {
    const short = await client.createSession({ durability: "durable", idleTtl: 1_000 });
    const kept = await client.createSession({ durability: "durable", idleTtl: 1_000, idleAction: "hibernate" });
    const deleted = await client.createSession({ durability: "durable" });
    await deleted.delete();
    await server.process.kill();
    await sleep(1_100);
    await crash();
    expect(await found(kept).execute("1")).toBe(1);
    await expect(found(short).execute("1")).rejects.toBeInstanceOf(NotFoundError);
    await expect(found(deleted).execute("1")).rejects.toBeInstanceOf(NotFoundError);
    const listed: string[] = [];
    for await (const { sessionId } of client.listSessions()) listed.push(sessionId);
    expect(listed).toEqual([kept.id]);
  });

  test("is listed as what it is: in memory, or in the store until it is used", async () => {
    const session = await client.createSession({ durability: "durable" });
    const states = async (): Promise<string[]> => {
      const all: string[] = [];
      for await (const { state } of client.listSessions()) all.push(state);
      return all;
    };
    expect(await states()).toEqual(["ACTIVE"]);
    await crash();
    expect(await states()).toEqual(["HIBERNATED"]);
    await found(session).execute("1");
    expect(await states()).toEqual(["ACTIVE"]);
  });
});

test.runIf(isLong)(
  "durable sessions make room in memory for each other, however few may rest that are none",
  async () => {
    await server.process.kill();
    const flags = ["--data", server.directory, "--max-sessions", "2", "--max-hibernated", "0"];
    await using small = await ServerProcess.start(flags);
    await using other = await Livescope.connect(small.address);
    const sessions: Session[] = [];
    for (let i = 0; i < 6; i++)
      sessions.push(await other.createSession({ durability: "durable", setup: `let n = ${i}` }));
    for (const session of sessions) await session.execute("n += 10");
    const found: number[] = [];
    for (const session of sessions) found.push(await session.execute<number>("n"));
    expect(found).toEqual([10, 11, 12, 13, 14, 15]);
    expect((await sessions[0]?.info())?.state).toBe("HIBERNATED");
  },
);

test.runIf(isLong)(
  "a session that takes the id of a durable one which is being deleted is not deleted with it",
  async () => {
    await server.process.kill();
    await using small = await ServerProcess.start(["--data", server.directory, "--max-sessions", "2"]);
    await using other = await Livescope.connect(small.address);
    const durable = await other.createSession({ sessionId: "same", durability: "durable" });
    // It polls for nothing, so that it takes a while until it is ended.
    const stuck = durable.execute("new Array(1e9) + ''", { limits: { cpuTime: 10_000 } });
    stuck.catch(() => undefined);
    await expect.poll(async () => (await durable.info()).state).toBe("ACTIVE");
    await sleep(50);
    const deleted = durable.delete();
    const session = await other.createSession({ sessionId: "same", setup: "let n = 1" });
    // It leaves memory for these.
    for (let i = 0; i < 2; i++) await other.createSession();
    await deleted;
    expect(await session.execute("n")).toBe(1);
  },
);

describe.runIf(isLong)("a durable session in a store that has no room", () => {
  const hasPrlimit = spawnSync("prlimit", ["--version"]).status === 0;

  test.runIf(hasPrlimit)("undoes what it cannot keep, says so, and goes on when there is room", async () => {
    await server.process.kill();
    client.close();
    await server.start(undefined, { fileSize: 4_000 });
    client = await connect(server.address);
    const session = await client.createSession({
      durability: "durable",
      setup: "const log = [], data = []; let n = 0",
    });
    const asked: number[] = [];
    await session.expose({ ask: (n: number) => void asked.push(n) });
    const waiting = session.execute("await new Promise((r) => setTimeout(r, 8_000)); 'waited'", {
      requestId: randomUUID(),
    });
    waiting.catch(() => undefined);
    let [kept, refused] = [0, undefined as unknown];
    for (let i = 0; i < 100 && refused === undefined; i++) {
      const fill = "crypto.getRandomValues(new Uint8Array(40_000))";
      await session.execute(`data.push(${fill}, ${fill}); log.push(${i}); n = log.length`).then(
        () => kept++,
        (error: unknown) => (refused = error),
      );
    }
    expect(refused).toBeInstanceOf(ResourceExhaustedError);
    expect((refused as ResourceExhaustedError).message).toContain("no room");
    expect((refused as ResourceExhaustedError).retryDelay).toBeGreaterThan(0);
    expect(kept).toBeGreaterThan(2);
    // What reads still works, and shows what was kept.
    expect((await session.inspect("n")).preview.preview).toBe(String(kept));
    spawnSync("prlimit", ["--pid", String(server.process.pid), "--fsize=unlimited:"]);
    expect(await session.execute("log.push('again'); n = log.length")).toBe(kept + 1);
    // Who lends functions to it still does.
    await session.execute("await ask(n)");
    expect(asked).toEqual([kept + 1]);
    await crash();
    expect(await found(session).execute("[n, log.length, data.length]")).toEqual([kept + 1, kept + 1, kept * 2]);
  });
});

describe.runIf(isLong)("files that were damaged", () => {
  async function fill(): Promise<Session> {
    const session = await client.createSession({ durability: "durable", setup: "const log = []" });
    for (let i = 0; i < 60; i++) await session.execute(`log.push(${i})`);
    await server.process.kill();
    client.close();
    return session;
  }

  test("are refused, or what is read of them is right: bytes are never taken for a session that are none", async () => {
    const session = await fill();
    const files = ["store.db", "store.db-wal"].map((name) => join(server.directory, name));
    const whole = files.map((file) => readFileSync(file));
    for (let round = 0; round < 8; round++) {
      const which = round % 2;
      const bytes = Buffer.from(whole[which] as Buffer);
      for (let i = 0; i < 3; i++) {
        const at = Math.floor(Math.random() * bytes.length);
        bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(Math.random() * 8));
      }
      for (const [i, file] of files.entries()) writeFileSync(file, i === which ? bytes : (whole[i] as Buffer));
      const read = await readLog(session);
      if (Array.isArray(read)) expect(read).toEqual([...read.keys()]);
      else expect(read).toMatch(/damaged|cannot be used|is not|no such session|database of another|failed/i);
    }
  });

  test("are read as far as they were written: what follows is as if it had never been", async () => {
    const session = await fill();
    const file = join(server.directory, "store.db-wal");
    const whole = readFileSync(file);
    for (const part of [0.9, 0.6]) {
      writeFileSync(file, whole.subarray(0, Math.floor(whole.length * part)));
      const read = await readLog(session);
      if (Array.isArray(read)) expect(read).toEqual([...read.keys()]);
      else expect(read).toMatch(/no such session/);
      writeFileSync(file, whole);
    }
  });

  /** The log of the session, or why it cannot be had. */
  async function readLog({ id }: Session): Promise<unknown[] | string> {
    try {
      await server.start();
      await using reader = await Livescope.connect(server.address);
      return await reader.attach(id).execute<unknown[]>("log");
    } catch (error) {
      if (error instanceof StatusError) return `${error.message} ${server.process.log}`;
      return String(error);
    } finally {
      await server.process.kill();
    }
  }
});

test("a server that keeps nothing on disk makes no durable session, and says why", async () => {
  const ephemeral = await startServer();
  await using other = await Livescope.connect(ephemeral.address);
  const refused = other.createSession({ durability: "durable" });
  await expect(refused).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
  await expect(refused).rejects.toThrow("--data DIR");
  await ephemeral.close();
});
