/** What can go wrong under a store in a directory: no room, damage, a thread that dies, a package that is not there. */
import { execFileSync, spawnSync } from "node:child_process";
import { cp, mkdtemp, open, readFile, rename, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import Library from "libsql";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { isLong } from "../../../test/support/is-long.js";
import { SqliteStore } from "./sqlite.js";
import { type StoredSession, StoreError } from "./store.js";

const DIST = fileURLToPath(new URL("../../dist", import.meta.url));
const WRITER = fileURLToPath(new URL("../../../test/support/store-writer.mjs", import.meta.url));
const PAGE = 4_096;
/** Bytes. Primes, so that all kinds of pages are met at all places. */
const FLIPPED_EVERY = isLong ? 4_999 : 39_979;
const FLIPPING = 300_000;

let root: string;
let directory: string;
let database: string;
let store: SqliteStore;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "livescope-sqlite-"));
  directory = join(root, "data");
  database = join(directory, "store.db");
  store = new SqliteStore(directory);
});
afterEach(async () => {
  await store.close();
  await rm(root, { recursive: true });
});

function session(sessionId: string): StoredSession {
  const labels = new Map([["id", sessionId]]);
  return { sessionId, createdAt: 1_000, expiresAt: undefined, labels, record: `record of ${sessionId}`, sizeBytes: 1 };
}

function image(bytes: number): Uint8Array {
  return new Uint8Array(bytes).fill(7);
}

async function ids(of: SqliteStore): Promise<string[]> {
  const { items } = await of.sessions({ size: 10_000, after: "", labels: new Map(), now: 0 });
  return items.map(({ sessionId }) => sessionId);
}

/** Puts sessions until it fails; gives the ids of those that did not. */
async function fill(bytes: number): Promise<{ kept: string[]; error: unknown }> {
  const kept: string[] = [];
  for (;;) {
    const id = `s${String(kept.length).padStart(5, "0")}`;
    try {
      await store.putSession(session(id), image(bytes));
      kept.push(id);
    } catch (error) {
      return { kept, error };
    }
  }
}

function mount(...options: string[]): boolean {
  const target = join(root, "disk");
  return spawnSync("mount", ["-t", "tmpfs", "-o", ...options, "tmpfs", target]).status === 0;
}

/** Whether this user may mount a small file system to fill. */
function mayMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  return spawnSync("unshare", ["-m", "mount", "-t", "tmpfs", "tmpfs", tmpdir()]).status === 0;
}

