/** Databases that earlier versions wrote: all that they hold is kept. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import Library from "libsql";
import { afterEach, beforeEach, expect, test } from "vitest";
import { wholeDurable } from "../../../test/support/whole-durable.js";
import { SqliteStore } from "./sqlite.js";
import type { StoredSession } from "./store.js";

const DURABLE_IN_2 = `
  CREATE TABLE durable (id TEXT PRIMARY KEY, owner INTEGER NOT NULL, version INTEGER NOT NULL, busy INTEGER NOT NULL) STRICT;
  CREATE INDEX durable_busy ON durable (id) WHERE busy = 1;
  CREATE TABLE durable_deltas (id TEXT NOT NULL, version INTEGER NOT NULL, delta BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (id, version)) STRICT;
  CREATE TABLE durable_outcomes (number INTEGER PRIMARY KEY, id TEXT NOT NULL, request_id TEXT NOT NULL, outcome TEXT NOT NULL,
    checksum INTEGER NOT NULL, UNIQUE (id, request_id)) STRICT;
`;
const WITHOUT_DURABLE =
  "DROP TABLE durable; DROP TABLE durable_deltas; DROP TABLE durable_outcomes; DROP TABLE durable_parts; DROP TABLE facts;";

let directory: string;
let store: SqliteStore;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "livescope-migrate-"));
  store = new SqliteStore(directory);
});
afterEach(async () => {
  await store.close();
  await rm(directory, { recursive: true });
});

function session(sessionId: string, record = "{}"): StoredSession {
  return { sessionId, createdAt: 1, expiresAt: undefined, labels: new Map(), record, sizeBytes: 1 };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Leaves a database as a version before this one would have, with these sessions and what SQL puts beside them. */
async function leave(version: number, ids: readonly string[], sql: string): Promise<void> {
  await store.open();
  for (const id of ids) await store.putSession(session(id), bytes(`image of ${id}`));
  await store.close();
  const file = new Library(join(directory, "store.db"));
  file.exec(`${WITHOUT_DURABLE} ${sql} PRAGMA user_version = ${version}`);
  file.close();
  store = new SqliteStore(directory);
}

function deltaIn2(id: string, version: number): string {
  const delta = deflateRawSync(bytes(`delta ${version} of ${id}`));
  return `INSERT INTO durable_deltas VALUES ('${id}', ${version}, x'${delta.toString("hex")}', ${crc32(delta)});`;
}

function outcomeIn2(id: string, requestId: string, checksum?: number): string {
  const outcome = `of ${requestId}`;
  return `INSERT INTO durable_outcomes (id, request_id, outcome, checksum)
    VALUES ('${id}', '${requestId}', '${outcome}', ${checksum ?? crc32(outcome)});`;
}

const OF_2 = [
  DURABLE_IN_2,
  "INSERT INTO durable VALUES ('new', 7, 0, 0), ('changed', 3, 5, 1), ('gap', 1, 3, 0), ('bad', 1, 0, 0);",
  // Written as a whole at version 2.
  ...[3, 4, 5].map((version) => deltaIn2("changed", version)),
  ...["x", "y"].map((requestId) => outcomeIn2("changed", requestId)),
  ...[1, 3].map((version) => deltaIn2("gap", version)),
  outcomeIn2("bad", "z", 1),
  "INSERT INTO durable VALUES ('no text', 1, 0, 0);",
  `INSERT INTO durable_outcomes (id, request_id, outcome, checksum) VALUES ('no text', CAST(x'ff' AS TEXT), 'o', ${crc32("o")});`,
].join("\n");

test("a database of version 2 has its durable sessions, and what was damaged is so still", async () => {
  await leave(2, ["rests", "new", "changed", "gap", "bad", "no text"], OF_2);
  expect(await wholeDurable(store, "new")).toMatchObject({ owner: 7, version: 0, deltas: [], outcomes: [] });
  const changed = await wholeDurable(store, "changed");
  expect(changed).toMatchObject({ owner: 3, version: 5, image: bytes("image of changed") });
  expect(changed?.deltas).toEqual([3, 4, 5].map((version) => bytes(`delta ${version} of changed`)));
  expect(changed?.outcomes).toEqual(["x", "y"].map((requestId) => ({ requestId, outcome: `of ${requestId}` })));
  expect(await store.busySessions()).toEqual(["changed"]);
  for (const id of ["gap", "bad", "no text"])
    await expect(store.durable(id)).rejects.toMatchObject({ kind: "damaged" });
  expect(await store.durable("rests")).toBeUndefined();
  expect(await store.sessionImage("rests")).toEqual(bytes("image of rests"));
});

test("a durable session of version 2 goes on", async () => {
  await leave(2, ["new", "changed", "gap", "bad"], OF_2);
  const next = { session: session("changed", "later"), owner: 4, version: 6, isBusy: false, delta: bytes("delta 6") };
  const outcomes = { outcomes: [{ requestId: "z", outcome: "of z" }], expired: [], forgotten: ["x"] };
  const parts = { parts: [{ key: "p", text: "part" }], dropped: [] };
  expect(await store.commit({ ...next, ...outcomes, ...parts })).toBe("kept");
  await store.close();
  store = new SqliteStore(directory);
  const found = await wholeDurable(store, "changed");
  expect(found?.outcomes.map(({ requestId }) => requestId)).toEqual(["y", "z"]);
  expect(found?.deltas.length).toBe(4);
  expect(found?.parts).toEqual([{ key: "p", text: "part" }]);
  expect(await store.rebase({ sessionId: "changed", owner: 4, version: 5, image: bytes("whole") })).toBe("kept");
  expect(await wholeDurable(store, "changed")).toMatchObject({
    version: 6,
    image: bytes("whole"),
    deltas: [bytes("delta 6")],
  });
});

test("more than are read at once are all brought along", async () => {
  const many = Array.from({ length: 2_500 }, (_, i) => outcomeIn2("new", `r${i}`));
  await leave(2, ["new"], `${DURABLE_IN_2} INSERT INTO durable VALUES ('new', 1, 0, 0); ${many.join("\n")}`);
  expect((await store.durable("new"))?.outcomes.length).toBe(2_500);
});

test("a database of version 1 has its sessions, and takes durable ones", async () => {
  await leave(1, ["rests"], "");
  expect(await store.sessionImage("rests")).toEqual(bytes("image of rests"));
  expect(await store.addDurable(session("a"), bytes("image"), 1)).toBe("added");
  expect(await store.durable("a")).toMatchObject({ owner: 1, version: 0 });
});

test("a database of version 4 has all that it held", async () => {
  await store.open();
  await store.addDurable(session("a"), bytes("image"), 1);
  const next = { session: session("a", "later"), owner: 1, version: 1, isBusy: true, delta: bytes("delta") };
  const parts = [{ key: "call c", text: "part" }];
  await store.commit({ ...next, outcomes: [], expired: [], forgotten: [], parts, dropped: [] });
  await store.close();
  const file = new Library(join(directory, "store.db"));
  file.exec("DROP TABLE facts; PRAGMA user_version = 4");
  file.close();
  store = new SqliteStore(directory);
  expect(await wholeDurable(store, "a")).toMatchObject({ version: 1, deltas: [bytes("delta")], parts });
  expect(await store.busySessions()).toEqual(["a"]);
  await store.close();
  const changed = new Library(join(directory, "store.db"), { readonly: true });
  expect(changed.prepare("PRAGMA user_version").get()).toMatchObject({ user_version: 5 });
  changed.close();
});
