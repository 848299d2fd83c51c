import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Library from "libsql";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MemoryStore } from "./memory.js";
import { type OpenedStore, openStore, type StoreOptions } from "./open-store.js";
import { type Store, StoreError } from "./store.js";

const NONE: ReadonlyMap<string, string> = new Map();
const SESSION = { sessionId: "a", createdAt: 1, expiresAt: undefined, labels: NONE, record: "", sizeBytes: 1 };

let root: string;
let directory: string;
let opened: OpenedStore[];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "livescope-open-"));
  directory = join(root, "outer", "data");
  opened = [];
});
afterEach(async () => {
  for (const { store } of opened) await store.close();
  await rm(root, { recursive: true });
});

async function open(options: StoreOptions): Promise<OpenedStore> {
  const one = await openStore(options);
  opened.push(one);
  return one;
}

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8);
}

describe("a data directory that is not there", () => {
  test.runIf(process.platform === "linux")(
    "is refused where none can be made, whatever the file system says",
    async () => {
      // It is root's to write, and takes nobody's directories.
      const { store } = await open({ directory: "/proc/livescope" }).catch(() => ({ store: undefined }));
      const made =
        store?.putSession(SESSION, new Uint8Array([1])) ?? Promise.reject(new StoreError("broken", "refused"));
      await expect(made).rejects.toMatchObject({ kind: "broken" });
    },
  );

  test("reads as empty and is not made by reading", async () => {
    const { store } = await open({ directory });
    expect(await store.session("a")).toBeUndefined();
    expect(await store.sessionImage("a")).toBeUndefined();
    expect(await store.sessions({ size: 1, after: "", labels: NONE, now: 0 })).toEqual({ items: [], next: "" });
    expect(await store.deleteSnapshot("a")).toBe(false);
    expect(await store.expire(1)).toEqual([]);
    expect(await readdir(root)).toEqual([]);
  });

  test("is made by the first write, for its owner alone", async () => {
    const { store } = await open({ directory });
    await store.putSession(SESSION, Uint8Array.of(1));
    expect(await modeOf(directory)).toBe("700");
    for (const file of await readdir(directory))
      expect([file, await modeOf(join(directory, file))]).toEqual([file, "600"]);
  });

  test("is made by the first need of a key, and locked", async () => {
    const { signingKey } = await open({ directory });
    await signingKey();
    expect((await readdir(directory)).sort()).toContain("store.db");
    await expect(openStore({ directory })).rejects.toMatchObject({ kind: "busy" });
  });

  test("is seen when another store made it", async () => {
    const late = await open({ directory });
    const first = await open({ directory });
    await first.store.putSession(SESSION, Uint8Array.of(1));
    await expect(late.store.session("a")).rejects.toMatchObject({ kind: "busy" });
    await expect(late.store.putSession(SESSION, Uint8Array.of(2))).rejects.toMatchObject({ kind: "busy" });
    await first.store.close();
    expect(await late.store.sessionImage("a")).toEqual(Uint8Array.of(1));
  });
});

describe("a data directory that is there", () => {
  test("is locked from the start, and free again after close", async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const { store } = await open({ directory });
    await store.putSession(SESSION, Uint8Array.of(7));
    const refusal = { name: "StoreError", kind: "busy", message: expect.stringContaining("--data") };
    await expect(openStore({ directory })).rejects.toMatchObject(refusal);
    await store.close();
    const again = await open({ directory });
    expect(await again.store.sessionImage("a")).toEqual(Uint8Array.of(7));
  });

  test("may be a link to one", async () => {
    await mkdir(join(root, "real"), { mode: 0o700 });
    await symlink(join(root, "real"), join(root, "link"));
    await open({ directory: join(root, "link") });
    await expect(openStore({ directory: join(root, "real") })).rejects.toMatchObject({ kind: "busy" });
  });

  test("has its database closed to others again after a copy opened it", async () => {
    await open({ directory }).then(({ store }) =>
      store.putSession(SESSION, Uint8Array.of(1)).then(() => store.close()),
    );
    await chmod(join(directory, "store.db"), 0o644);
    await open({ directory });
    expect(await modeOf(join(directory, "store.db"))).toBe("600");
  });

  test.each([
    ["is a file", async () => writeFile(directory, ""), "is not a directory"],
    ["can be written by all", async () => mkdir(directory).then(() => chmod(directory, 0o777)), "chmod 700"],
    [
      "has another program's database",
      async () => {
        const { default: Library } = await import("libsql");
        await mkdir(directory, { mode: 0o700 });
        const database = new Library(join(directory, "store.db"));
        database.exec("CREATE TABLE other (a)");
        database.close();
      },
      "another program",
    ],
    [
      "has a directory where its database should be",
      async () => {
        await mkdir(join(directory, "store.db"), { recursive: true, mode: 0o700 });
      },
      "move it away, or name another directory with --data",
    ],
    [
      "has a database of a later version",
      async () => {
        const { store } = await openStore({ directory });
        await store.putSession(SESSION, Uint8Array.of(1));
        await store.close();
        const { default: Library } = await import("libsql");
        const database = new Library(join(directory, "store.db"));
        database.exec("PRAGMA user_version = 99");
        database.close();
      },
      "later version",
    ],
    [
      "has a folder where the database should be",
      async () => mkdir(join(directory, "store.db"), { recursive: true, mode: 0o700 }),
      "store.db",
    ],
  ])("is refused when it %s", async (_what, prepare, sentence) => {
    await mkdir(join(root, "outer"), { mode: 0o700 });
    await prepare();
    const failure = await openStore({ directory }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: "StoreError", kind: "broken", message: expect.stringContaining(sentence) });
  });

  test.each([
    ["below a file", "file/data"],
    ["far below a file", "file/a/b/data"],
  ])("cannot be %s", async (_where, path) => {
    await writeFile(join(root, "file"), "");
    await expect(openStore({ directory: join(root, path) })).rejects.toThrow(
      /cannot be made, for .*file is not a directory/,
    );
  });
});

