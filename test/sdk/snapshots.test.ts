import { PassThrough } from "node:stream";
import {
  GuestError,
  InvalidRequestError,
  InvalidSnapshotError,
  NotFoundError,
  type RequestOptions,
  type Session,
  type Snapshot,
  UnavailableError,
} from "@livescope/sdk";
import { startServer } from "@livescope/server";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { keyFile } from "../support/key-file.js";
import { connect, withServer } from "../support/server.js";
import { Wire } from "../support/wire-to-server.js";

const KEY_FILE = keyFile(Buffer.alloc(32, "key"));
const served = withServer({ keyFile: KEY_FILE });
let session: Session;

beforeEach(async () => {
  session = await served.client.createSession();
  await session.execute(`
    let total = 5;
    function inc(n) { return total += n }
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));`);
});
afterEach(() => session.delete());

async function exported(snapshot: Snapshot | string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of served.client.exportSnapshot(snapshot)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe("a snapshot", () => {
  test("outlives its session, and makes sessions with the same handles", async () => {
    const inc = await session.handle("inc");
    const snapshot = await session.snapshot();
    await inc.call([100]);
    await session.delete();
    await using one = await served.client.createSession({ from: snapshot });
    await using other = await served.client.createSession({ from: snapshot.snapshotId, sessionId: "chosen" });
    expect(await inc.in(one).call([2])).toBe(7);
    expect(await inc.in(other).call([3])).toBe(8);
    expect(await one.info()).toMatchObject({ parent: snapshot.snapshotId, labels: {} });
    expect(other.id).toBe("chosen");
  });

  test("tells what it is, and is listed until it is deleted", async () => {
    const before = Date.now();
    const snapshot = await session.snapshot({ labels: { of: "listed" } });
    expect(snapshot).toMatchObject({ sessionId: session.id, labels: { of: "listed" }, expireTime: undefined });
    expect(snapshot.createTime?.getTime()).toBeGreaterThanOrEqual(before);
    expect(snapshot.engineDigest).toBe((await served.client.serverInfo()).engineDigest);
    expect(await served.client.snapshot(snapshot.snapshotId)).toEqual(snapshot);
    const second = await session.snapshot({ labels: { of: "listed" } });
    await session.snapshot({ labels: { of: "another" } });
    const listed: Snapshot[] = [];
    for await (const each of served.client.listSnapshots({ labels: { of: "listed" }, pageSize: 1 })) listed.push(each);
    expect(listed).toEqual([snapshot, second]);
    await served.client.deleteSnapshot(snapshot);
    await served.client.deleteSnapshot(snapshot);
    await expect(served.client.snapshot(snapshot.snapshotId)).rejects.toMatchObject({ reason: "SNAPSHOT_NOT_FOUND" });
    await expect(served.client.createSession({ from: snapshot })).rejects.toThrow(NotFoundError);
    await expect(session.rollback(snapshot)).rejects.toThrow(NotFoundError);
    await expect(exported(snapshot)).rejects.toThrow(NotFoundError);
  });

  test("is gone when its time is over", async () => {
    const snapshot = await session.snapshot({ ttl: 30, labels: { of: "brief" } });
    expect(snapshot.expireTime?.getTime()).toBeGreaterThan(Number(snapshot.createTime));
    const isThere = () =>
      served.client.snapshot(snapshot.snapshotId).then(
        () => true,
        () => false,
      );
    while (await isThere());
    const listed = served.client.listSnapshots({ labels: { of: "brief" } });
    expect(await listed.next()).toMatchObject({ done: true });
    await expect(served.client.createSession({ from: snapshot })).rejects.toThrow(NotFoundError);
  });

  test("of a fresh session is small", async () => {
    await using fresh = await served.client.createSession();
    expect((await fresh.snapshot()).sizeBytes).toBeLessThan(16 * 1024);
  });

  test("has nothing of what its session has let go of", async () => {
    const garbage = "{ const garbage = { pad: new Uint8Array(2e6).fill(7) }; garbage.self = garbage } 0";
    expect(await session.execute(garbage)).toBe(0);
    const copy = await served.client.createSession({ from: await session.snapshot() });
    expect((await copy.info()).memoryBytes).toBeLessThan(1e6);
    await copy.delete();
  });

  test("is taken once for a request id", async () => {
    const snapshot = await session.snapshot({ requestId: "once" });
    await session.execute("inc(1)");
    expect(await session.snapshot({ requestId: "once" })).toEqual(snapshot);
    await expect(session.snapshot({ requestId: "once", labels: { a: "b" } })).rejects.toMatchObject({
      reason: "REQUEST_ID_REUSED",
    });
  });

  test("has the limits of its session, where others are not asked for", async () => {
    await session.update({ limits: { memoryBytes: 100 << 20, handles: 7 } });
    const snapshot = await session.snapshot();
    await using same = await served.client.createSession({ from: snapshot });
    expect((await same.info()).limits).toEqual((await session.info()).limits);
    await using other = await served.client.createSession({ from: snapshot, limits: { handles: 9 } });
    expect((await other.info()).limits).toMatchObject({ memoryBytes: 100 << 20, handles: 9 });
  });

  test("of a large session is not restored where there is no room for it", async () => {
    await session.execute("var big = new Uint8Array(8 << 20).fill(1)");
    const snapshot = await session.snapshot();
    const small = served.client.createSession({ from: snapshot, limits: { memoryBytes: 1 << 20 } });
    await expect(small).rejects.toThrow(InvalidRequestError);
    await using other = await served.client.createSession({ from: snapshot });
    expect(await other.execute("big.length + big[big.length - 1]")).toBe((8 << 20) + 1);
  });

  test("has its own setup run in what was restored", async () => {
    const snapshot = await session.snapshot();
    await using other = await served.client.createSession({ from: snapshot, globals: { by: 3 }, setup: "inc(by)" });
    expect(await other.execute("total")).toBe(8);
    await expect(served.client.createSession({ from: snapshot, setup: "throw new Error('no')" })).rejects.toThrow("no");
  });

  test("keeps of each timer the time that it had left", async () => {
    await session.execute("var fired = 0; setTimeout(() => { fired = Date.now() }, 300); 0");
    const snapshot = await session.snapshot();
    await new Promise((resolve) => setTimeout(resolve, 400));
    await using other = await served.client.createSession({ from: snapshot });
    expect(await other.execute("await sleep(0); fired")).toBe(0);
    expect(await other.execute("await sleep(350); fired > 0")).toBe(true);
    // In the origin it fell due meanwhile.
    expect(await session.execute("await sleep(0); fired > 0")).toBe(true);
  });
});

describe("rolling back", () => {
  test("puts a session back in place, with the handles that it had", async () => {
    const inc = await session.handle("inc");
    const snapshot = await session.snapshot();
    await session.execute("total = 1000; var since = 1; inc = undefined");
    const since = await session.handle("({})");
    await session.rollback(snapshot);
    expect(await inc.call([1])).toBe(6);
    expect(await session.execute("typeof since")).toBe("undefined");
    await expect(since.get("a")).rejects.toThrow(NotFoundError);
    expect((await session.info()).handleCount).toBe(1);
    await session.rollback(snapshot.snapshotId);
    expect(await session.execute("total")).toBe(5);
  });

  test("ends what is in flight now, and what was in flight then", async () => {
    await session.expose({ wait: () => new Promise(() => undefined) });
    const then = session.execute("await wait(); inc(10)").catch((error) => error);
    await session.execute("0");
    const snapshot = await session.snapshot();
    const now = session.execute("await wait(); inc(100)").catch((error) => error);
    const running = session.execute("total = 7; for (;;);").catch((error) => error);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await session.rollback(snapshot);
    for (const ended of [then, now, running]) expect(await ended).toMatchObject({ reason: "ROLLED_BACK" });
    expect(await session.execute("total")).toBe(5);
    // Nothing is left that could go on.
    await expect(session.execute("new Promise(() => undefined)")).rejects.toMatchObject({ phase: "DEADLOCK" });
  });

  test("undoes an atomic execution that holds the session", async () => {
    const snapshot = await session.snapshot();
    const atomic = session.execute("total = 7; await sleep(5_000)", { atomic: true }).catch((error) => error);
    const behind = session.execute("total").catch((error) => error);
    await new Promise((resolve) => setTimeout(resolve, 30));
    await session.rollback(snapshot);
    for (const ended of [atomic, behind]) expect(await ended).toMatchObject({ reason: "ROLLED_BACK" });
    expect(await session.execute("total")).toBe(5);
  });

  test("does not forget request ids, and is itself done once for one", async () => {
    const snapshot = await session.snapshot();
    expect(await session.execute("inc(1)", { requestId: "before" })).toBe(6);
    await session.rollback(snapshot, { requestId: "back" });
    expect(await session.execute("inc(1)", { requestId: "before" })).toBe(6);
    expect(await session.execute("inc(1)")).toBe(6);
    await session.rollback(snapshot, { requestId: "back" });
    expect(await session.execute("total")).toBe(6);
  });

  test("keeps labels, limits, and the functions that clients expose", async () => {
    const snapshot = await session.snapshot();
    await session.update({ labels: { a: "b" }, limits: { handles: 7 } });
    await session.expose({ add: (a: number, b: number) => a + b });
    await session.rollback(snapshot);
    expect(await session.execute("await add(2, 3)")).toBe(5);
    expect(await session.info()).toMatchObject({ labels: { a: "b" }, limits: { handles: 7 } });
  });

  test("draws other randomness than the session had drawn, and other ids", async () => {
    const draw = "[Math.random(), crypto.randomUUID()]";
    await session.execute(draw);
    const snapshot = await session.snapshot();
    const drawn = new Set(await session.execute<unknown[]>(draw));
    const { id } = await session.handle("({})");
    await session.rollback(snapshot);
    for (const each of await session.execute<unknown[]>(draw)) expect(drawn.has(each)).toBe(false);
    expect((await session.handle("({})")).id).not.toBe(id);
  });

  test("to the snapshot of another session is refused, and nothing ends", async () => {
    await using other = await served.client.createSession();
    const snapshot = await other.snapshot();
    const running = session.execute("await sleep(50); inc(1)");
    await expect(session.rollback(snapshot)).rejects.toThrow(InvalidRequestError);
    expect(await running).toBe(6);
  });

  test("brings back a session that has grown, and one that is to be smaller now", async () => {
    const small = await session.snapshot();
    await session.execute("var big = new Uint8Array(8 << 20).fill(1)");
    const large = await session.snapshot();
    await session.rollback(small);
    expect((await session.info()).memoryBytes).toBeLessThan(1 << 20);
    expect(await session.execute("inc(1)")).toBe(6);
    await session.rollback(large);
    expect(await session.execute("big.length")).toBe(8 << 20);
    await expect(session.update({ limits: { memoryBytes: 1 << 20 } })).rejects.toThrow(InvalidRequestError);
    await session.rollback(small);
    expect((await session.update({ limits: { memoryBytes: 1 << 20 } })).limits.memoryBytes).toBe(1 << 20);
    await expect(session.rollback(large)).rejects.toThrow(InvalidRequestError);
    expect(await session.execute("inc(1)")).toBe(6);
    await expect(session.execute("new Uint8Array(8 << 20).fill(1).length")).rejects.toMatchObject({ reason: "MEMORY" });
  });
});

test("a session that once held much can grow again where it was made of a snapshot", async () => {
  await session.execute("var held = new Uint8Array(8 << 20).fill(7); held = null");
  const snapshot = await session.snapshot();
  await using copy = await served.client.createSession({ from: snapshot });
  expect(await copy.execute("held = new Uint8Array(6 << 20).fill(7); held.length")).toBe(6 << 20);
  await session.rollback(snapshot);
  expect(await session.execute("held = new Uint8Array(6 << 20).fill(7); held.length")).toBe(6 << 20);
});

describe("an exported snapshot", () => {
  test("is taken by another server with the same key, and by itself", async () => {
    await session.execute("var big = Array.from({ length: 200_000 }, (_, i) => Math.random())");
    const snapshot = await session.snapshot({ labels: { of: "exported" } });
    const pieces: number[] = [];
    for await (const { length } of served.client.exportSnapshot(snapshot)) pieces.push(length);
    expect(pieces.length).toBeGreaterThan(1);
    expect(Math.max(...pieces)).toBe(1 << 20);

    const other = await startServer({ keyFile: KEY_FILE, workers: 1 });
    await using client = await connect(other.address);
    expect(await client.importSnapshot(served.client.exportSnapshot(snapshot))).toEqual(snapshot);
    // Where it is divided does not matter; and a repeat changes nothing.
    const bytes = await exported(snapshot);
    expect(bytes.length).toBe(snapshot.sizeBytes);
    const odd = Array.from({ length: Math.ceil(bytes.length / 77_777) }, (_, i) =>
      bytes.subarray(i * 77_777, (i + 1) * 77_777),
    );
    expect(await client.importSnapshot(odd)).toEqual(snapshot);
    await using copy = await client.createSession({ from: snapshot });
    const sum = "big.reduce((sum, n) => sum + n, 0)";
    expect(await copy.execute(sum)).toBe(await session.execute(sum));
    expect(await served.client.importSnapshot(bytes)).toEqual(snapshot);
    await other.close();
  });

  test("is refused by a server with another key", async () => {
    const bytes = await exported(await session.snapshot());
    const other = await startServer({ workers: 1 });
    await using client = await connect(other.address);
    await expect(client.importSnapshot(bytes)).rejects.toThrow(InvalidSnapshotError);
    expect(await client.listSnapshots().next()).toMatchObject({ done: true });
    await other.close();
  });

  test("is refused when one bit of it is another, wherever it stands", async () => {
    const bytes = await exported(await session.snapshot());
    const places = [
      0,
      7,
      8,
      9,
      12,
      15,
      16,
      40,
      bytes.length >> 1,
      bytes.length - 33,
      bytes.length - 32,
      bytes.length - 1,
    ];
    for (const place of places) {
      const changed = Buffer.from(bytes);
      changed[place] = (changed[place] ?? 0) ^ 4;
      await expect(served.client.importSnapshot(changed), `byte ${place}`).rejects.toThrow(InvalidSnapshotError);
    }
  });

  test("is refused when it is cut, empty, or something else", async () => {
    const bytes = await exported(await session.snapshot());
    for (const length of [0, 1, 16, 47, 48, bytes.length >> 1, bytes.length - 1]) {
      const cut = served.client.importSnapshot(bytes.subarray(0, length));
      await expect(cut, `${length} bytes`).rejects.toThrow(InvalidSnapshotError);
    }
    await expect(served.client.importSnapshot([bytes, bytes])).rejects.toThrow(InvalidSnapshotError);
    async function theCaller(): Promise<unknown> {
      return await served.client.importSnapshot(Buffer.from("not a snapshot"));
    }
    const error: unknown = await theCaller().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidSnapshotError);
    expect((error as Error).stack).toContain("theCaller");
  });

  test("is not stored when the caller gives up, or fails, on its way", async () => {
    const bytes = await exported(await session.snapshot());
    const other = await startServer({ keyFile: KEY_FILE, workers: 1 });
    await using client = await connect(other.address);
    const abort = new AbortController();
    const slowly = async function* () {
      yield bytes.subarray(0, 1000);
      abort.abort(new Error("enough"));
      await new Promise((resolve) => setTimeout(resolve, 20));
      yield bytes.subarray(1000);
    };
    await expect(client.importSnapshot(slowly(), { signal: abort.signal })).rejects.toThrow("enough");
    const failing = async function* () {
      yield bytes.subarray(0, 1000);
      throw new Error("the disk is gone");
    };
    await expect(client.importSnapshot(failing())).rejects.toThrow("the disk is gone");
    expect(await client.listSnapshots().next()).toMatchObject({ done: true });
    expect(await client.importSnapshot(bytes)).toMatchObject({ sizeBytes: bytes.length });
    await other.close();
  });

  test("is given up also while nothing comes of it", async () => {
    await using client = await connect(served.server.address);
    const attempt = async (options: RequestOptions, act?: () => void): Promise<unknown> => {
      const source = new PassThrough();
      const importing = client.importSnapshot(source, options).catch((error: unknown) => error);
      await client.serverInfo();
      act?.();
      const error = await importing;
      // When something comes after all, it is closed.
      source.write("too late");
      await new Promise((closed) => source.once("close", closed));
      return error;
    };
    const abort = new AbortController();
    const reason = new Error("enough");
    expect(await attempt({ signal: abort.signal }, () => abort.abort(reason))).toBe(reason);
    expect(await attempt({ timeout: 50 })).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(await attempt({}, () => client.close())).toMatchObject({ name: "DisposedError" });
  });

  test("fails with what it is read from, also where there is no connection", async () => {
    const wire = new Wire(served.server.address);
    await using client = await connect(await wire.open());
    wire.close();
    await expect(client.serverInfo()).rejects.toThrow(UnavailableError);
    const source = new PassThrough();
    const importing = client.importSnapshot(source);
    importing.catch(() => undefined);
    source.destroy(new Error("the disk is gone"));
    // An error that nobody listens to would end the process.
    await new Promise((closed) => source.once("close", closed));
    await wire.open();
    await expect(importing).rejects.toThrow("the disk is gone");
    wire.close();
  });
});

