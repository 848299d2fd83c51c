/** A store that ends with the process: for tests, and for a server without a data directory. */
import {
  type AddAnswer,
  type CommitAnswer,
  type ExpiredSession,
  ownBytes,
  type Page,
  type PageOptions,
  type PagePlace,
  pageToken,
  placeOf,
  type Store,
  type StoredBase,
  type StoredCommit,
  type StoredDurable,
  type StoredOutcome,
  type StoredSession,
  type StoredSnapshot,
  StoreError,
} from "./store.js";

interface Item {
  readonly createdAt: number;
  readonly expiresAt: number | undefined;
  readonly labels: ReadonlyMap<string, string>;
}

interface Kept<T> extends PagePlace {
  readonly item: T;
  readonly image: Uint8Array;
}

/** Items of one kind by id, and in the order of a list. */
class Shelf<T extends Item> {
  readonly #byId = new Map<string, Kept<T>>();
  readonly #inOrder: Kept<T>[] = [];

  get(id: string): Kept<T> | undefined {
    return this.#byId.get(id);
  }

  put(id: string, item: T, image: Uint8Array): void {
    this.delete(id);
    const labels = new Map(item.labels);
    // As a store on a thread of its own does, so that nobody comes to rely on more.
    const bytes = ownBytes(image);
    const own = structuredClone(bytes, { transfer: [bytes.buffer] });
    const kept = { createdAt: item.createdAt, id, item: { ...item, labels }, image: own };
    this.#byId.set(id, kept);
    this.#inOrder.splice(this.#indexAfter(kept), 0, kept);
  }

  delete(id: string): boolean {
    const kept = this.#byId.get(id);
    if (kept === undefined) return false;
    this.#byId.delete(id);
    this.#inOrder.splice(this.#indexAfter(kept) - 1, 1);
    return true;
  }

  /** @param isMeant whether one of them may be among it */
  page({ size, after, labels, now }: PageOptions, isMeant: (id: string) => boolean = () => true): Page<T> {
    const items: T[] = [];
    let last: Kept<T> | undefined;
    for (let index = this.#indexAfter(placeOf(after)); index < this.#inOrder.length; index++) {
      const kept = this.#inOrder[index];
      if (kept === undefined || isExpired(kept.item, now) || !hasLabels(kept.item, labels)) continue;
      if (!isMeant(kept.id)) continue;
      if (last !== undefined && items.length === size) return { items, next: pageToken(last) };
      items.push(kept.item);
      last = kept;
    }
    return { items, next: "" };
  }

  /** Ids of what has expired. */
  expired(now: number): string[] {
    return this.#inOrder.filter(({ item }) => isExpired(item, now)).map(({ id }) => id);
  }

  /** Ids of what was deleted. @param isMeant whether one of them is to be */
  expire(now: number, isMeant: (id: string) => boolean = () => true): string[] {
    const expired = this.expired(now).filter(isMeant);
    for (const id of expired) this.delete(id);
    return expired;
  }

