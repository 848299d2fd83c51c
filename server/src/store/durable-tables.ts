/** The tables of durable sessions: how their images have changed since they were whole, and what they have answered. */
import { crc32, deflateRawSync, inflateRawSync } from "node:zlib";
import type Library from "libsql";
import type { StoredItem } from "./calls.js";
import {
  type CommitAnswer,
  type Ownership,
  type StoredBase,
  type StoredCommit,
  type StoredDurable,
  type StoredOutcome,
  type StoredSession,
  StoreError,
} from "./store.js";

type Statement = Library.Statement;

const EXPIRED_AT_ONCE = 500;
/** Most of a delta are zeroes: more effort takes three times as long, and saves a tenth. */
const DEFLATION = { level: 1 };

/** What is told of the sessions, and what they were when they were whole, stands in the tables of all sessions. */
export const DURABLE_SCHEMA = `
  CREATE TABLE durable (id TEXT PRIMARY KEY, owner INTEGER NOT NULL, version INTEGER NOT NULL, busy INTEGER NOT NULL) STRICT;
  CREATE INDEX durable_busy ON durable (id) WHERE busy = 1;
  CREATE TABLE durable_deltas (id TEXT NOT NULL, version INTEGER NOT NULL, delta BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (id, version)) STRICT;
  CREATE TABLE durable_outcomes (number INTEGER PRIMARY KEY, id TEXT NOT NULL, request_id TEXT NOT NULL, outcome TEXT NOT NULL,
    checksum INTEGER NOT NULL, UNIQUE (id, request_id)) STRICT;
`;

/** What these tables need of those of the sessions. */
export interface SessionShelf {
  put(call: { kind: "sessions"; id: string; item: StoredItem; image: Uint8Array; replace: boolean }): boolean;
  item(id: string): StoredItem | undefined;
  image(id: string): Uint8Array | undefined;
  update(id: string, item: StoredItem): void;
  updateImage(id: string, image: Uint8Array): void;
}

interface DeltaRow {
  readonly version: number;
  readonly delta: ArrayBuffer;
  readonly checksum: number;
}

interface OutcomeRow extends StoredOutcome {
  readonly checksum: number;
}

export class DurableTables {
  readonly #sessions: SessionShelf;
  readonly #file: string;
  readonly #add: Statement;
  readonly #take: Statement;
  readonly #ownership: Statement;
  readonly #insertDelta: Statement;
  readonly #hasOutcome: Statement;
  readonly #insertOutcome: Statement;
  readonly #expireOutcome: Statement;
  readonly #forgetOutcome: Statement;
  readonly #deltas: Statement;
  readonly #outcomes: Statement;
  readonly #dropDeltas: Statement;
  readonly #deletions: readonly Statement[];
  readonly #expired: Statement;
  readonly #busy: Statement;
  readonly #count: Statement;