describe("an atomic sequence", () => {
  test("stands as a whole", async () => {
    const inc = await session.handle("inc");
    const result = await session.atomic(async (tx) => {
      await tx.call("inc", [1]);
      await tx.execute("total *= 2");
      // Through any object of the session.
      return inc.call<number>([3]);
    });
    expect(result).toBe(15);
    expect(await session.execute("total")).toBe(15);
  });

  test("is undone as a whole when the callback throws, and gives what that threw", async () => {
    const thrown = new Error("mine");
    const failed = session.atomic(async (tx) => {
      await tx.call("inc", [1]);
      await tx.execute("var since = 1; inc(1)");
      throw thrown;
    });
    await expect(failed).rejects.toBe(thrown);
    expect(await session.execute("[total, typeof since]")).toEqual([5, "undefined"]);
  });

  test("is undone when guest code throws that nobody catches, and goes on when somebody does", async () => {
    const failed = session.atomic(async (tx) => {
      await tx.call("inc", [1]);
      await tx.execute("throw new TypeError('guest')");
    });
    await expect(failed).rejects.toThrow(GuestError);
    await expect(failed).rejects.toMatchObject({ guestName: "TypeError" });
    expect(await session.execute("total")).toBe(5);
    await session.atomic(async (tx) => {
      await tx.call("inc", [1]);
      await tx.execute("throw 1").catch(() => undefined);
    });
    expect(await session.execute("total")).toBe(6);
  });

  test("holds the session: others wait, also those of its own client", async () => {
    let hold: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      hold = resolve;
    });
    const sequence = session.atomic(async (tx) => {
      await tx.execute("total = 100");
      await held;
      await tx.execute("total = 7");
    });
    const outside = served.client.attach(session.id).execute("total");
    await new Promise((resolve) => setTimeout(resolve, 30));
    hold();
    expect(await outside).toBe(7);
    await sequence;
  });

  test("is undone when its time is over", async () => {
    const sequence = session.atomic(
      async (tx) => {
        await tx.execute("total = 100");
        await new Promise((resolve) => setTimeout(resolve, 5_000).unref());
      },
      { timeout: 100 },
    );
    await expect(sequence).rejects.toMatchObject({ reason: "TIMEOUT", undone: true });
    expect(await session.execute("total")).toBe(5);
  });

  test("gives values that need not be copied, and undefined", async () => {
    const value = { nobody: () => "copies this" };
    expect(await session.atomic(() => value)).toBe(value);
    expect(await session.atomic(() => undefined)).toBe(undefined);
  });
});