describe("a store without room", () => {
  test.runIf(mayMount())("fails as full, keeps what it has whole, and goes on when there is room", async () => {
    const disk = join(root, "disk");
    execFileSync("mkdir", [disk]);
    expect(mount("size=4m")).toBe(true);
    try {
      store = new SqliteStore(join(disk, "data"));
      const { kept, error } = await fill(100_000);
      expect(error).toMatchObject({ name: "StoreError", kind: "full", message: expect.stringContaining("no room") });
      expect(kept.length).toBeGreaterThan(10);
      // As many as there were, one of them with others that fit as little.
      const failures = await Promise.allSettled(
        [1, 2, 3].map((n) => store.putSession(session(`x${n}`), image(100_000))),
      );
      expect(failures.map((failure) => failure.status === "rejected" && (failure.reason as StoreError).kind)).toEqual([
        "full",
        "full",
        "full",
      ]);
      expect(await ids(store)).toEqual(kept);
      for (const id of kept) expect((await store.sessionImage(id))?.length).toBe(100_000);
      expect(mount("remount,size=8m")).toBe(true);
      await store.putSession(session("x"), image(100_000));
      expect(await ids(store)).toEqual([...kept, "x"]);
    } finally {
      await store.close();
      execFileSync("umount", [disk]);
    }
  });

  test.runIf(mayMount())("is not opened on a full disk, and is when there is room", async () => {
    const disk = join(root, "disk");
    execFileSync("mkdir", [disk]);
    expect(mount("size=64k")).toBe(true);
    try {
      await writeFile(join(disk, "filler"), image(60_000));
      store = new SqliteStore(join(disk, "data"));
      await expect(store.putSession(session("a"), image(1))).rejects.toMatchObject({ kind: "full" });
      await rm(join(disk, "filler"));
      expect(mount("remount,size=1m")).toBe(true);
      await store.putSession(session("a"), image(1));
      expect(await ids(store)).toEqual(["a"]);
    } finally {
      await store.close();
      execFileSync("umount", [disk]);
    }
  });

  test.runIf(mayMount())("is opened on a full disk when it was there before, and read", async () => {
    const disk = join(root, "disk");
    execFileSync("mkdir", [disk]);
    expect(mount("size=2m")).toBe(true);
    try {
      store = new SqliteStore(join(disk, "data"));
      await store.putSession(session("a"), image(100_000));
      // As a process that is killed leaves it, and as one does that ends.
      await cp(join(disk, "data"), join(disk, "killed"), { recursive: true });
      await store.close();
      await writeFile(join(disk, "filler"), image(4_000_000)).catch(() => undefined);
      for (const name of ["killed", "data"]) {
        store = new SqliteStore(join(disk, name));
        await store.open();
        expect((await store.sessionImage("a"))?.length).toBe(100_000);
        await expect(store.putSession(session("b"), image(100_000))).rejects.toMatchObject({ kind: "full" });
        await store.close();
      }
    } finally {
      await store.close();
      execFileSync("umount", [disk]);
    }
  });

  test("fails as full at a limit of file size, and all it acknowledged is there without that limit", async () => {
    const command = 'ulimit -f 1500; exec "$0" "$@"';
    const argv = ["-c", command, process.execPath, WRITER, directory, "20000"];
    const { stdout, status, signal } = spawnSync("bash", argv, { encoding: "utf8" });
    expect({ status, signal }).toEqual({ status: 0, signal: null });
    const lines = stdout.trimEnd().split("\n");
    const isFailure = (line: string): boolean => line.startsWith("failed");
    expect(lines.filter(isFailure)).toEqual(["failed full"]);
    // Some were under way when the first failed, and may have found room after all.
    const acknowledged = lines.filter((line) => !isFailure(line)).map((line) => line.split(" ")[0] ?? "");
    expect(acknowledged.length).toBeGreaterThan(10);
    const there = await ids(store);
    expect(there).toEqual(expect.arrayContaining(acknowledged));
    for (const id of there) expect((await store.sessionImage(id))?.length).toBe(20_000);
    await store.putSession(session("later"), image(20_000));
  });

  test("refuses an image that SQLite does not take", async () => {
    await store.putSession(session("a"), image(1));
    await expect(store.putSession(session("a"), new Uint8Array(999_000_001))).rejects.toThrow("999000000");
    expect((await store.sessionImage("a"))?.length).toBe(1);
  });
});