describe("no data directory", () => {
  test("means a store in memory and a key of this process", async () => {
    const one = await open({});
    const other = await open({});
    expect(one.store).toBeInstanceOf(MemoryStore);
    expect((await one.signingKey()).length).toBe(32);
    expect(await one.signingKey()).toEqual(await one.signingKey());
    expect(await one.signingKey()).not.toEqual(await other.signingKey());
  });
});

describe("the signing key", () => {
  test("is made once, for its owner alone, and stays", async () => {
    const first = await open({ directory });
    const key = await first.signingKey();
    expect(key.length).toBe(32);
    expect(new Uint8Array(await readFile(join(directory, "key")))).toEqual(key);
    expect(await modeOf(join(directory, "key"))).toBe("600");
    expect((await readdir(directory)).filter((name) => name.startsWith("key"))).toEqual(["key"]);
    await first.store.close();
    expect(await (await open({ directory })).signingKey()).toEqual(key);
  });

  test("may be another server's", async () => {
    const key = await (await open({ directory })).signingKey();
    const keyFile = join(directory, "key");
    const elsewhere = await open({ directory: join(root, "elsewhere"), keyFile });
    expect(await elsewhere.signingKey()).toEqual(key);
    expect(await (await open({ keyFile })).signingKey()).toEqual(key);
    expect(await readdir(root)).toEqual(["outer"]);
  });

  test.each([
    ["is not there", undefined, 0o600, "head -c 32"],
    ["is too short", new Uint8Array(31), 0o600, "exactly 32 bytes"],
    ["is too long", new Uint8Array(33), 0o600, "exactly 32 bytes"],
    ["can be read by others", new Uint8Array(32), 0o640, "chmod 600"],
  ])("is refused when its file %s", async (_what, bytes, mode, advice) => {
    const keyFile = join(root, "named");
    if (bytes !== undefined) await writeFile(keyFile, bytes, { mode });
    const refusal = { name: "StoreError", kind: "broken", message: expect.stringContaining(advice) };
    await expect(openStore({ keyFile })).rejects.toMatchObject(refusal);
  });

  const SNAPSHOT = { ...SESSION, snapshotId: "s", engineDigest: "" };
  test.each<[what: string, put: (store: Store) => Promise<unknown>]>([
    ["a durable session", (store) => store.addDurable(SESSION, Uint8Array.of(1), 1)],
    ["a snapshot", (store) => store.addSnapshot(SNAPSHOT, Uint8Array.of(1))],
  ])("is not made anew where %s was signed with one that is gone", async (_what, put) => {
    const first = await open({ directory });
    const key = await first.signingKey();
    await put(first.store);
    await first.store.close();
    const file = join(directory, "key");
    await rename(file, join(root, "backup"));
    const refusal = { kind: "broken", message: expect.stringMatching(/^the key file .*\/key is not there, .*backup/) };
    await expect(openStore({ directory })).rejects.toMatchObject(refusal);
    expect(await readdir(directory)).not.toContain("key");
    // Nothing stays locked.
    const named = await open({ directory, keyFile: join(root, "backup") });
    expect(await named.signingKey()).toEqual(key);
    await named.store.close();
    await rename(join(root, "backup"), file);
    expect(await (await open({ directory })).signingKey()).toEqual(key);
  });

  test("is not made anew in a directory that came after the start, either", async () => {
    const late = await open({ directory });
    const other = await open({ directory });
    await other.store.addDurable(SESSION, Uint8Array.of(1), 1);
    await other.store.close();
    await expect(late.signingKey()).rejects.toMatchObject({ kind: "broken" });
    expect(await readdir(directory)).not.toContain("key");
  });

  describe("that is another one", () => {
    const refusal = {
      kind: "broken",
      message: expect.stringMatching(/^the key file .* is another one than .*--key-file/),
    };

    async function sealed(): Promise<{ key: Uint8Array; other: string }> {
      const first = await open({ directory });
      const key = await first.signingKey();
      await first.store.addDurable(SESSION, Uint8Array.of(1), 1);
      await first.store.close();
      const other = join(root, "other");
      await writeFile(other, new Uint8Array(32), { mode: 0o600 });
      return { key, other };
    }

    test("is refused where something was signed, whoever names it, and nothing stays locked", async () => {
      const { key, other } = await sealed();
      await expect(openStore({ directory, keyFile: other })).rejects.toMatchObject(refusal);
      const own = join(directory, "key");
      await rename(own, join(root, "backup"));
      await rename(other, own);
      await expect(openStore({ directory })).rejects.toMatchObject(refusal);
      expect(await (await open({ directory, keyFile: join(root, "backup") })).signingKey()).toEqual(key);
    });

    test("is refused where the directory was made for one that was named", async () => {
      const { key, other } = await sealed();
      const keyFile = join(root, "named");
      await rename(join(directory, "key"), keyFile);
      const made = join(root, "made");
      const first = await open({ directory: made, keyFile });
      expect(await first.signingKey()).toEqual(key);
      await first.store.addDurable(SESSION, Uint8Array.of(1), 1);
      expect(await first.signingKey()).toEqual(key);
      await first.store.close();
      await expect(openStore({ directory: made, keyFile: other })).rejects.toMatchObject(refusal);
    });

    test("is refused where the directory came after the start", async () => {
      const elsewhere = directory;
      directory = join(root, "moved");
      const { other } = await sealed();
      const late = await open({ directory: elsewhere, keyFile: other });
      await mkdir(join(root, "outer"), { recursive: true });
      await rename(directory, elsewhere);
      await expect(late.signingKey()).rejects.toMatchObject(refusal);
    });

    test("is taken once nothing is left that was signed, and is the one from then on", async () => {
      const { other } = await sealed();
      const first = await open({ directory });
      await first.store.deleteSession("a");
      await first.store.close();
      const next = await open({ directory, keyFile: other });
      await next.signingKey();
      await next.store.addDurable(SESSION, Uint8Array.of(1), 1);
      await next.store.close();
      await expect(openStore({ directory })).rejects.toMatchObject(refusal);
      await open({ directory, keyFile: other });
    });

    test("is not known to be where what names it is damaged, or was never there", async () => {
      const { other } = await sealed();
      for (const change of ["UPDATE facts SET value = 'x'", "DELETE FROM facts"]) {
        const file = new Library(join(directory, "store.db"));
        file.exec(change);
        file.close();
        const { store, signingKey } = await open({ directory, keyFile: other });
        expect((await signingKey()).length).toBe(32);
        expect(await store.keyId()).toBeUndefined();
        await store.close();
      }
    });
  });

  test("is there beside a snapshot that is damaged, which can be deleted then", async () => {
    const first = await open({ directory });
    const key = await first.signingKey();
    await first.store.addSnapshot(SNAPSHOT, Uint8Array.of(1));
    await first.store.close();
    const file = new Library(join(directory, "store.db"));
    file.exec("UPDATE snapshots SET facts = '{}'");
    file.close();
    const { store, signingKey } = await open({ directory });
    expect(await signingKey()).toEqual(key);
    await expect(store.snapshot(SNAPSHOT.snapshotId)).rejects.toMatchObject({ kind: "damaged" });
    expect(await store.deleteSnapshot(SNAPSHOT.snapshotId)).toBe(true);
  });

  test("is made where nothing outlives the process that was signed with one", async () => {
    const first = await open({ directory });
    await first.store.putSession(SESSION, Uint8Array.of(1));
    await first.store.addSnapshot({ ...SNAPSHOT, expiresAt: 1 }, Uint8Array.of(1));
    await first.store.close();
    expect((await (await open({ directory })).signingKey()).length).toBe(32);
  });

  test("is there when its process ended before it put anything into the store", async () => {
    const first = await open({ directory });
    const key = await first.signingKey();
    await first.store.close();
    expect(await (await open({ directory })).signingKey()).toEqual(key);
  });

  test("is one and the same for all who ask at once, also when the first has used it meanwhile", async () => {
    const { store, signingKey } = await open({ directory });
    const use = async (sessionId: string): Promise<Uint8Array> => {
      const key = await signingKey();
      await store.addDurable({ ...SESSION, sessionId }, Uint8Array.of(1), 1);
      return key;
    };
    const keys = await Promise.all(["a", "b", "c"].map(use));
    expect(keys).toEqual([keys[0], keys[0], keys[0]]);
  });

  test("is refused at the start when the one of the directory is no key, and nothing stays locked", async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeFile(join(directory, "key"), "short", { mode: 0o600 });
    await expect(openStore({ directory })).rejects.toThrow("exactly 32 bytes");
    await rm(join(directory, "key"));
    await open({ directory });
  });
});
