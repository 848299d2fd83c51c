/** What every store keeps to for durable sessions. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { wholeDurable } from "../../../test/support/whole-durable.js";
import { MemoryStore } from "./memory.js";
import { SqliteStore } from "./sqlite.js";
import type { Store, StoredCommit, StoredOutcome, StoredSession } from "./store.js";

const STORES: readonly (readonly [name: string, make: (directory: string) => Store])[] = [
  ["memory", () => new MemoryStore()],
  ["SQLite", (directory) => new SqliteStore(join(directory, "data"))],
];

function session(sessionId: string, facts: Partial<StoredSession> = {}): StoredSession {
  const labels: ReadonlyMap<string, string> = new Map();
  return { sessionId, createdAt: 1_000, expiresAt: undefined, labels, record: "{}", sizeBytes: 3, ...facts };
}

function commit(version: number, changes: Partial<StoredCommit> = {}): StoredCommit {
  return {
    session: session("a", { record: `as of ${version}` }),
    owner: 1,
    version,
    isBusy: false,
    delta: bytes(`delta ${version}`),
    outcomes: [],
    expired: [],
    forgotten: [],
    parts: [],
    dropped: [],
    ...changes,
  };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (image: Uint8Array | undefined): string => new TextDecoder().decode(image);
const outcome = (requestId: string, of = `of ${requestId}`): StoredOutcome => ({ requestId, outcome: of });

describe.each(STORES)("durable sessions in a store (%s)", (name, make) => {
  let directory: string;
  let store: Store;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "livescope-store-"));
    store = make(directory);
  });
  afterEach(async () => {
    await store.close();
    await rm(directory, { recursive: true });
  });

  async function kept() {
    const durable = await wholeDurable(store, "a");
    if (durable === undefined) return undefined;
    const { session: told, image, deltas, ...rest } = durable;
    return { ...rest, record: told.record, image: text(image), deltas: deltas.map(text) };
  }

  test("are none at first", async () => {
    expect(await store.durable("a")).toBeUndefined();
    expect(await store.busySessions()).toEqual([]);
    expect(await store.expiredDurable(Number.MAX_SAFE_INTEGER)).toEqual([]);
    expect(await store.durableCount()).toBe(0);
    expect(await store.commit(commit(1))).toBe("refused");
    expect(await store.rebase({ sessionId: "a", owner: 1, version: 0, image: bytes("x") })).toBe("refused");
  });

  test("are kept with all their commits, in order", async () => {
    expect(await store.addDurable(session("a"), bytes("image"), 1)).toBe("added");
    expect(await kept()).toEqual({
      owner: 1,
      version: 0,
      record: "{}",
      image: "image",
      deltas: [],
      outcomes: [],
      parts: [],
    });
    expect(await store.commit(commit(1, { outcomes: [outcome("x"), outcome("y")] }))).toBe("kept");
    expect(await store.commit(commit(2, { outcomes: [outcome("z")] }))).toBe("kept");
    expect(await kept()).toEqual({
      owner: 1,
      version: 2,
      record: "as of 2",
      image: "image",
      deltas: ["delta 1", "delta 2"],
      outcomes: [outcome("x"), outcome("y"), outcome("z")],
      parts: [],
    });
    expect((await store.session("a"))?.record).toBe("as of 2");
    expect(await store.durableCount()).toBe(1);
  });

  test("are not added twice, nor in the place of one at rest", async () => {
    await store.putSession(session("rests"), bytes("rest"));
    expect(await store.addDurable(session("rests"), bytes("image"), 1)).toBe("exists");
    expect(text(await store.sessionImage("rests"))).toBe("rest");
    expect(await store.durable("rests")).toBeUndefined();
    await store.addDurable(session("a"), bytes("image"), 1);
    expect(await store.addDurable(session("a", { record: "other" }), bytes("other"), 1)).toBe("exists");
    expect(await kept()).toMatchObject({ record: "{}", image: "image" });
  });

  test("are no more than may be, also when many are added at once, and more when one is gone", async () => {
    const add = (id: string, most?: number) => store.addDurable(session(id), bytes("image"), 1, most);
    await store.putSession(session("rests"), bytes("rest"));
    expect(await Promise.all(["a", "b", "c", "a", "rests"].map((id) => add(id, 2)))).toEqual([
      "added",
      "added",
      "tooMany",
      "exists",
      "exists",
    ]);
    expect(await store.durable("c")).toBeUndefined();
    await store.deleteSession("rests");
    expect(await add("c", 2)).toBe("tooMany");
    await store.deleteSession("a");
    expect(await add("c", 2)).toBe("added");
    // What takes the place of a durable one is none.
    await store.putSession(session("b"), bytes("rest"));
    expect(await store.durableCount()).toBe(1);
    expect([await add("d", 2), await add("e", 2), await add("e")]).toEqual(["added", "tooMany", "added"]);
    expect(await store.durableCount()).toBe(3);
  });

  test.each([
    ["a version that was kept", commit(1, { delta: bytes("again") })],
    ["a version that leaves one out", commit(3)],
    ["a version before", commit(0)],
    ["an owner of before", commit(2, { owner: 1 })],
    ["an outcome that is known", commit(2, { owner: 2, outcomes: [outcome("new"), outcome("x", "another")] })],
    ["a session that is not there", commit(2, { owner: 2, session: session("b") })],
  ])("refuse %s, and nothing is changed", async (_what, refused) => {
    await store.addDurable(session("a"), bytes("image"), 1);
    await store.commit(commit(1, { owner: 2, outcomes: [outcome("x")] }));
    const before = await kept();
    expect(await store.commit(refused)).toBe("refused");
    expect(await kept()).toEqual(before);
    expect(await store.durable("b")).toBeUndefined();
    expect(await store.commit(commit(2, { owner: 2 }))).toBe("kept");
  });

  test("refuse one among many that are told at once, and keep the others", async () => {
    await store.addDurable(session("a"), bytes("image"), 1);
    await store.addDurable(session("b"), bytes("image"), 1);
    const told = [
      store.commit(commit(1, { outcomes: [outcome("x")] })),
      store.commit(commit(2, { outcomes: [outcome("x")] })),
      store.commit(commit(2, { outcomes: [outcome("y")] })),
      store.commit(commit(1, { session: session("b"), outcomes: [outcome("x")] })),
    ];
    expect(await Promise.all(told)).toEqual(["kept", "refused", "kept", "kept"]);
    expect(await kept()).toMatchObject({ version: 2, outcomes: [outcome("x"), outcome("y")] });
  });

  test("are one hand's at a time: the one before is refused once the next has written", async () => {
    await store.addDurable(session("a"), bytes("image"), 1);
    expect(await store.commit(commit(1))).toBe("kept");
    expect(await store.commit(commit(2, { owner: 2 }))).toBe("kept");
    expect(await store.commit(commit(3))).toBe("refused");
    expect(await store.rebase({ sessionId: "a", owner: 1, version: 1, image: bytes("old") })).toBe("refused");
    expect(await store.commit(commit(3, { owner: 2 }))).toBe("kept");
  });

  test("are written as a whole, and commits go on meanwhile", async () => {
    await store.addDurable(session("a"), bytes("image"), 1);
    for (const version of [1, 2, 3]) await store.commit(commit(version, { outcomes: [outcome(`r${version}`)] }));
    expect(await store.rebase({ sessionId: "a", owner: 1, version: 2, image: bytes("whole at 2") })).toBe("kept");
    expect(await kept()).toMatchObject({ version: 3, image: "whole at 2", deltas: ["delta 3"] });
    expect((await kept())?.outcomes.length).toBe(3);
    await store.commit(commit(4));
    expect(await kept()).toMatchObject({ version: 4, image: "whole at 2", deltas: ["delta 3", "delta 4"] });
    expect(await store.rebase({ sessionId: "a", owner: 1, version: 5, image: bytes("of tomorrow") })).toBe("refused");
  });

  test("keep only the ids of outcomes that have expired, and nothing of those that are forgotten", async () => {
    await store.addDurable(session("a"), bytes("image"), 1);
    await store.commit(commit(1, { outcomes: [outcome("x"), outcome("y")] }));
    await store.commit(commit(2, { expired: [outcome("x", "id only")], forgotten: ["y"] }));
    expect((await kept())?.outcomes).toEqual([outcome("x", "id only")]);
    expect(await store.commit(commit(3, { outcomes: [outcome("x")] }))).toBe("refused");
    // One that is forgotten may come again, also in the commit that forgets it.
    expect(await store.commit(commit(3, { outcomes: [outcome("y"), outcome("x")], forgotten: ["x"] }))).toBe("kept");
    expect((await kept())?.outcomes).toEqual([outcome("y"), outcome("x")]);
  });

  test("are told apart from others by labels, which may change", async () => {
    const labelled = (value: string): StoredSession => session("a", { labels: new Map([["of", value]]) });
    const find = async (value: string): Promise<number> => {
      const labels = new Map([["of", value]]);
      return (await store.sessions({ size: 10, after: "", labels, now: 0 })).items.length;
    };
    await store.addDurable(labelled("ann"), bytes("image"), 1);
    expect([await find("ann"), await find("bob")]).toEqual([1, 0]);
    await store.commit(commit(1, { session: labelled("bob") }));
    expect([await find("ann"), await find("bob")]).toEqual([0, 1]);
  });

  test("are left out of a list of others", async () => {
    await store.addDurable(session("a", { createdAt: 1 }), bytes("image"), 1);
    await store.addDurable(session("b", { createdAt: 3 }), bytes("image"), 1);
    for (const [id, createdAt] of [
      ["r", 2],
      ["s", 4],
    ] as const)
      await store.putSession(session(id, { createdAt }), bytes("rest"));
    const none: ReadonlyMap<string, string> = new Map();
    const ids = async (options: { isEphemeral?: boolean }): Promise<string[]> => {
      const page = await store.sessions({ size: 2, after: "", labels: none, now: 0, ...options });
      return page.items.map(({ sessionId }) => sessionId);
    };
    expect(await ids({})).toEqual(["a", "r"]);
    expect(await ids({ isEphemeral: true })).toEqual(["r", "s"]);
  });

  test("do not expire by themselves: whoever knows that nobody uses them deletes them", async () => {
    await store.addDurable(session("a", { expiresAt: 2_000 }), bytes("image"), 1);
    await store.addDurable(session("b", { expiresAt: 3_000 }), bytes("image"), 1);
    await store.addDurable(session("c"), bytes("image"), 1);
    await store.putSession(session("rests", { expiresAt: 2_000 }), bytes("rest"));
    expect(await store.expire(2_500)).toEqual(["rests"]);
    expect(await store.expiredDurable(2_500)).toEqual([{ sessionId: "a", expiresAt: 2_000 }]);
    await store.commit(commit(1, { session: session("a", { expiresAt: 4_000 }) }));
    expect(await store.expiredDurable(2_500)).toEqual([]);
    expect((await store.expiredDurable(5_000)).map(({ sessionId }) => sessionId)).toEqual(["b", "a"]);
    expect(await store.deleteSession("a")).toBe(true);
    expect(await store.durable("a")).toBeUndefined();
    expect(await store.commit(commit(2))).toBe("refused");
    expect(await store.durableCount()).toBe(2);
  });

  test("are deleted as expired only while they are so", async () => {
    await store.addDurable(session("a", { expiresAt: 2_000 }), bytes("image"), 1);
    await store.addDurable(session("never"), bytes("image"), 1);
    expect(await store.deleteExpired("a", 1_999)).toBe(false);
    const told = [
      store.commit(commit(1, { session: session("a", { expiresAt: 4_000 }) })),
      store.deleteExpired("a", 2_500),
      store.deleteExpired("never", 2_500),
      store.deleteExpired("none", 2_500),
    ];
    expect(await Promise.all(told)).toEqual(["kept", false, false, false]);
    expect(await kept()).toMatchObject({ version: 1 });
    expect(await store.deleteExpired("a", 4_000)).toBe(true);
    expect([await store.session("a"), await store.durable("a")]).toEqual([undefined, undefined]);
    expect(await store.deleteExpired("a", 4_000)).toBe(false);
  });

  test("that have expired are all found, a part at a time, by when they did and then by id", async () => {
    const ids = Array.from({ length: 1_300 }, (_, i) => `s${String(i).padStart(4, "0")}`);
    // Many at the same moment: the place between two of them is told by the id.
    const expiresAt = (i: number): number => 1_000 + Math.floor(i / 900);
    await Promise.all(ids.map((id, i) => store.addDurable(session(id, { expiresAt: expiresAt(i) }), bytes("i"), 1)));
    await store.addDurable(session("later", { expiresAt: 3_000 }), bytes("i"), 1);
    await store.putSession(session("rests", { expiresAt: 1_000 }), bytes("i"));
    const found: string[] = [];
    for (let page = await store.expiredDurable(2_000); page.length > 0; ) {
      found.push(...page.map(({ sessionId }) => sessionId));
      page = await store.expiredDurable(2_000, page.at(-1));
    }
    expect(found).toEqual(ids);
  });

  test("leave nothing behind when they are deleted: another of the same id begins anew", async () => {
    await store.addDurable(session("a"), bytes("image"), 1);
    await store.commit(commit(1, { isBusy: true, outcomes: [outcome("x")] }));
    await store.deleteSession("a");
    expect(await store.busySessions()).toEqual([]);
    await store.addDurable(session("a"), bytes("new"), 1);
    expect(await kept()).toEqual({
      owner: 1,
      version: 0,
      record: "{}",
      image: "new",
      deltas: [],
      outcomes: [],
      parts: [],
    });
    expect(await store.commit(commit(1, { outcomes: [outcome("x")] }))).toBe("kept");
  });

  test("take nothing that is told of one of the same id that was deleted", async () => {
    await store.addDurable(session("a"), bytes("old"), 1);
    await store.commit(commit(1));
    await store.deleteSession("a");
    await store.addDurable(session("a"), bytes("new"), 70);
    await store.commit(commit(1, { owner: 70 }));
    expect(await store.rebase({ sessionId: "a", owner: 1, version: 1, image: bytes("old at 1") })).toBe("refused");
    expect(await store.commit(commit(2, { owner: 1 }))).toBe("refused");
    expect(await kept()).toMatchObject({ owner: 70, version: 1, image: "new", deltas: ["delta 1"] });
  });

  test("are known to be in the middle of something", async () => {
    await store.addDurable(session("a"), bytes("image"), 1);
    await store.commit(commit(1, { isBusy: true }));
    expect(await store.busySessions()).toEqual(["a"]);
    await store.commit(commit(2));
    expect(await store.busySessions()).toEqual([]);
  });

  test("keep deltas of any bytes", async () => {
    await store.addDurable(session("a"), bytes("image"), 1);
    let version = 0;
    const all: number[][] = [];
    const keeps = fc.asyncProperty(fc.uint8Array({ maxLength: 5_000 }), async (delta) => {
      all.push([...delta]);
      expect(await store.commit(commit(++version, { delta }))).toBe("kept");
    });
    await fc.assert(keeps, { numRuns: 30 });
    expect((await wholeDurable(store, "a"))?.deltas.map((delta) => [...delta])).toEqual(all);
  });

  test("keep their parts until these are dropped, and put one in the place of another", async () => {
    const part = (key: string, of = `of ${key}`) => ({ key, text: of });
    await store.addDurable(session("a"), bytes("image"), 1);
    await store.addDurable(session("b"), bytes("image"), 1);
    await store.commit(commit(1, { session: session("b"), parts: [part("x", "other's")] }));
    await store.commit(commit(1, { parts: [part("x"), part("y"), part("z")] }));
    await store.commit(commit(2, { parts: [part("z", "new"), part("w")], dropped: ["x", "never there"] }));
    expect(await store.commit(commit(2, { parts: [part("refused")], dropped: ["y"] }))).toBe("refused");
    const parts = (await kept())?.parts ?? [];
    expect(new Map(parts.map(({ key, text: of }) => [key, of]))).toEqual(
      new Map([
        ["w", "of w"],
        ["y", "of y"],
        ["z", "new"],
      ]),
    );
    await store.deleteSession("a");
    await store.addDurable(session("a"), bytes("image"), 2);
    expect(await kept()).toMatchObject({ parts: [] });
    expect((await store.durable("b"))?.parts).toEqual([part("x", "other's")]);
  });

  test("keep large deltas in their order, and those that were told before the store is closed", async () => {
    await store.addDurable(session("a"), bytes("image"), 1);
    await store.addDurable(session("b"), bytes("image"), 1);
    const large = (seed: number) => Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * i * seed) >>> 7);
    expect(await store.commit(commit(1, { delta: large(1) }))).toBe("kept");
    expect(await store.commit(commit(2))).toBe("kept");
    const last = store.commit(commit(3, { delta: large(3), parts: [{ key: "x", text: "part" }] }));
    // Others do not wait for it to be packed, and it takes effect all the same.
    expect(await store.commit(commit(1, { session: session("b") }))).toBe("kept");
    if (name === "SQLite") {
      const closed = store.close();
      expect(await last).toBe("kept");
      await closed;
      store = make(directory);
    }
    expect(await last).toBe("kept");
    const durable = await wholeDurable(store, "a");
    const expected = [large(1), bytes("delta 2"), large(3)];
    expect(durable?.deltas.map((delta, i) => Buffer.compare(delta, expected[i] ?? delta))).toEqual([0, 0, 0]);
    expect(durable?.parts).toEqual([{ key: "x", text: "part" }]);
  });

  test("take a large commit before what is told of them after it", async () => {
    const large = (seed: number) => Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * i * seed) >>> 7);
    await store.addDurable(session("a"), bytes("image"), 1);
    const told = [
      store.commit(commit(1, { owner: 10, delta: large(1) })),
      store.commit(commit(2, { owner: 10, delta: large(2) })),
      store.commit(commit(3, { owner: 10 })),
      store.deleteSession("a"),
      store.addDurable(session("a"), bytes("new"), 5),
    ];
    expect(await Promise.all(told)).toEqual(["kept", "kept", "kept", true, "added"]);
    expect(await kept()).toMatchObject({ owner: 5, version: 0, image: "new", deltas: [] });
  });

  test.runIf(name === "SQLite")("are there when the store is opened again", async () => {
    await store.addDurable(session("a"), bytes("image"), 1);
    await store.commit(commit(1, { isBusy: true, outcomes: [outcome("x")] }));
    const before = await kept();
    await store.close();
    store = make(directory);
    expect(await kept()).toEqual(before);
    expect(await store.busySessions()).toEqual(["a"]);
    expect(await store.commit(commit(2, { owner: 2 }))).toBe("kept");
  });
});