describe("a damaged database", () => {
  async function prepare(): Promise<void> {
    const many = Array.from({ length: 40 }, (_, index) => session(`s${index}`));
    await Promise.all(many.map((item) => store.putSession(item, image(1_500))));
    await store.close();
  }

  /** Reads all there is; each answer is right, or that there is none, or a StoreError that says what to do. */
  async function readAll(): Promise<{ wrong: unknown[]; broken: number; whole: number }> {
    const damaged = new SqliteStore(directory);
    const wrong: unknown[] = [];
    let broken = 0;
    let whole = 0;
    const ask = async (question: Promise<unknown>, expected: unknown): Promise<void> => {
      try {
        const answer = await question;
        if (answer === undefined) return;
        expect(answer).toEqual(expected);
        whole++;
      } catch (error) {
        const isTold = error instanceof StoreError && ["damaged", "broken"].includes(error.kind);
        if (isTold && error.message.includes(database)) broken++;
        else wrong.push(error);
      }
    };
    await ask(damaged.open(), undefined);
    if (broken > 0) return { wrong, broken, whole };
    for (let index = 0; index < 40; index++) {
      await ask(damaged.session(`s${index}`), session(`s${index}`));
      await ask(damaged.sessionImage(`s${index}`), image(1_500));
    }
    for (const labels of [new Map<string, string>(), new Map([["id", "s7"]])]) {
      const page = damaged.sessions({ size: 100, after: "", labels, now: 0 });
      await ask(
        page.then(({ items }) =>
          items.every((item) => JSON.stringify(item.record) === `"record of ${item.sessionId}"`),
        ),
        true,
      );
    }
    await damaged.putSession(session("new"), image(10)).catch((error: unknown) => {
      if (!(error instanceof StoreError)) wrong.push(error);
    });
    await damaged.close();
    return { wrong, broken, whole };
  }

  test("is refused when it is no database at all", async () => {
    await prepare();
    await writeFile(database, "this is no database".repeat(1_000));
    await expect(store.open()).rejects.toThrow("closed");
    await expect(new SqliteStore(directory).open()).rejects.toMatchObject({
      kind: "broken",
      message: expect.stringMatching(/store\.db is damaged .*put a backup in its place/),
    });
  });

  test("gives what is whole, and never anything wrong, when it is torn", async () => {
    await prepare();
    const { length } = await readFile(database);
    let seen = 0;
    for (let pages = Math.floor(length / PAGE) - 1; pages >= 0; pages = Math.floor(pages * 0.8) - 1) {
      await truncate(database, pages * PAGE + 100);
      const { wrong, broken } = await readAll();
      expect(wrong).toEqual([]);
      seen += broken;
    }
    expect(seen).toBeGreaterThan(0);
  });

  test(
    "gives what is whole, and never anything wrong, when bytes are flipped",
    async () => {
      await prepare();
      const sound = await readFile(database);
      let broken = 0;
      let whole = 0;
      for (let at = 17; at < sound.length; at += FLIPPED_EVERY) {
        const flipped = Buffer.from(sound);
        for (let index = at; index < Math.min(at + 8, flipped.length); index++)
          flipped[index] = (flipped[index] ?? 0) ^ 0x55;
        await writeFile(database, flipped);
        const found = await readAll();
        expect(found.wrong).toEqual([]);
        broken += found.broken;
        whole += found.whole;
      }
      expect(broken).toBeGreaterThan(0);
      expect(whole).toBeGreaterThan(broken);
    },
    FLIPPING,
  );

  test("refuses the image that is damaged, and that alone", async () => {
    await store.putSession(session("a"), image(100));
    await store.putSession(session("b"), image(100));
    await store.close();
    const file = new Library(database);
    // By exec: a prepared statement would hold the lock until it is collected.
    file.exec("UPDATE sessions_images SET image = zeroblob(100) WHERE id = 'a'");
    file.exec("UPDATE sessions SET facts = replace(facts, 'record', 'rekord') WHERE id = 'a'");
    file.close();
    store = new SqliteStore(directory);
    // Together, as one transaction first.
    const [read, put, other] = await Promise.allSettled([
      store.sessionImage("a"),
      store.putSession(session("c"), image(100)),
      store.sessionImage("b"),
    ]);
    expect(read).toMatchObject({
      status: "rejected",
      reason: { kind: "damaged", message: expect.stringContaining("of a of") },
    });
    await expect(store.session("a")).rejects.toMatchObject({ kind: "damaged" });
    await expect(ids(store)).rejects.toMatchObject({ kind: "damaged" });
    expect([put.status, other]).toEqual(["fulfilled", { status: "fulfilled", value: image(100) }]);
    expect(await store.deleteSession("a")).toBe(true);
    expect(await ids(store)).toEqual(["b", "c"]);
  });

  test("loses only what was not acknowledged when the end of its log is torn", async () => {
    const child = spawnSync(process.execPath, ["-e", killedWriter()], { encoding: "utf8" });
    expect(child.signal).toBe("SIGKILL");
    const log = await open(`${database}-wal`, "r+");
    const { size } = await log.stat();
    await log.truncate(size - 1_000);
    await log.close();
    expect(await ids(store)).toEqual(["s0", "s1", "s2", "s3"]);
  });

  /** Puts five sessions, then ends without closing, so that all of it is in the log alone. */
  function killedWriter(): string {
    return `import(${JSON.stringify(join(DIST, "store/sqlite.js"))}).then(async ({ SqliteStore }) => {
      const store = new SqliteStore(${JSON.stringify(directory)});
      for (let n = 0; n < 5; n++) {
        const session = { sessionId: "s" + n, createdAt: n, expiresAt: undefined, labels: new Map(), record: "", sizeBytes: 1 };
        await store.putSession(session, new Uint8Array(5000));
      }
      process.kill(process.pid, "SIGKILL");
    })`;
  }
});

describe("files that are removed or replaced under a store", () => {
  const remove = (name: string) => (): Promise<void> => rm(join(directory, name));
  const ways: readonly [string, () => Promise<unknown>][] = [
    ["the database", remove("store.db")],
    ["its log", remove("store.db-wal")],
    ["the directory", () => rename(directory, join(root, "elsewhere"))],
    [
      "the database for a copy",
      async () => {
        await cp(database, join(root, "copy"));
        await rename(join(root, "copy"), database);
      },
    ],
  ];

  test.each(ways)("take nothing that would be lost with them: %s", async (_, change) => {
    await store.putSession(session("a"), image(10));
    await change();
    const failure = { kind: "broken", message: expect.stringContaining("was removed or replaced") };
    const puts = await Promise.allSettled(["b", "c"].map((id) => store.putSession(session(id), image(10))));
    expect(puts).toMatchObject([{ reason: failure }, { reason: failure }]);
    await expect(store.sessionImage("a")).rejects.toMatchObject(failure);
  });

  test("are known where the database is a link, and where it was opened again", async () => {
    await store.putSession(session("a"), image(10));
    await store.close();
    await rename(database, join(root, "real.db"));
    await symlink(join(root, "real.db"), database);
    for (const id of ["b", "c"]) {
      store = new SqliteStore(directory);
      await store.putSession(session(id), image(10));
      if (id === "b") await store.close();
    }
    expect(await ids(store)).toEqual(["a", "b", "c"]);
    await rm(join(root, "real.db-wal"));
    await expect(store.putSession(session("d"), image(10))).rejects.toMatchObject({ kind: "broken" });
  });
});

