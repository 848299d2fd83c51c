/** What every store keeps to. A store that is added is one more line of STORES. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MemoryStore } from "./memory.js";
import { SqliteStore } from "./sqlite.js";
import { isPageToken, type Store, type StoredSession, type StoredSnapshot } from "./store.js";

const STORES: readonly (readonly [name: string, make: () => Promise<{ store: Store; remove: () => Promise<void> }>])[] =
  [
    ["memory", async () => ({ store: new MemoryStore(), remove: async () => undefined })],
    [
      "SQLite",
      async () => {
        const directory = await mkdtemp(join(tmpdir(), "livescope-store-"));
        const remove = () => rm(directory, { recursive: true });
        return { store: new SqliteStore(join(directory, "data")), remove };
      },
    ],
  ];

const NONE: ReadonlyMap<string, string> = new Map();

function snapshot(snapshotId: string, facts: Partial<StoredSnapshot> = {}): StoredSnapshot {
  return {
    snapshotId,
    sessionId: "session",
    createdAt: 1_000,
    expiresAt: undefined,
    engineDigest: "digest",
    labels: NONE,
    sizeBytes: 3,
    ...facts,
  };
}

function session(sessionId: string, facts: Partial<StoredSession> = {}): StoredSession {
  return { sessionId, createdAt: 1_000, expiresAt: undefined, labels: NONE, record: "{}", sizeBytes: 3, ...facts };
}

function labels(...pairs: readonly (readonly [string, string])[]): ReadonlyMap<string, string> {
  return new Map(pairs);
}

describe.each(STORES)("a store (%s)", (_name, make) => {
  let store: Store;
  let remove: () => Promise<void>;
  beforeEach(async () => {
    ({ store, remove } = await make());
  });
  afterEach(async () => {
    await store.close();
    await remove();
  });

  async function listed(options: { labels?: ReadonlyMap<string, string>; now?: number; size?: number }) {
    const pages: string[][] = [];
    let after = "";
    do {
      const page = await store.sessions({ size: 10, labels: NONE, now: 0, ...options, after });
      expect(isPageToken(page.next)).toBe(true);
      pages.push(page.items.map(({ sessionId }) => sessionId));
      after = page.next;
    } while (after !== "");
    return pages;
  }

  test("has nothing at first", async () => {
    expect(await store.snapshot("a")).toBeUndefined();
    expect(await store.snapshotImage("a")).toBeUndefined();
    expect(await store.deleteSnapshot("a")).toBe(false);
    expect(await store.session("a")).toBeUndefined();
    expect(await store.sessionImage("a")).toBeUndefined();
    expect(await store.deleteSession("a")).toBe(false);
    expect(await store.snapshots({ size: 1, after: "", labels: NONE, now: 0 })).toEqual({ items: [], next: "" });
    expect(await store.sessions({ size: 1, after: "", labels: NONE, now: 0 })).toEqual({ items: [], next: "" });
    expect(await store.expire(1)).toEqual([]);
  });

  test("gives a snapshot as it was added", async () => {
    const one = snapshot("one", {
      sessionId: "mine",
      createdAt: 1_795_888_104_224,
      expiresAt: 1_795_888_104_225,
      labels: labels(["app", "shop"], ["", ""], ["nul\0", 'quo"te'], ["😀", "ü\n"]),
      sizeBytes: 5,
    });
    expect(await store.addSnapshot(one, Uint8Array.of(0, 1, 255, 0, 7))).toBe(true);
    expect(await store.snapshot("one")).toEqual(one);
    expect(await store.snapshotImage("one")).toEqual(Uint8Array.of(0, 1, 255, 0, 7));
    expect(await store.deleteSnapshot("one")).toBe(true);
    expect(await store.snapshot("one")).toBeUndefined();
    expect(await store.snapshotImage("one")).toBeUndefined();
    expect(await store.deleteSnapshot("one")).toBe(false);
  });

  test("adds a snapshot once, whatever comes later under its id", async () => {
    const first = snapshot("one", { expiresAt: 2_000 });
    expect(await store.addSnapshot(first, Uint8Array.of(1))).toBe(true);
    expect(await store.addSnapshot(snapshot("one", { sessionId: "other" }), Uint8Array.of(2))).toBe(false);
    expect(await store.snapshot("one")).toEqual(first);
    expect(await store.snapshotImage("one")).toEqual(Uint8Array.of(1));
  });

  test("replaces a session of the same id, with its labels and its place in the list", async () => {
    await store.putSession(session("a", { labels: labels(["is", "old"]) }), Uint8Array.of(1));
    await store.putSession(session("b", { createdAt: 2_000 }), Uint8Array.of(2));
    const later = session("a", { createdAt: 3_000, labels: labels(["is", "new"]), record: '{"n":2}' });
    await store.putSession(later, Uint8Array.of(3));
    expect(await store.session("a")).toEqual(later);
    expect(await store.sessionImage("a")).toEqual(Uint8Array.of(3));
    expect(await listed({})).toEqual([["b", "a"]]);
    expect(await listed({ labels: labels(["is", "old"]) })).toEqual([[]]);
    expect(await listed({ labels: labels(["is", "new"]) })).toEqual([["a"]]);
  });

  test("finds what has all of many labels, and nothing that lacks one", async () => {
    const many = Array.from({ length: 64 }, (_, i): [string, string] => [`name ${i}`, `value ${i % 3}`]);
    await store.putSession(session("all", { labels: labels(...many) }), Uint8Array.of(1));
    await store.putSession(session("but one", { labels: labels(...many.slice(1)) }), Uint8Array.of(1));
    await store.putSession(
      session("another", { labels: labels(...many.slice(1), ["name 0", "other"]) }),
      Uint8Array.of(1),
    );
    expect(await listed({ labels: labels(...many) })).toEqual([["all"]]);
    expect(await listed({ labels: labels(...many.slice(1)) })).toEqual([["all", "another", "but one"]]);
  });

  test("keeps any text as a record", async () => {
    const records = ["", "\0", "a\0b", "\ud800", "'\";--", "😀", "x".repeat(100_000)];
    for (const record of records) {
      await store.putSession(session("a", { record }), Uint8Array.of(1));
      expect((await store.session("a"))?.record).toBe(record);
    }
  });

  test("keeps images of any size, and the part of a buffer that it was given", async () => {
    for (const size of [0, 1, 4_096, 20_000_000]) {
      const image = new Uint8Array(size).map((_, index) => index % 251);
      await store.putSession(session("a"), image.slice());
      const kept = await store.sessionImage("a");
      expect(kept?.length).toBe(size);
      expect(kept !== undefined && Buffer.compare(kept, image)).toBe(0);
    }
    const whole = Uint8Array.of(1, 2, 3, 4, 5);
    await store.putSession(session("a"), whole.subarray(1, 3));
    expect(await store.sessionImage("a")).toEqual(Uint8Array.of(2, 3));
    expect(whole).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
    const shared = new Uint8Array(new SharedArrayBuffer(2)).fill(9);
    await store.putSession(session("a"), shared);
    shared.fill(0);
    expect(await store.sessionImage("a")).toEqual(Uint8Array.of(9, 9));
  });

  test("takes an image over, and gives each caller one of his own", async () => {
    const image = Uint8Array.of(1, 2, 3);
    await store.addSnapshot(snapshot("a"), image);
    expect(image.length).toBe(0);
    (await store.snapshotImage("a"))?.fill(0);
    expect(await store.snapshotImage("a")).toEqual(Uint8Array.of(1, 2, 3));
  });

  test("does not see what its caller does with labels afterwards", async () => {
    const mutable = new Map([["a", "1"]]);
    await store.putSession(session("a", { labels: mutable }), Uint8Array.of(1));
    mutable.set("a", "2");
    expect((await store.session("a"))?.labels).toEqual(labels(["a", "1"]));
  });

  test("keeps snapshots and sessions apart", async () => {
    await store.addSnapshot(snapshot("same"), Uint8Array.of(1));
    await store.putSession(session("same"), Uint8Array.of(2));
    expect(await store.snapshotImage("same")).toEqual(Uint8Array.of(1));
    expect(await store.deleteSession("same")).toBe(true);
    expect(await store.snapshot("same")).toEqual(snapshot("same"));
  });

  test("lists by time, then id, in pages that leave nothing out", async () => {
    for (const [id, createdAt] of [
      ["d", 2_000],
      ["b", 1_000],
      ["c", 1_000],
      ["B", 1_000],
      ["a", 10_000],
      ["e", 0],
    ] as const) {
      await store.putSession(session(id, { createdAt }), Uint8Array.of(1));
    }
    expect(await listed({})).toEqual([["e", "B", "b", "c", "d", "a"]]);
    expect(await listed({ size: 6 })).toEqual([["e", "B", "b", "c", "d", "a"]]);
    expect(await listed({ size: 5 })).toEqual([["e", "B", "b", "c", "d"], ["a"]]);
    expect(await listed({ size: 2 })).toEqual([
      ["e", "B"],
      ["b", "c"],
      ["d", "a"],
    ]);
    expect(await listed({ size: 1 })).toEqual([["e"], ["B"], ["b"], ["c"], ["d"], ["a"]]);
  });

  test("goes on listing where it was when what ended a page is gone", async () => {
    for (const id of ["a", "b", "c"]) await store.putSession(session(id), Uint8Array.of(1));
    const { next } = await store.sessions({ size: 1, after: "", labels: NONE, now: 0 });
    await store.deleteSession("a");
    const { items } = await store.sessions({ size: 1, after: next, labels: NONE, now: 0 });
    expect(items.map(({ sessionId }) => sessionId)).toEqual(["b"]);
  });

  test("lists snapshots in the same way", async () => {
    for (const [id, value] of [
      ["a", "1"],
      ["b", "2"],
      ["c", "1"],
    ] as const) {
      await store.addSnapshot(snapshot(id, { labels: labels(["n", value]) }), Uint8Array.of(1));
    }
    const options = { size: 1, labels: labels(["n", "1"]), now: 0 };
    const first = await store.snapshots({ ...options, after: "" });
    const second = await store.snapshots({ ...options, after: first.next });
    expect([first.items, second]).toEqual([
      [snapshot("a", { labels: labels(["n", "1"]) })],
      { items: [snapshot("c", { labels: labels(["n", "1"]) })], next: "" },
    ]);
  });

  test("lists what has all the labels asked for", async () => {
    await store.putSession(session("a", { labels: labels(["x", "1"]) }), Uint8Array.of(1));
    await store.putSession(session("b", { labels: labels(["x", "1"], ["y", "1"]) }), Uint8Array.of(1));
    await store.putSession(session("c", { labels: labels(["x", "1"], ["y", "2"], ["", ""]) }), Uint8Array.of(1));
    await store.putSession(session("d"), Uint8Array.of(1));
    expect(await listed({ labels: labels(["x", "1"]) })).toEqual([["a", "b", "c"]]);
    expect(await listed({ labels: labels(["x", "1"]), size: 2 })).toEqual([["a", "b"], ["c"]]);
    expect(await listed({ labels: labels(["x", "1"], ["y", "2"]) })).toEqual([["c"]]);
    expect(await listed({ labels: labels(["y", "1"], ["x", "1"]) })).toEqual([["b"]]);
    expect(await listed({ labels: labels(["", ""]) })).toEqual([["c"]]);
    expect(await listed({ labels: labels(["1", "x"]) })).toEqual([[]]);
    expect(await listed({ labels: labels(["x", "1%"]) })).toEqual([[]]);
    expect(await listed({ labels: labels(["x", "1"], ["y", "1"], ["z", "1"]) })).toEqual([[]]);
    await store.deleteSession("b");
    expect(await listed({ labels: labels(["x", "1"]) })).toEqual([["a", "c"]]);
  });

  test("leaves out of lists what has expired, from that millisecond on", async () => {
    await store.putSession(session("a", { expiresAt: 5_000 }), Uint8Array.of(1));
    await store.putSession(session("b"), Uint8Array.of(1));
    expect(await listed({ now: 4_999 })).toEqual([["a", "b"]]);
    expect(await listed({ now: 5_000 })).toEqual([["b"]]);
    expect(await listed({ now: 5_000, size: 1 })).toEqual([["b"]]);
  });

  test("deletes what has expired and tells the sessions among it, however many", async () => {
    const count = 1_203;
    const many = Array.from({ length: count }, (_, index) => session(`s${index}`, { expiresAt: 2_000 + (index % 2) }));
    await Promise.all(many.map((item) => store.putSession(item, Uint8Array.of(1))));
    await store.putSession(session("stays"), Uint8Array.of(1));
    await store.addSnapshot(snapshot("goes", { expiresAt: 2_001 }), Uint8Array.of(1));
    await store.addSnapshot(snapshot("stays"), Uint8Array.of(1));
    expect(await store.expire(1_999)).toEqual([]);
    expect((await store.expire(2_000)).toSorted()).toEqual(
      many.flatMap(({ sessionId, expiresAt }) => (expiresAt === 2_000 ? [sessionId] : [])).sort(),
    );
    expect(await store.expire(2_001)).toHaveLength(Math.floor(count / 2));
    expect(await store.sessionImage("s0")).toBeUndefined();
    expect(await listed({})).toEqual([["stays"]]);
    expect(await store.snapshot("goes")).toBeUndefined();
    expect(await store.snapshotImage("goes")).toBeUndefined();
    expect(await store.snapshot("stays")).toEqual(snapshot("stays"));
  });

  test("does what it is asked in that order, without being waited for", async () => {
    const answers = await Promise.all([
      store.addSnapshot(snapshot("a"), Uint8Array.of(1)),
      store.addSnapshot(snapshot("a"), Uint8Array.of(2)),
      store.snapshotImage("a"),
      store.deleteSnapshot("a"),
      store.snapshotImage("a"),
      store.addSnapshot(snapshot("a"), Uint8Array.of(3)),
      store.snapshotImage("a"),
    ]);
    expect(answers).toEqual([true, false, Uint8Array.of(1), true, undefined, true, Uint8Array.of(3)]);
  });

  test("refuses a page token that no store gave", async () => {
    for (const after of ["x", "1", ":a", "1:", "-1:a", "1:a\n", "1e3:a", `1:${"a".repeat(257)}`]) {
      expect(isPageToken(after)).toBe(false);
      await expect(store.sessions({ size: 1, after, labels: NONE, now: 0 })).rejects.toThrow(RangeError);
      await expect(store.snapshots({ size: 1, after, labels: NONE, now: 0 })).rejects.toThrow(RangeError);
    }
  });

  test("takes as a place in the list what lies beside every item", async () => {
    await store.putSession(session("a"), Uint8Array.of(1));
    const place = (after: string) => store.sessions({ size: 1, after, labels: NONE, now: 0 });
    expect((await place("999:zzz")).items).toHaveLength(1);
    expect((await place("1000:a")).items).toHaveLength(0);
    expect((await place(`${Number.MAX_SAFE_INTEGER}:a`)).items).toHaveLength(0);
  });

  test("does all it was asked before it closes, and nothing afterwards", async () => {
    const added = store.addSnapshot(snapshot("a"), Uint8Array.of(1));
    const read = store.snapshotImage("a");
    const closed = store.close();
    expect(await added).toBe(true);
    expect(await read).toEqual(Uint8Array.of(1));
    await closed;
    await store.close();
    const refusal = { name: "StoreError", kind: "broken", message: expect.stringContaining("closed") };
    await expect(store.addSnapshot(snapshot("b"), Uint8Array.of(1))).rejects.toMatchObject(refusal);
    await expect(store.snapshot("a")).rejects.toMatchObject(refusal);
    await expect(store.deleteSession("a")).rejects.toMatchObject(refusal);
    await expect(store.expire(1)).rejects.toMatchObject(refusal);
  });

  test("does as the plainest store there is, whatever is asked", async () => {
    const id = fc.constantFrom("a", "b", "c", "d");
    const some = fc
      .dictionary(fc.constantFrom("x", "y"), fc.constantFrom("1", "2"))
      .map((pairs) => Object.entries(pairs));
    const time = fc.integer({ min: 1, max: 5 });
    const step = fc.oneof(
      fc.record({ do: fc.constant("put" as const), id, createdAt: time, expiresAt: fc.option(time), labels: some }),
      fc.record({ do: fc.constant("delete" as const), id }),
      fc.record({ do: fc.constant("list" as const), labels: some, now: time, size: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ do: fc.constant("expire" as const), now: time }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const model = new Map<string, StoredSession>();
        for (const name of ["a", "b", "c", "d"]) await store.deleteSession(name);
        for (const what of steps) {
          if (what.do === "put") {
            const { createdAt, expiresAt } = what;
            const item = session(what.id, {
              createdAt,
              expiresAt: expiresAt ?? undefined,
              labels: labels(...what.labels),
            });
            model.set(what.id, item);
            await store.putSession(item, Uint8Array.of(createdAt));
          } else if (what.do === "delete") {
            expect(await store.deleteSession(what.id)).toBe(model.delete(what.id));
          } else if (what.do === "list") {
            const wanted = [...model.values()]
              .filter(({ expiresAt }) => expiresAt === undefined || expiresAt > what.now)
              .filter((item) => what.labels.every(([name, value]) => item.labels.get(name) === value))
              .sort((one, other) => one.createdAt - other.createdAt || (one.sessionId < other.sessionId ? -1 : 1))
              .map(({ sessionId }) => sessionId);
            const { labels: pairs, now, size } = what;
            const pages = await listed({ labels: labels(...pairs), now, size });
            expect(pages.flat()).toEqual(wanted);
            expect(pages.slice(0, -1).every((page) => page.length === size)).toBe(true);
          } else {
            const gone = [...model]
              .filter(([, { expiresAt = Infinity }]) => expiresAt <= what.now)
              .map(([name]) => name);
            for (const name of gone) model.delete(name);
            expect((await store.expire(what.now)).toSorted()).toEqual(gone.sort());
          }
        }
        for (const name of ["a", "b", "c", "d"]) expect(await store.session(name)).toEqual(model.get(name));
      }),
      { numRuns: 60 },
    );
  });
});
