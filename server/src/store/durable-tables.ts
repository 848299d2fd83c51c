/** The tables of durable sessions: how their images have changed since they were whole, and what they have answered. */
import type Library from "libsql";
import type { Calls, PackedDurable, StoredItem } from "./calls.js";
import { checksumOf } from "./checksums.js";
import { bytes, number, textOf } from "./columns.js";
import { packed } from "./packing.js";
import {
  type AddAnswer,
  type CommitAnswer,
  type ExpiredSession,
  type Ownership,
  type StoredBase,
  type StoredOutcome,
  type StoredPart,
  type StoredSession,
  StoreError,
} from "./store.js";

type Statement = Library.Statement;

const EXPIRED_AT_ONCE = 500;
const BEFORE_ALL: ExpiredSession = { sessionId: "", expiresAt: Number.MIN_SAFE_INTEGER };

export const PARTS_SCHEMA = `
  CREATE TABLE durable_parts (id TEXT NOT NULL, key TEXT NOT NULL, part TEXT NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (id, key)) STRICT;
`;

/**
 * What is told of the sessions, and what they were when they were whole, stands in the tables of all sessions. `base` is the version of
 * that image, and `outcomes` how many there are: where rows were lost, that is how it is noticed.
 */
export const DURABLE_SCHEMA = `
  CREATE TABLE durable (id TEXT PRIMARY KEY, owner INTEGER NOT NULL, version INTEGER NOT NULL, busy INTEGER NOT NULL,
    base INTEGER NOT NULL, outcomes INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT;
  CREATE INDEX durable_busy ON durable (id) WHERE busy = 1;
  CREATE TABLE durable_deltas (id TEXT NOT NULL, version INTEGER NOT NULL, delta BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (id, version)) STRICT;
  CREATE TABLE durable_outcomes (number INTEGER PRIMARY KEY, id TEXT NOT NULL, request_id TEXT NOT NULL, outcome TEXT NOT NULL,
    checksum INTEGER NOT NULL, UNIQUE (id, request_id)) STRICT;
  ${PARTS_SCHEMA}
`;

/** What these tables need of those of the sessions. */
export interface SessionShelf {
  has(id: string): boolean;
  put(call: { kind: "sessions"; id: string; item: StoredItem; image: Uint8Array; replace: boolean }): boolean;
  item(id: string): StoredItem | undefined;
  image(id: string): Uint8Array<ArrayBuffer> | undefined;
  update(id: string, item: StoredItem): void;
  updateImage(id: string, image: Uint8Array): void;
}

export interface DurableRow extends Ownership {
  readonly id: string;
  readonly busy: number;
  readonly base: number;
  readonly outcomes: number;
}

interface DeltaRow {
  readonly version: number;
  readonly delta: ArrayBuffer;
  readonly checksum: number;
}

interface PartRow {
  readonly key: ArrayBuffer;
  readonly part: ArrayBuffer;
  readonly checksum: number;
}

interface OutcomeRow {
  readonly requestId: ArrayBuffer;
  readonly outcome: ArrayBuffer;
  readonly checksum: number;
}

export class DurableTables {
  readonly #sessions: SessionShelf;
  readonly #file: string;
  readonly #add: Statement;
  readonly #update: Statement;
  readonly #row: Statement;
  readonly #insertDelta: Statement;
  readonly #hasOutcome: Statement;
  readonly #insertOutcome: Statement;
  readonly #expireOutcome: Statement;
  readonly #forgetOutcome: Statement;
  readonly #putPart: Statement;
  readonly #dropPart: Statement;
  readonly #deltas: Statement;
  readonly #outcomes: Statement;
  readonly #parts: Statement;
  readonly #dropDeltas: Statement;
  readonly #deletions: readonly Statement[];
  readonly #expired: Statement;
  readonly #busy: Statement;
  readonly #count: Statement;
  /** How many there are; undefined until that is asked. Whoever undoes a transaction puts it back to what it was before. */
  size: number | undefined;