  /** @param file for messages */
  constructor(connection: Library.Database, sessions: SessionShelf, file: string) {
    const prepare = (sql: string): Statement => connection.prepare(sql);
    this.#sessions = sessions;
    this.#file = file;
    this.#add = prepare("INSERT INTO durable VALUES (?, ?, 0, 0)");
    this.#take = prepare("UPDATE durable SET owner = ?, version = ?, busy = ? WHERE id = ?");
    this.#ownership = prepare("SELECT owner, version FROM durable WHERE id = ?");
    this.#insertDelta = prepare("INSERT INTO durable_deltas VALUES (?, ?, ?, ?)");
    this.#hasOutcome = prepare("SELECT 1 FROM durable_outcomes WHERE id = ? AND request_id = ?");
    this.#insertOutcome = prepare(
      "INSERT INTO durable_outcomes (id, request_id, outcome, checksum) VALUES (?, ?, ?, ?)",
    );
    this.#expireOutcome = prepare(
      "UPDATE durable_outcomes SET outcome = ?, checksum = ? WHERE id = ? AND request_id = ?",
    );
    this.#forgetOutcome = prepare("DELETE FROM durable_outcomes WHERE id = ? AND request_id = ?");
    this.#deltas = prepare("SELECT version, delta, checksum FROM durable_deltas WHERE id = ? ORDER BY version");
    this.#outcomes = prepare(
      "SELECT request_id AS requestId, outcome, checksum FROM durable_outcomes WHERE id = ? ORDER BY number",
    );
    this.#dropDeltas = prepare("DELETE FROM durable_deltas WHERE id = ? AND version <= ?");
    this.#deletions = ["durable", "durable_deltas", "durable_outcomes"].map((table) =>
      prepare(`DELETE FROM ${table} WHERE id = ?`),
    );
    this.#expired = prepare(
      `SELECT id FROM sessions WHERE expires_at <= ? AND id IN (SELECT id FROM durable) LIMIT ${EXPIRED_AT_ONCE}`,
    );
    this.#busy = prepare("SELECT id FROM durable WHERE busy = 1");
    this.#count = prepare("SELECT count(*) AS count FROM durable");
  }

  add(item: StoredSession, image: Uint8Array, owner: number): boolean {
    const id = item.sessionId;
    if (!this.#sessions.put({ kind: "sessions", id, item, image, replace: false })) return false;
    this.#add.run(id, owner);
    return true;
  }

  /** Nothing is written before it is known that all of it may be: a refusal undoes nothing of others in the transaction. */
  commit(commit: StoredCommit): CommitAnswer {
    const { session, owner, version, isBusy, delta, outcomes, expired, forgotten } = commit;
    const id = session.sessionId;
    const now = this.#ownershipOf(id);
    if (now === undefined || now.owner > owner || now.version !== version - 1) return "refused";
    const isForgotten = new Set(forgotten);
    const isKnown = ({ requestId }: StoredOutcome): boolean =>
      !isForgotten.has(requestId) && this.#hasOutcome.all(id, requestId).length > 0;
    if (outcomes.some(isKnown)) return "refused";
    this.#take.run(owner, version, isBusy ? 1 : 0, id);
    for (const requestId of forgotten) this.#forgetOutcome.run(id, requestId);
    for (const { requestId, outcome } of expired) this.#expireOutcome.run(outcome, crc32(outcome), id, requestId);
    for (const { requestId, outcome } of outcomes) this.#insertOutcome.run(id, requestId, outcome, crc32(outcome));
    this.#sessions.update(id, session);
    const compressed = deflateRawSync(delta, DEFLATION);
    this.#insertDelta.run(id, version, compressed, crc32(compressed));
    return "kept";
  }

  rebase({ sessionId, owner, version, image }: StoredBase): CommitAnswer {
    const now = this.#ownershipOf(sessionId);
    if (now === undefined || now.owner !== owner || now.version < version) return "refused";
    this.#sessions.updateImage(sessionId, image);
    this.#dropDeltas.run(sessionId, version);
    return "kept";
  }

  load(id: string): StoredDurable | undefined {
    const now = this.#ownershipOf(id);
    if (now === undefined) return undefined;
    const session = this.#sessions.item(id) as StoredSession | undefined;
    const image = this.#sessions.image(id);
    const rows = this.#deltas.all(id) as DeltaRow[];
    // One that is missing would be passed over, and what follows it would be put onto another page.
    const first = now.version - rows.length + 1;
    const isWhole = rows.every(({ version }, i) => version === first + i);
    if (session === undefined || image === undefined || !isWhole) throw this.#damaged(id);
    return { ...now, session, image, deltas: rows.map((row) => this.#delta(id, row)), outcomes: this.#outcomesOf(id) };
  }

  #delta(id: string, { delta, checksum }: DeltaRow): Uint8Array {
    const compressed = new Uint8Array(delta);
    if (crc32(compressed) !== checksum) throw this.#damaged(id);
    return inflateRawSync(compressed);
  }

  #outcomesOf(id: string): StoredOutcome[] {
    const rows = this.#outcomes.all(id) as OutcomeRow[];
    for (const { outcome, checksum } of rows) {
      if (crc32(outcome) !== checksum) throw this.#damaged(id);
    }
    return rows.map(({ requestId, outcome }) => ({ requestId, outcome }));
  }

  #ownershipOf(id: string): Ownership | undefined {
    return this.#ownership.all(id)[0] as Ownership | undefined;
  }

  delete(id: string): void {
    for (const deletion of this.#deletions) deletion.run(id);
  }

  expired(now: number): string[] {
    return (this.#expired.all(now) as { id: string }[]).map(({ id }) => id);
  }

  busy(): string[] {
    return (this.#busy.all() as { id: string }[]).map(({ id }) => id);
  }

  count(): number {
    return (this.#count.all()[0] as { count: number }).count;
  }

  #damaged(id: string): StoreError {
    const advice = "delete that one; if there are more, put a backup in the file's place";
    return new StoreError("broken", `what ${this.#file} holds of the durable session ${id} is damaged; ${advice}`);
  }
}