describe("room that is not used", () => {
  test("is given back to the file system, a part with each sweep", async () => {
    const many = Array.from({ length: 60 }, (_, index) => `s${index}`);
    await Promise.all(many.map((id) => store.putSession(session(id), image(100_000))));
    await Promise.all(many.slice(1).map((id) => store.deleteSession(id)));
    await store.close();
    const sizes: number[] = [];
    for (let round = 0; round < 8; round++) {
      store = new SqliteStore(directory);
      await store.expire(0);
      await store.close();
      sizes.push((await stat(database)).size);
    }
    expect(sizes[0]).toBeLessThan(6_000_000);
    expect(sizes[1]).toBeLessThan(sizes[0] ?? 0);
    // What is kept for what comes next.
    expect(sizes[7]).toBe(sizes[6]);
    expect(sizes[7]).toBeGreaterThan(500_000);
    store = new SqliteStore(directory);
    expect((await store.sessionImage("s0"))?.length).toBe(100_000);
  });
});

describe("the thread of a store", () => {
  /** The worker that a store posts to. */
  async function workerOf(of: SqliteStore): Promise<Worker> {
    const spy = vi.spyOn(Worker.prototype, "postMessage");
    await of.putSession(session("a"), image(10));
    const worker = spy.mock.contexts.at(-1);
    spy.mockRestore();
    if (!(worker instanceof Worker)) throw new Error("no message was posted");
    return worker;
  }

  const lost = { name: "StoreError", kind: "broken", message: expect.stringContaining("restart the server") };

  test("rejects what waits and all that comes when it ends", async () => {
    const worker = await workerOf(store);
    const waiting = [store.sessionImage("a"), store.putSession(session("b"), image(50_000_000)), store.expire(0)];
    const outcomes = Promise.allSettled(waiting);
    await worker.terminate();
    const results = await outcomes;
    expect(results.some(({ status }) => status === "rejected")).toBe(true);
    for (const result of results) if (result.status === "rejected") expect(result.reason).toMatchObject(lost);
    await expect(store.session("a")).rejects.toMatchObject(lost);
    await expect(store.putSession(session("c"), image(1))).rejects.toMatchObject(lost);
    await store.close();
    const next = new SqliteStore(directory);
    expect(await next.session("a")).toEqual(session("a"));
    await next.close();
  });

  test("rejects them when it throws", async () => {
    const worker = await workerOf(store);
    worker.postMessage(undefined);
    await expect.poll(() => store.session("a").then(String, (error: unknown) => error)).toMatchObject(lost);
  });

  test("takes many calls at once, each with its own answer", async () => {
    const many = Array.from({ length: 1_000 }, (_, index) => `s${String(index).padStart(4, "0")}`);
    const puts = many.map((id) => store.putSession(session(id), image(100)));
    const reads = many.map((id) => store.session(id));
    await Promise.all(puts);
    expect((await Promise.all(reads)).map((item) => item?.sessionId)).toEqual(many);
    expect(await ids(store)).toEqual(many);
  });
});

test("without SQLite's package, a store says so and leaves nothing behind", async () => {
  await cp(join(DIST, "store"), join(root, "dist/store"), { recursive: true });
  await writeFile(join(root, "package.json"), '{ "type": "module" }');
  const script = `import(${JSON.stringify(join(root, "dist/store/sqlite.js"))}).then(async ({ SqliteStore }) => {
    const store = new SqliteStore(${JSON.stringify(directory)});
    const list = await store.sessions({ size: 1, after: "", labels: new Map(), now: 0 });
    const error = await store.open().catch((error) => error);
    console.log(JSON.stringify([list, error.name, error.kind, error.message]));
  })`;
  const { stdout } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
  const [list, name, kind, message] = JSON.parse(stdout) as unknown[];
  expect([list, name, kind]).toEqual([{ items: [], next: "" }, "StoreError", "broken"]);
  expect(message).toMatch(/SQLite \(the package libsql\) is not installed for \w+ \w+: .*--data none$/);
  await expect(readFile(database)).rejects.toThrow("ENOENT");
});