describe("updating a session", () => {
  test("changes what is named, for executions that begin then, and tells who watches", async () => {
    const events = session.watch();
    await events.next();
    const before = (await session.info()).limits;
    const info = await session.update({ labels: { a: "b" }, limits: { timeout: 100 }, idleTtl: 5_000 });
    expect(info).toMatchObject({ labels: { a: "b" }, idleTtl: 5_000, limits: { ...before, timeout: 100 } });
    expect((await events.next()).value).toMatchObject({ kind: "session", session: { labels: { a: "b" } } });
    await events.return();
    await expect(session.execute("await sleep(2_000)")).rejects.toMatchObject({ reason: "TIMEOUT" });
    expect((await session.update({ labels: {} })).labels).toEqual({});
  });

  test("changes what becomes of it when nobody uses it", async () => {
    expect((await session.update({ idleAction: "hibernate" })).idleAction).toBe("hibernate");
    expect((await session.update({ labels: {} })).idleAction).toBe("hibernate");
    expect((await session.update({ idleAction: "delete" })).idleAction).toBe("delete");
  });

  test("leaves what another update changes meanwhile", async () => {
    const busy = session.execute("const end = Date.now() + 300; while (Date.now() < end);");
    const before = (await session.info()).limits;
    // The memory can be changed between turns only, and what comes after that need not wait for it.
    await Promise.all([
      session.update({ limits: { memoryBytes: 100 << 20, handles: 7 } }),
      session.update({ limits: { timeout: 5_000 } }),
    ]);
    await busy;
    expect((await session.info()).limits).toEqual({ ...before, memoryBytes: 100 << 20, handles: 7, timeout: 5_000 });
  });

  test("is refused as a whole when one thing is wrong", async () => {
    const before = await session.info();
    await expect(session.update({ labels: { a: "b" }, limits: { handles: 1e9 } })).rejects.toThrow(InvalidRequestError);
    await expect(session.update({})).rejects.toThrow(InvalidRequestError);
    await expect(session.update({ limits: { handles: -1 } })).rejects.toThrow(RangeError);
    expect(await session.info()).toMatchObject({ labels: before.labels, limits: before.limits });
  });
});
