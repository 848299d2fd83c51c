/** The SQLite database of a data directory. Synchronous: it runs on a thread of its own (thread.ts). */
import { chmodSync, closeSync, openSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type Library from "libsql";
import type { Answer, Call, Calls, Failure, Kind, StoredItem } from "./calls.js";
import { bytes, number, textOf } from "./columns.js";
import { DATABASE_FILE, fileFailure } from "./directory.js";
import { DURABLE_SCHEMA, DurableTables } from "./durable-tables.js";
import { FACTS_SCHEMA, Facts } from "./facts.js";
import { migrate, VERSION } from "./migrate.js";
import { OpenedFiles } from "./opened-files.js";
import { type PageOptions, pageToken, placeOf, StoreError } from "./store.js";

type Connection = Library.Database;
type Statement = Library.Statement;

/** "lvsc": tells our files from those of other programs. */
const APPLICATION = 0x6c767363;
const EXPIRED_AT_ONCE = 500;
/** Items of one label that are counted to find the rarest of several. */
const COUNTED = 5_000;
/** Pages to give back to the file system at once, and the share of unused pages that is kept for what comes. */
const PAGES_GIVEN_BACK = 256;
const UNUSED_SHARE = 0.25;

/** Calls that need a transaction. */
const WRITING: ReadonlySet<Call["name"]> = new Set([
  "put",
  "delete",
  "deleteExpired",
  "expire",
  "addDurable",
  "commit",
  "rebase",
  "noteKey",
]);
/** Of the deletions of an item, that of its labels. */
const LABELS = 2;

/** Where it is so already, to ask for it is a write, for which a full disk has no room. */
const FOR_EMPTY = "auto_vacuum = INCREMENTAL";
const PRAGMAS = [
  // The lock of the data directory: the operating system drops it when the process ends, however that ends.
  "locking_mode = EXCLUSIVE",
  FOR_EMPTY,
  "journal_mode = WAL",
  "synchronous = FULL",
  "journal_size_limit = 16777216",
  "cache_size = -16384",
  "cell_size_check = ON",
  "trusted_schema = OFF",
];

/** What SQL looks at has columns; `facts` is the whole item as JSON. Images apart, so that a page of a list passes none. */
const schemaOf = (kind: Kind): string => `
  CREATE TABLE ${kind} (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, expires_at INTEGER, facts TEXT NOT NULL,
    checksum INTEGER NOT NULL) STRICT;
  CREATE INDEX ${kind}_by_age ON ${kind} (created_at, id);
  CREATE INDEX ${kind}_by_expiry ON ${kind} (expires_at) WHERE expires_at IS NOT NULL;
  CREATE TABLE ${kind}_images (id TEXT PRIMARY KEY, image BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
  CREATE TABLE ${kind}_labels (name TEXT NOT NULL, value TEXT NOT NULL, created_at INTEGER NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (name, value, created_at, id)) STRICT, WITHOUT ROWID;
  CREATE INDEX ${kind}_labels_by_id ON ${kind}_labels (id);
`;

const KEY_ID = "key id";

interface ItemRow {
  readonly facts: ArrayBuffer;
  readonly checksum: number;
}

interface PageRow extends ItemRow {
  readonly id: ArrayBuffer;
  readonly createdAt: number;
}

export class Database {
  readonly #connection: Connection;
  readonly #file: string;
  readonly #shelves: Readonly<Record<Kind, Shelf>>;
  readonly #durable: DurableTables;
  readonly #facts: Facts;
  /** What is written lies in these, as long as they are where they were, and what they were. */
  readonly #files: OpenedFiles;
  /** The disk may have lost what was written; only reading it afresh tells. */
  #broken: StoreError | undefined;

  /**
   * Opens the database of a directory that is there, makes it where there is none, and locks it.
   *
   * @param keyId is noted in one that is made
   * @throws StoreError
   */
  constructor(library: typeof Library, directory: string, keyId?: string) {
    this.#file = join(directory, DATABASE_FILE);
    let isEmpty: boolean;
    try {
      // SQLite gives its other files the mode of this one.
      make(this.#file);
      const found = statSync(this.#file);
      if (!found.isFile()) throw noFile(this.#file);
      isEmpty = found.size === 0;
      chmodSync(this.#file, 0o600);
    } catch (error) {
      throw error instanceof StoreError ? error : fileFailure(error, this.#file);
    }
    try {
      this.#connection = new library(this.#file);
      for (const pragma of PRAGMAS)
        if (isEmpty || pragma !== FOR_EMPTY) this.#connection.prepare(`PRAGMA ${pragma}`).all();
      const isNew = this.#adopt();
      // SQLite has its log beside the file itself, also where ours is a link to one.
      const paths = [this.#file, `${realpathSync(this.#file)}-wal`];
      this.#files = new OpenedFiles(paths);
      this.#shelves = {
        snapshots: new Shelf(this.#connection, "snapshots", this.#file),
        sessions: new Shelf(this.#connection, "sessions", this.#file),
      };
      this.#durable = new DurableTables(this.#connection, this.#shelves.sessions, this.#file);
      this.#facts = new Facts(this.#connection);
      if (isNew && keyId !== undefined) this.#facts.put(KEY_ID, keyId);
    } catch (error) {
      throw this.#failureOf(error);
    }
  }

  /** Makes the tables of a new file; refuses one that is not ours, or of a later version. @returns whether it was new */
  #adopt(): boolean {
    const application = this.#number("application_id");
    const version = this.#number("user_version");
    if (application === APPLICATION && version === VERSION) return false;
    if (application === APPLICATION && transaction(this.#connection, () => migrate(this.#connection, version)))
      return false;
    if (application === APPLICATION && version > VERSION) {
      const what = `was written by a later version of livescope (its format is ${version}, this one knows ${VERSION})`;
      throw new StoreError(
        "broken",
        `${this.#file} ${what}; start that version, or name another directory with --data`,
      );
    }
    if (application !== 0 || this.#number("schema_version") !== 0) {
      throw new StoreError(
        "broken",
        `${this.#file} is a database of another program; name another directory with --data`,
      );
    }
    transaction(this.#connection, () => {
      this.#connection.exec(`${schemaOf("snapshots")} ${schemaOf("sessions")} ${DURABLE_SCHEMA} ${FACTS_SCHEMA}`);
      this.#connection.exec(`PRAGMA application_id = ${APPLICATION}; PRAGMA user_version = ${VERSION}`);
    });
    return true;
  }

  /** Does all these calls in one transaction, in their order. One that fails changes nothing, and fails alone. */
  run(calls: readonly Call[]): readonly Answer[] {
    if (this.#broken === undefined && calls.length > 1 && calls.some(isWriting)) {
      try {
        return this.#transaction(() => calls.map((call) => this.#amongOthers(call)));
      } catch (error) {
        this.#failureOf(error);
        // Which of them failed shows when each has a transaction of its own.
      }
    }
    return calls.map((call) => this.#alone(call));
  }

  /** @throws what undoes the transaction: what a read meets, does not, so that others go on sharing a sync beside what is damaged */
  #amongOthers(call: Call): Answer {
    try {
      return { value: this.#do(call) };
    } catch (error) {
      const failed = this.#failed(error);
      if (isWriting(call) || this.#broken !== undefined || !this.#connection.inTransaction) throw error;
      return failed;
    }
  }

  #alone(call: Call): Answer {
    if (this.#broken !== undefined) return { failed: this.#broken.kind, message: this.#broken.message };
    try {
      return { value: isWriting(call) ? this.#transaction(() => this.#do(call)) : this.#do(call) };
    } catch (error) {
      return this.#failed(error);
    }
  }

  #failed(error: unknown): Failure {
    const { kind, message } = this.#failureOf(error);
    return { failed: kind, message };
  }

  #do(call: Call): Calls[keyof Calls]["answers"] {
    switch (call.name) {
      case "put":
        if (call.kind === "sessions" && call.replace) this.#durable.delete(call.id);
        return this.#shelves[call.kind].put(call);
      case "item":
        return this.#shelves[call.kind].item(call.id);
      case "image":
        return this.#shelves[call.kind].image(call.id);
      case "page":
        return this.#shelves[call.kind].page(call.options);
      case "delete":
        return call.kind === "sessions" ? this.#deleteSession(call.id) : this.#shelves.snapshots.delete(call.id);
      case "addDurable":
        return this.#durable.add(call.item, call.image, call.owner, call.most);
      case "commit":
        return this.#durable.commit(call);
      case "rebase":
        return this.#durable.rebase(call.base);
      case "durable":
        return this.#durable.load(call.id);
      case "expiredDurable":
        return this.#durable.expired(call.now, call.after);
      case "deleteExpired":
        return this.#shelves.sessions.hasExpired(call.id, call.now) && this.#deleteSession(call.id);
      case "busySessions":
        return this.#durable.busy();
      case "durableCount":
        return this.#durable.count();
      case "expire":
        return this.#expire(call.now);
      case "keyId":
        return this.#facts.get(KEY_ID);
      case "noteKey":
        return this.#facts.put(KEY_ID, call.keyId);
    }
  }

  #deleteSession(id: string): boolean {
    this.#durable.delete(id);
    return this.#shelves.sessions.delete(id);
  }

  #expire(now: number): Calls["expire"]["answers"] {
    const snapshots = this.#shelves.snapshots.expire(now);
    const sessions = this.#shelves.sessions.expire(now);
    const more = Math.max(snapshots.length, sessions.length) === EXPIRED_AT_ONCE;
    if (!more && this.#number("freelist_count") > this.#number("page_count") * UNUSED_SHARE + PAGES_GIVEN_BACK) {
      this.#connection.exec(`PRAGMA incremental_vacuum(${PAGES_GIVEN_BACK})`);
    }
    return { sessions, more };
  }

  #transaction<T>(work: () => T): T {
    const { size } = this.#durable;
    try {
      const result = transaction(this.#connection, work);
      this.#checkFiles();
      return result;
    } catch (error) {
      this.#durable.size = size;
      throw error;
    }
  }

  /** What is in a file that nobody finds any more is not kept. SQLite does not look. @throws StoreError */
  #checkFiles(): void {
    const { lost } = this.#files;
    if (lost === undefined) return;
    const advice = "stop the server, put back what was there, or a backup, and start it again";
    this.#broken = new StoreError("broken", `${lost} was removed or replaced while the server ran; ${advice}`);
    throw this.#broken;
  }

  #number(pragma: string): number {
    const row = this.#connection.prepare(`PRAGMA ${pragma}`).all()[0] as Readonly<Record<string, number>>;
    return row[pragma] ?? 0;
  }

  #failureOf(error: unknown): StoreError {
    if (error instanceof StoreError) return error;
    const { code = "", message } = error as { code?: string; message: string };
    const file = this.#file;
    if (code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED")) {
      const advice = "stop that one, or give this one a directory of its own with --data";
      return new StoreError("busy", `another livescope server uses ${file}; ${advice}`);
    }
    if (code === "SQLITE_FULL")
      return new StoreError("full", `there is no room to write ${file}; free some and try again`);
    // Beyond a quota, or beyond what a file may have; what was written is rolled back.
    if (code === "SQLITE_IOERR_WRITE") {
      return new StoreError("full", `${file} cannot grow; look at disk quotas and limits of file size, and try again`);
    }
    if (code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB") {
      const advice = "stop the server, and put a backup in its place or move it away";
      return new StoreError("broken", `${file} is damaged (${message}); ${advice}`);
    }
    if (!code.startsWith("SQLITE_"))
      return new StoreError("broken", `the store failed by a fault of its own: ${message}`);
    const failure = new StoreError(
      "broken",
      `${file} cannot be used (${code} ${message}); look at its disk, and restart`,
    );
    if (code.startsWith("SQLITE_IOERR")) this.#broken = failure;
    return failure;
  }
}

/** The tables of one kind of item. */
export class Shelf {
  readonly #connection: Connection;
  readonly #kind: Kind;
  readonly #file: string;
  readonly #has: Statement;
  readonly #hasExpired: Statement;
  readonly #insert: Statement;
  readonly #insertImage: Statement;
  readonly #insertLabel: Statement;
  readonly #item: Statement;
  readonly #image: Statement;
  readonly #expired: Statement;
  readonly #count: Statement;
  readonly #update: Statement;
  readonly #updateImage: Statement;
  readonly #labels: Statement;
  readonly #deletions: readonly Statement[];
  /** By the number of labels to look for, and whether durable sessions are left out. */
  readonly #pages = new Map<string, Statement>();

  constructor(connection: Connection, kind: Kind, file: string) {
    this.#connection = connection;
    this.#kind = kind;
    this.#file = file;
    this.#has = connection.prepare(`SELECT 1 FROM ${kind} WHERE id = ?`);
    this.#hasExpired = connection.prepare(`SELECT 1 FROM ${kind} WHERE id = ? AND expires_at <= ?`);
    this.#insert = connection.prepare(`INSERT INTO ${kind} VALUES (?, ?, ?, ?, ?)`);
    this.#insertImage = connection.prepare(`INSERT INTO ${kind}_images VALUES (?, ?, ?)`);
    this.#insertLabel = connection.prepare(`INSERT INTO ${kind}_labels VALUES (?, ?, ?, ?)`);
    const checksum = number("checksum");
    this.#item = connection.prepare(`SELECT ${bytes("facts")}, ${checksum} FROM ${kind} WHERE id = ?`);
    this.#image = connection.prepare(`SELECT ${bytes("image")}, ${checksum} FROM ${kind}_images WHERE id = ?`);
    // Whether somebody uses a durable session is not known here.
    const isMeant = kind === "sessions" ? "AND id NOT IN (SELECT id FROM durable)" : "";
    this.#expired = connection.prepare(
      `SELECT ${bytes("id")} FROM ${kind} WHERE expires_at <= ? ${isMeant} LIMIT ${EXPIRED_AT_ONCE}`,
    );
    this.#count = connection.prepare(
      `SELECT count(*) AS count FROM (SELECT 1 FROM ${kind}_labels WHERE name = ? AND value = ? LIMIT ${COUNTED})`,
    );
    this.#update = connection.prepare(`UPDATE ${kind} SET expires_at = ?, facts = ?, checksum = ? WHERE id = ?`);
    this.#updateImage = connection.prepare(`UPDATE ${kind}_images SET image = ?, checksum = ? WHERE id = ?`);
    const label = [bytes("name"), bytes("value")];
    this.#labels = connection.prepare(`SELECT ${label} FROM ${kind}_labels WHERE id = ?`);
    this.#deletions = [kind, `${kind}_images`, `${kind}_labels`].map((table) =>
      connection.prepare(`DELETE FROM ${table} WHERE id = ?`),
    );
  }

  put({ id, item, image, replace }: Calls["put"]["asks"]): boolean {
    if (replace) this.delete(id);
    else if (this.has(id)) return false;
    const { createdAt, expiresAt = null, labels } = item;
    const facts = factsOf(item);
    this.#insert.run(id, createdAt, expiresAt, facts, crc32(facts));
    this.#insertImage.run(id, image, crc32(image));
    for (const [name, value] of labels) this.#insertLabel.run(name, value, createdAt, id);
    return true;
  }

  has(id: string): boolean {
    return this.#has.all(id).length > 0;
  }

  /** What is told of one that is here, without its image. */
  update(id: string, item: StoredItem): void {
    const facts = factsOf(item);
    this.#update.run(item.expiresAt ?? null, facts, crc32(facts), id);
    const known = this.#labels.all(id) as { name: ArrayBuffer; value: ArrayBuffer }[];
    const isSame = (label: { name: ArrayBuffer; value: ArrayBuffer }): boolean =>
      item.labels.get(textOf(label.name)) === textOf(label.value);
    const hasSame = known.length === item.labels.size && known.every(isSame);
    if (hasSame) return;
    this.#deletions[LABELS]?.run(id);
    for (const [name, value] of item.labels) this.#insertLabel.run(name, value, item.createdAt, id);
  }

  /** The image of one that is here. */
  updateImage(id: string, image: Uint8Array): void {
    this.#updateImage.run(image, crc32(image), id);
  }

  item(id: string): StoredItem | undefined {
    const row = this.#item.all(id)[0] as ItemRow | undefined;
    return row === undefined ? undefined : this.#parse(id, row);
  }

  image(id: string): Uint8Array<ArrayBuffer> | undefined {
    const row = this.#image.all(id)[0] as { image: ArrayBuffer; checksum: number } | undefined;
    if (row === undefined) return undefined;
    const image = new Uint8Array(row.image);
    if (crc32(image) !== row.checksum) throw this.#damaged(id);
    return image;
  }

  page({ size, after, labels, now, isEphemeral = false }: PageOptions): Calls["page"]["answers"] {
    const { createdAt, id } = placeOf(after);
    const statement = this.#pageStatement(labels.size, isEphemeral);
    // One more than asked for tells whether this is the last page.
    const rows = statement.all(...this.#rarestFirst(labels).flat(), createdAt, id, now, size + 1) as PageRow[];
    const last = rows.length > size ? rows[size - 1] : undefined;
    const items = rows.slice(0, size).map((row) => this.#parse(textOf(row.id), row));
    return { items, next: last === undefined ? "" : pageToken({ createdAt: last.createdAt, id: textOf(last.id) }) };
  }

  /** The first of them is the one whose items are walked. */
  #rarestFirst(labels: ReadonlyMap<string, string>): readonly [name: string, value: string][] {
    if (labels.size < 2) return [...labels];
    const counted = [...labels].map((label) => {
      const [row] = this.#count.all(...label) as { count: number }[];
      return { label, count: row?.count ?? 0 };
    });
    return counted.sort((one, other) => one.count - other.count).map(({ label }) => label);
  }

  /** With labels, the index of the labels gives the order, and the items are looked up only where all of them match. */
  #pageStatement(labels: number, isEphemeral: boolean): Statement {
    const key = `${labels} ${isEphemeral}`;
    const known = this.#pages.get(key);
    if (known !== undefined) return known;
    const kind = this.#kind;
    const tables: string[] = [];
    const conditions: string[] = [];
    if (labels > 0) {
      tables.push(`${kind}_labels AS l0`);
      conditions.push("l0.name = ? AND l0.value = ?", "item.id = l0.id");
    }
    const isSame = "name = ? AND value = ? AND created_at = l0.created_at AND id = l0.id";
    for (let at = 1; at < labels; at++) conditions.push(`EXISTS (SELECT 1 FROM ${kind}_labels WHERE ${isSame})`);
    if (isEphemeral) conditions.push("item.id NOT IN (SELECT id FROM durable)");
    const leading = labels > 0 ? "l0" : "item";
    const sql = `
      SELECT ${[bytes("item.id", "id"), number("item.created_at", "createdAt"), bytes("facts"), number("checksum")]}
      FROM ${[...tables, `${kind} AS item`].join(" CROSS JOIN ")}
      WHERE ${[...conditions, `(${leading}.created_at, ${leading}.id) > (?, ?)`].join(" AND ")}
        AND (expires_at IS NULL OR expires_at > ?)
      ORDER BY ${leading}.created_at, ${leading}.id LIMIT ?`;
    const statement = this.#connection.prepare(sql);
    this.#pages.set(key, statement);
    return statement;
  }

  delete(id: string): boolean {
    const [first] = this.#deletions.map((deletion) => deletion.run(id).changes);
    return first === 1;
  }

  hasExpired(id: string, now: number): boolean {
    return this.#hasExpired.all(id, now).length > 0;
  }

  /** Ids of what was deleted. */
  expire(now: number): string[] {
    const ids = (this.#expired.all(now) as { id: ArrayBuffer }[]).map(({ id }) => textOf(id));
    for (const id of ids) this.delete(id);
    return ids;
  }

  #parse(id: string, { facts, checksum }: ItemRow): StoredItem {
    const text = textOf(facts);
    if (crc32(text) !== checksum) throw this.#damaged(id);
    const item = JSON.parse(text) as StoredItem & { labels: [string, string][] };
    return { ...item, expiresAt: item.expiresAt, labels: new Map(item.labels) };
  }

  #damaged(id: string): StoreError {
    const advice = "delete that one; if there are more, put a backup in the file's place";
    return new StoreError("damaged", `what ${this.#file} holds of ${id} of ${this.#kind} is damaged; ${advice}`);
  }
}

function transaction<T>(connection: Connection, work: () => T): T {
  connection.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    connection.exec("COMMIT");
    return result;
  } catch (error) {
    if (connection.inTransaction) connection.exec("ROLLBACK");
    throw error;
  }
}

function factsOf(item: StoredItem): string {
  return JSON.stringify({ ...item, labels: [...item.labels] });
}

/** Makes an empty file. One that is there is not even opened: closing it would drop the lock of another store of this process. */
function make(file: string): void {
  try {
    closeSync(openSync(file, "ax", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

function noFile(file: string): StoreError {
  const advice = "move it away, or name another directory with --data";
  return new StoreError("broken", `${file} is not a file, and cannot be the database; ${advice}`);
}

function isWriting({ name }: Call): boolean {
  return WRITING.has(name);
}
