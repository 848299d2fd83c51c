/** How the database answers for its transactions, with a library that fails where it is told to. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Library from "libsql";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Call } from "./calls.js";
import { Database } from "./database.js";

let directory: string;
let commits: number;
/** The code with which the next commit fails. */
let failure: string | undefined;
let database: Database;
/** The one that the database has. */
let connection: Library.Database | undefined;

class FailingLibrary extends Library {
  constructor(file: string) {
    super(file);
    connection = this;
  }

  override exec(sql: string): this {
    if (sql === "COMMIT") {
      commits++;
      const code = failure;
      failure = undefined;
      if (code !== undefined) throw Object.assign(new Error("disk I/O error"), { code });
    }
    return super.exec(sql);
  }
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "livescope-database-"));
  failure = undefined;
  database = new Database(FailingLibrary as typeof Library, directory);
  commits = 0;
});
afterEach(() => rm(directory, { recursive: true }));

function put(id: string): Call {
  const item = { sessionId: id, createdAt: 1, expiresAt: undefined, labels: new Map(), record: "", sizeBytes: 1 };
  return { name: "put", kind: "sessions", id, item, image: Uint8Array.of(1), replace: true };
}

function imageOf(id: string): Call {
  return { name: "image", kind: "sessions", id };
}

const KEPT = { value: true };
const IMAGE = { value: Uint8Array.of(1) };
const NOTHING = { value: undefined };

describe("calls that are run together", () => {
  test("share one commit", () => {
    expect(database.run([put("a"), imageOf("a"), put("b")])).toEqual([KEPT, IMAGE, KEPT]);
    expect(commits).toBe(1);
  });

  test("need none to read", () => {
    expect(database.run([imageOf("a"), imageOf("b")])).toEqual([NOTHING, NOTHING]);
    expect(commits).toBe(0);
  });

  test("share it beside a read of what is damaged, which fails alone", () => {
    database.run([put("bad")]);
    connection?.exec("UPDATE sessions_images SET image = x'00' WHERE id = 'bad'");
    commits = 0;
    const damaged = { failed: "damaged", message: expect.stringContaining("of bad of sessions is damaged") };
    expect(database.run([put("a"), imageOf("bad"), put("b"), imageOf("b")])).toEqual([KEPT, damaged, KEPT, IMAGE]);
    expect(commits).toBe(1);
  });

  test("have one each when the common one failed, and fail alone", () => {
    failure = "SQLITE_FULL";
    expect(database.run([put("a"), put("b")])).toEqual([KEPT, KEPT]);
    expect(commits).toBe(3);
  });
});

describe("a commit that fails", () => {
  test("does not count what it was to add or to delete", () => {
    const item = { createdAt: 1, expiresAt: undefined, labels: new Map(), record: "", sizeBytes: 1 };
    const add = (sessionId: string): Call => {
      return { name: "addDurable", item: { ...item, sessionId }, image: Uint8Array.of(1), owner: 1, most: 2 };
    };
    expect(database.run([add("a")])).toEqual([{ value: "added" }]);
    for (const call of [add("b"), { name: "delete", kind: "sessions", id: "a" } as const]) {
      failure = "SQLITE_FULL";
      expect(database.run([call])).toEqual([{ failed: "full", message: expect.anything() }]);
    }
    expect(database.run([{ name: "durableCount" }])).toEqual([{ value: 1 }]);
    expect(database.run([add("b"), add("c")])).toEqual([{ value: "added" }, { value: "tooMany" }]);
  });

  test.each(["SQLITE_FULL", "SQLITE_IOERR_WRITE"])(
    "for want of room (%s) changes nothing and hinders nothing",
    (code) => {
      failure = code;
      expect(database.run([put("a")])).toEqual([{ failed: "full", message: expect.stringContaining(directory) }]);
      expect(database.run([imageOf("a")])).toEqual([NOTHING]);
      expect(database.run([put("a"), imageOf("a")])).toEqual([KEPT, IMAGE]);
    },
  );

  test.each([1, 2])("in a sync is the last thing that is asked of the disk (calls at once: %i)", (count) => {
    database.run([put("old")]);
    failure = "SQLITE_IOERR_FSYNC";
    commits = 0;
    const broken = { failed: "broken", message: expect.stringContaining("look at its disk, and restart") };
    const calls = [put("a"), put("b")].slice(0, count);
    expect(database.run(calls)).toEqual(calls.map(() => broken));
    expect(database.run([imageOf("old")])).toEqual([broken]);
    expect(database.run([put("c"), imageOf("old")])).toEqual([broken, broken]);
    expect(commits).toBe(1);
  });
});