  /** The number of items up to a place, itself included. */
  #indexAfter(place: PagePlace): number {
    let low = 0;
    let high = this.#inOrder.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const kept = this.#inOrder[middle];
      if (kept !== undefined && !isAfter(kept, place)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

interface Durable {
  owner: number;
  version: number;
  isBusy: boolean;
  deltas: { readonly version: number; readonly delta: Uint8Array }[];
  readonly outcomes: Map<string, string>;
  readonly parts: Map<string, string>;
}

export class MemoryStore implements Store {
  readonly #durable = new Map<string, Durable>();
  readonly #snapshots = new Shelf<StoredSnapshot>();
  readonly #sessions = new Shelf<StoredSession>();
  #keyId: string | undefined;
  #closed = false;

  async addSnapshot(snapshot: StoredSnapshot, image: Uint8Array): Promise<boolean> {
    this.#check();
    if (this.#snapshots.get(snapshot.snapshotId) !== undefined) return false;
    this.#snapshots.put(snapshot.snapshotId, snapshot, image);
    return true;
  }

  async snapshot(snapshotId: string): Promise<StoredSnapshot | undefined> {
    this.#check();
    return this.#snapshots.get(snapshotId)?.item;
  }

  async snapshotImage(snapshotId: string): Promise<Uint8Array | undefined> {
    this.#check();
    return this.#snapshots.get(snapshotId)?.image.slice();
  }

  async snapshots(options: PageOptions): Promise<Page<StoredSnapshot>> {
    this.#check();
    return this.#snapshots.page(options);
  }

  async deleteSnapshot(snapshotId: string): Promise<boolean> {
    this.#check();
    return this.#snapshots.delete(snapshotId);
  }

  async putSession(session: StoredSession, image: Uint8Array): Promise<void> {
    this.#check();
    this.#durable.delete(session.sessionId);
    this.#sessions.put(session.sessionId, session, image);
  }

  async session(sessionId: string): Promise<StoredSession | undefined> {
    this.#check();
    return this.#sessions.get(sessionId)?.item;
  }

  async sessionImage(sessionId: string): Promise<Uint8Array | undefined> {
    this.#check();
    return this.#sessions.get(sessionId)?.image.slice();
  }

  async sessions(options: PageOptions): Promise<Page<StoredSession>> {
    this.#check();
    return this.#sessions.page(options, (id) => options.isEphemeral !== true || !this.#durable.has(id));
  }

  async deleteSession(sessionId: string): Promise<boolean> {
    this.#check();
    this.#durable.delete(sessionId);
    return this.#sessions.delete(sessionId);
  }

  async addDurable(
    session: StoredSession,
    image: Uint8Array,
    owner: number,
    most = Number.POSITIVE_INFINITY,
  ): Promise<AddAnswer> {
    this.#check();
    const { sessionId } = session;
    if (this.#sessions.get(sessionId) !== undefined) return "exists";
    if (this.#durable.size >= most) return "tooMany";
    this.#sessions.put(sessionId, session, image);
    this.#durable.set(sessionId, {
      owner,
      version: 0,
      isBusy: false,
      deltas: [],
      outcomes: new Map(),
      parts: new Map(),
    });
    return "added";
  }

  async commit(commit: StoredCommit): Promise<CommitAnswer> {
    this.#check();
    const { session, owner, version, isBusy, delta, outcomes, expired, forgotten, parts, dropped } = commit;
    const durable = this.#durable.get(session.sessionId);
    const kept = this.#sessions.get(session.sessionId);
    if (durable === undefined || kept === undefined) return "refused";
    if (durable.owner > owner || durable.version !== version - 1) return "refused";
    const isForgotten = new Set(forgotten);
    const isKnown = ({ requestId }: StoredOutcome): boolean =>
      !isForgotten.has(requestId) && durable.outcomes.has(requestId);
    if (outcomes.some(isKnown)) return "refused";
    Object.assign(durable, { owner, version, isBusy });
    durable.deltas.push({ version, delta: delta.slice() });
    for (const requestId of forgotten) durable.outcomes.delete(requestId);
    for (const { requestId, outcome } of expired) {
      if (durable.outcomes.has(requestId)) durable.outcomes.set(requestId, outcome);
    }
    for (const { requestId, outcome } of outcomes) durable.outcomes.set(requestId, outcome);
    for (const key of dropped) durable.parts.delete(key);
    for (const { key, text } of parts) durable.parts.set(key, text);
    this.#sessions.put(session.sessionId, session, kept.image);
    return "kept";
  }

  async rebase({ sessionId, owner, version, image }: StoredBase): Promise<CommitAnswer> {
    this.#check();
    const durable = this.#durable.get(sessionId);
    const kept = this.#sessions.get(sessionId);
    if (durable === undefined || kept === undefined) return "refused";
    if (durable.owner !== owner || durable.version < version) return "refused";
    durable.deltas = durable.deltas.filter((delta) => delta.version > version);
    this.#sessions.put(sessionId, kept.item, image);
    return "kept";
  }

  async durable(sessionId: string): Promise<StoredDurable | undefined> {
    this.#check();
    const durable = this.#durable.get(sessionId);
    const kept = this.#sessions.get(sessionId);
    if (durable === undefined || kept === undefined) return undefined;
    const { owner, version } = durable;
    const outcomes = [...durable.outcomes].map(([requestId, outcome]) => ({ requestId, outcome }));
    const parts = [...durable.parts].map(([key, text]) => ({ key, text }));
    const image = kept.image.slice();
    return { owner, version, session: kept.item, image, deltas: copiesOf([...durable.deltas]), outcomes, parts };
  }

  async expiredDurable(now: number, after?: ExpiredSession): Promise<readonly ExpiredSession[]> {
    this.#check();
    const found: ExpiredSession[] = [];
    for (const sessionId of this.#sessions.expired(now)) {
      const expiresAt = this.#sessions.get(sessionId)?.item.expiresAt ?? 0;
      const expired = { sessionId, expiresAt };
      if (this.#durable.has(sessionId) && (after === undefined || byExpiry(expired, after) > 0)) found.push(expired);
    }
    return found.sort(byExpiry);
  }

  async deleteExpired(sessionId: string, now: number): Promise<boolean> {
    this.#check();
    const kept = this.#sessions.get(sessionId);
    return kept !== undefined && isExpired(kept.item, now) && this.deleteSession(sessionId);
  }

  async busySessions(): Promise<readonly string[]> {
    this.#check();
    return [...this.#durable].filter(([, { isBusy }]) => isBusy).map(([id]) => id);
  }

  async durableCount(): Promise<number> {
    this.#check();
    return this.#durable.size;
  }

  async expire(now: number): Promise<readonly string[]> {
    this.#check();
    this.#snapshots.expire(now);
    return this.#sessions.expire(now, (id) => !this.#durable.has(id));
  }

  async keyId(): Promise<string | undefined> {
    this.#check();
    return this.#keyId;
  }

  async noteKey(keyId: string): Promise<void> {
    this.#check();
    this.#keyId = keyId;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #check(): void {
    if (this.#closed) throw new StoreError("broken", "the store is closed; the server is shutting down");
  }
}

async function* copiesOf(deltas: Durable["deltas"]): AsyncGenerator<Uint8Array> {
  for (const { delta } of deltas) yield delta.slice();
}

function isAfter(one: PagePlace, other: PagePlace): boolean {
  return one.createdAt > other.createdAt || (one.createdAt === other.createdAt && one.id > other.id);
}

function byExpiry(one: ExpiredSession, other: ExpiredSession): number {
  if (one.expiresAt !== other.expiresAt) return one.expiresAt - other.expiresAt;
  return one.sessionId < other.sessionId ? -1 : one.sessionId > other.sessionId ? 1 : 0;
}

function isExpired({ expiresAt }: Item, now: number): boolean {
  return expiresAt !== undefined && expiresAt <= now;
}

function hasLabels(item: Item, labels: ReadonlyMap<string, string>): boolean {
  for (const [name, value] of labels) if (item.labels.get(name) !== value) return false;
  return true;
}