  /** @param file for messages */
  constructor(connection: Library.Database, sessions: SessionShelf, file: string) {
    const prepare = (sql: string): Statement => connection.prepare(sql);
    this.#sessions = sessions;
    this.#file = file;
    this.#add = prepare("INSERT INTO durable VALUES (?, ?, ?, ?, ?, ?, ?)");
    this.#update = prepare(
      "UPDATE durable SET owner = ?, version = ?, busy = ?, base = ?, outcomes = ?, checksum = ? WHERE id = ?",
    );
    const numbers = ["owner", "version", "busy", "base", "outcomes", "checksum"];
    this.#row = prepare(`SELECT ${numbers.map((column) => number(column))} FROM durable WHERE id = ?`);
    this.#insertDelta = prepare("INSERT INTO durable_deltas VALUES (?, ?, ?, ?)");
    this.#hasOutcome = prepare("SELECT 1 FROM durable_outcomes WHERE id = ? AND request_id = ?");
    this.#insertOutcome = prepare(
      "INSERT INTO durable_outcomes (id, request_id, outcome, checksum) VALUES (?, ?, ?, ?)",
    );
    this.#expireOutcome = prepare(
      "UPDATE durable_outcomes SET outcome = ?, checksum = ? WHERE id = ? AND request_id = ?",
    );
    this.#forgetOutcome = prepare("DELETE FROM durable_outcomes WHERE id = ? AND request_id = ?");
    this.#putPart = prepare("INSERT OR REPLACE INTO durable_parts VALUES (?, ?, ?, ?)");
    this.#dropPart = prepare("DELETE FROM durable_parts WHERE id = ? AND key = ?");
    const delta = [number("version"), bytes("delta"), number("checksum")];
    this.#deltas = prepare(`SELECT ${delta} FROM durable_deltas WHERE id = ? ORDER BY durable_deltas.version`);
    const outcome = [bytes("request_id", "requestId"), bytes("outcome"), number("checksum")];
    this.#outcomes = prepare(`SELECT ${outcome} FROM durable_outcomes WHERE id = ? ORDER BY number`);
    const part = [bytes("key"), bytes("part"), number("checksum")];
    this.#parts = prepare(`SELECT ${part} FROM durable_parts WHERE id = ? ORDER BY key`);
    this.#dropDeltas = prepare("DELETE FROM durable_deltas WHERE id = ? AND version <= ?");
    this.#deletions = ["durable", "durable_deltas", "durable_outcomes", "durable_parts"].map((table) =>
      prepare(`DELETE FROM ${table} WHERE id = ?`),
    );
    // Not by IN: all durable sessions would be looked at.
    this.#expired = prepare(`
      SELECT ${bytes("id")}, ${number("expires_at", "expiresAt")} FROM sessions
      WHERE expires_at <= ? AND (expires_at, id) > (?, ?) AND EXISTS (SELECT 1 FROM durable WHERE id = sessions.id)
      ORDER BY sessions.expires_at, sessions.id LIMIT ${EXPIRED_AT_ONCE}`);
    this.#busy = prepare(`SELECT ${bytes("id")} FROM durable WHERE busy = 1`);
    this.#count = prepare("SELECT count(*) AS count FROM durable");
  }

  add(item: StoredSession, image: Uint8Array, owner: number, most: number): AddAnswer {
    const id = item.sessionId;
    const count = this.count();
    if (count >= most) return this.#sessions.has(id) ? "exists" : "tooMany";
    if (!this.#sessions.put({ kind: "sessions", id, item, image, replace: false })) return "exists";
    const row = { id, owner, version: 0, busy: 0, base: 0, outcomes: 0 };
    this.#add.run(id, ...columnsOf(row));
    this.size = count + 1;
    return "added";
  }

  /** Nothing is written before it is known that all of it may be: a refusal undoes nothing of others in the transaction. */
  commit({ commit, isPacked = false }: Calls["commit"]["asks"]): CommitAnswer {
    const { session, owner, version, isBusy, delta, outcomes, expired, forgotten, parts, dropped } = commit;
    const id = session.sessionId;
    const now = this.#rowOf(id);
    if (now === undefined || now.owner > owner || now.version !== version - 1) return "refused";
    const isForgotten = new Set(forgotten);
    const isKnown = ({ requestId }: StoredOutcome): boolean =>
      !isForgotten.has(requestId) && this.#hasOutcome.all(id, requestId).length > 0;
    if (outcomes.some(isKnown)) return "refused";
    let count = now.outcomes + outcomes.length;
    for (const requestId of forgotten) count -= this.#forgetOutcome.run(id, requestId).changes;
    for (const { requestId, outcome } of expired) {
      this.#expireOutcome.run(outcome, checksumOf(outcome, id, requestId), id, requestId);
    }
    for (const { requestId, outcome } of outcomes) {
      this.#insertOutcome.run(id, requestId, outcome, checksumOf(outcome, id, requestId));
    }
    this.#write({ ...now, owner, version, busy: isBusy ? 1 : 0, outcomes: count });
    for (const key of dropped) this.#dropPart.run(id, key);
    for (const { key, text } of parts) this.#putPart.run(id, key, text, checksumOf(text, id, key));
    this.#sessions.update(id, session);
    const kept = isPacked ? delta : packed(delta);
    this.#insertDelta.run(id, version, kept, checksumOf(kept, id, version));
    return "kept";
  }

  rebase({ sessionId, owner, version, image }: StoredBase): CommitAnswer {
    const now = this.#rowOf(sessionId);
    if (now === undefined || now.owner !== owner || now.version < version) return "refused";
    this.#write({ ...now, base: version });
    this.#sessions.updateImage(sessionId, image);
    this.#dropDeltas.run(sessionId, version);
    return "kept";
  }

  load(id: string): PackedDurable | undefined {
    const now = this.#rowOf(id);
    if (now === undefined) return undefined;
    const { owner, version, base } = now;
    const session = this.#sessions.item(id) as StoredSession | undefined;
    const image = this.#sessions.image(id);
    const rows = this.#deltas.all(id) as DeltaRow[];
    // One that is missing would be passed over, and what follows it would be put onto another page.
    const isWhole = rows.length === version - base && rows.every((row, i) => row.version === base + 1 + i);
    if (session?.sessionId !== id || image === undefined || !isWhole) throw this.#damaged(id);
    const deltas = rows.map((row) => this.#delta(id, row));
    return { owner, version, session, image, deltas, outcomes: this.#outcomesOf(now), parts: this.#partsOf(id) };
  }

  #delta(id: string, { version, delta, checksum }: DeltaRow): Uint8Array<ArrayBuffer> {
    const kept = new Uint8Array(delta);
    if (checksumOf(kept, id, version) !== checksum) throw this.#damaged(id);
    return kept;
  }

  /** Whoever reads what is told of the session knows which there have to be. */
  #partsOf(id: string): StoredPart[] {
    const rows = this.#parts.all(id) as PartRow[];
    return rows.map(({ checksum, ...row }) => {
      const [key, text] = [textOf(row.key), textOf(row.part)];
      if (checksumOf(text, id, key) !== checksum) throw this.#damaged(id);
      return { key, text };
    });
  }

  #outcomesOf({ id, outcomes }: DurableRow): StoredOutcome[] {
    const rows = this.#outcomes.all(id) as OutcomeRow[];
    if (rows.length !== outcomes) throw this.#damaged(id);
    return rows.map(({ checksum, ...row }) => {
      const [requestId, outcome] = [textOf(row.requestId), textOf(row.outcome)];
      if (checksumOf(outcome, id, requestId) !== checksum) throw this.#damaged(id);
      return { requestId, outcome };
    });
  }

  #rowOf(id: string): DurableRow | undefined {
    const [found] = this.#row.all(id) as (Omit<DurableRow, "id"> & { checksum: number })[];
    if (found === undefined) return undefined;
    const { checksum, ...columns } = found;
    const row = { id, ...columns };
    if (checksumOfRow(row) !== checksum) throw this.#damaged(id);
    return row;
  }

  #write(row: DurableRow): void {
    this.#update.run(...columnsOf(row), row.id);
  }

  delete(id: string): void {
    const [count = 0] = this.#deletions.map((deletion) => deletion.run(id).changes);
    if (this.size !== undefined) this.size -= count;
  }

  expired(now: number, { expiresAt, sessionId }: ExpiredSession = BEFORE_ALL): ExpiredSession[] {
    const rows = this.#expired.all(now, expiresAt, sessionId) as { id: ArrayBuffer; expiresAt: number }[];
    return rows.map((row) => ({ sessionId: textOf(row.id), expiresAt: row.expiresAt }));
  }

  busy(): string[] {
    return (this.#busy.all() as { id: ArrayBuffer }[]).map(({ id }) => textOf(id));
  }

  count(): number {
    this.size ??= (this.#count.all()[0] as { count: number }).count;
    return this.size;
  }

  #damaged(id: string): StoreError {
    const advice = "delete that one; if there are more, put a backup in the file's place";
    return new StoreError("damaged", `what ${this.#file} holds of the durable session ${id} is damaged; ${advice}`);
  }
}

export function checksumOfRow({ id, owner, version, busy, base, outcomes }: DurableRow): number {
  return checksumOf("", id, owner, version, busy, base, outcomes);
}

/** All but the id, in the order of the table. */
function columnsOf(row: DurableRow): readonly number[] {
  return [row.owner, row.version, row.busy, row.base, row.outcomes, checksumOfRow(row)];
}
