/** Durable sessions in a database of which bytes were changed beneath SQLite, which has no checksums of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Library from "libsql";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isLong } from "../../../test/support/is-long.js";
import { type WholeDurable, wholeDurable } from "../../../test/support/whole-durable.js";
import { SqliteStore } from "./sqlite.js";
import { type Store, type StoredSession, StoreError } from "./store.js";

/** Bytes. A prime, so that all kinds of bytes are met. */
const FLIPPED_EVERY = isLong ? 5 : 101;
const FLIPPING = 300_000;
/** Of a file of SQLite: where the size of its pages is told. */
const SIZE_AT = 16;
/** Of a page: where its cells begin is told here, and, from there on, where each of them is. */
const CELLS_AT = 5;
const POINTERS_AT = 8;

const DELTAS = "sqlite_autoindex_durable_deltas_1";
const TABLES = [
  "sessions",
  "sqlite_autoindex_sessions_1",
  "sessions_images",
  "durable",
  "sqlite_autoindex_durable_1",
  "durable_deltas",
  DELTAS,
  "durable_outcomes",
  "sqlite_autoindex_durable_outcomes_1",
  "durable_parts",
  "sqlite_autoindex_durable_parts_1",
];
const IDS = ["session-a", "session-b"];

let directory: string;
let file: string;
let store: Store | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "livescope-damage-"));
  file = join(directory, "store.db");
});
afterEach(async () => {
  await store?.close();
  rmSync(directory, { recursive: true });
});

async function use<T>(work: (opened: Store) => Promise<T>): Promise<T> {
  const opened = new SqliteStore(directory);
  store = opened;
  try {
    return await work(opened);
  } finally {
    await opened.close();
  }
}

function session(sessionId: string): StoredSession {
  return { sessionId, createdAt: 1, expiresAt: 5, labels: new Map(), record: sessionId, sizeBytes: 1 };
}

function bytes(...of: readonly (string | number)[]): Uint8Array {
  return new TextEncoder().encode(of.join(" "));
}

/** Two sessions that are alike, so that what is taken for the other's has nothing else that would give it away. */
async function fill(): Promise<void> {
  await use(async (opened) => {
    for (const id of IDS) {
      await opened.addDurable(session(id), bytes("image of", id), 1);
      for (let version = 1; version <= 6; version++) {
        const outcomes = version > 4 ? [] : [{ requestId: `r${version}`, outcome: `${version} of ${id}` }];
        const [forgotten, expired] = version === 6 ? [["r1"], [{ requestId: "r2", outcome: "gone" }]] : [[], []];
        const delta = bytes("delta", version, id);
        const ids = { session: session(id), owner: 1, version, isBusy: true };
        const parts = [{ key: `p${version}`, text: `part ${version} of ${id}` }];
        const changes = { delta, outcomes, expired, forgotten, parts, dropped: [`p${version - 2}`] };
        expect(await opened.commit({ ...ids, ...changes })).toBe("kept");
      }
      expect(await opened.rebase({ sessionId: id, owner: 1, version: 2, image: bytes("whole", id) })).toBe("kept");
    }
  });
}

function loaded(): Promise<(WholeDurable | undefined)[]> {
  return use((opened) => Promise.all(IDS.map((id) => wholeDurable(opened, id))));
}

/** What is told of a session tells which parts there are, so whoever reads it notices where one is lost. */
function expectSound({ parts, ...found }: WholeDurable, expected: WholeDurable | undefined): void {
  const { parts: all = [], ...rest } = expected ?? {};
  expect(found).toEqual(rest);
  expect(all).toEqual(expect.arrayContaining([...parts]));
}

/** Where the page of a table or an index begins, and where it ends. */
async function placeOf(part: string): Promise<[start: number, end: number]> {
  // A prepared statement holds the lock of the file until it is collected.
  const copy = `${file}-copy`;
  await copyFile(file, copy);
  const [found] = new Library(copy).prepare("SELECT rootpage AS page FROM sqlite_schema WHERE name = ?").all(part);
  const { page } = found as { page: number };
  const size = (await readFile(file)).readUInt16BE(SIZE_AT);
  return [(page - 1) * size, page * size];
}

test("one whose first changes an index has lost is refused", async () => {
  await fill();
  const database = await readFile(file);
  const page = database.subarray(...(await placeOf(DELTAS)));
  const at = page.indexOf("session-a", page.readUInt16BE(POINTERS_AT));
  page[at] = (page[at] ?? 0) ^ 1;
  await writeFile(file, database);
  await use(async (opened) => {
    await expect(opened.durable("session-a")).rejects.toMatchObject({
      kind: "damaged",
      message: expect.stringMatching(/durable session session-a is damaged; delete that one/),
    });
    expect((await wholeDurable(opened, "session-b"))?.deltas.length).toBe(4);
    expect(await opened.deleteSession("session-a")).toBe(true);
  });
});

test.each(TABLES)(
  "any byte of %s may change: what is given is right, or there is none",
  async (part) => {
    await fill();
    const sound = await readFile(file);
    const expected = await loaded();
    let refused = 0;
    const wrong: unknown[] = [];
    const [start, end] = await placeOf(part);
    for (let at = start + sound.readUInt16BE(start + CELLS_AT); at < end; at += FLIPPED_EVERY) {
      const flipped = Buffer.from(sound);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      await writeFile(file, flipped);
      await use(async (opened) => {
        const ask = async <T>(question: Promise<T>, check: (answer: T) => void = () => undefined): Promise<void> => {
          try {
            check(await question);
          } catch (error) {
            if (error instanceof StoreError && ["damaged", "broken"].includes(error.kind)) refused++;
            else wrong.push(error);
          }
        };
        for (const [i, id] of IDS.entries()) {
          await ask(wholeDurable(opened, id), (found) => {
            if (found === undefined) refused++;
            else expectSound(found, expected[i]);
          });
        }
        // What is told of many need not be whole; it ends nobody's process.
        await ask(opened.sessions({ size: 10, after: "", labels: new Map(), now: 0 }));
        await ask(opened.expiredDurable(Number.MAX_SAFE_INTEGER));
        await ask(opened.busySessions());
      });
    }
    expect(wrong).toEqual([]);
    expect(refused).toBeGreaterThan(0);
  },
  FLIPPING,
);
