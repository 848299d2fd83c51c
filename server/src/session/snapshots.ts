/** All snapshots of this server: takes them of sessions, keeps them in its store, and gives them to who restores or exports. */
import { createHmac } from "node:crypto";
import { type Engine, PageImageError } from "../engine/engine.js";
import { isPageToken, pageToken, type Store, type StoredSnapshot } from "../store/store.js";
import { invalid, SessionError, StoreError } from "./errors.js";
import { checkId, drawId, idOf } from "./ids.js";
import { fitting, isFull, READ_AT_ONCE } from "./pages.js";
import { Places } from "./places.js";
import type { Session } from "./session.js";
import type { SavedSession } from "./session-record.js";
import { openSnapshot, type Seal, type SnapshotFile, sealSnapshot } from "./snapshot-file.js";

export type { StoredSnapshot } from "../store/store.js";

/** Images in the hands of this process at once: each may be as large as a session. Small ones do not wait for large ones. */
const IMAGES_AT_ONCE = { large: 2, small: 16 };
/** Bytes of memory that it takes to hold a small one, at most. */
const SMALL_IMAGE = 4 << 20;
/** Bytes of all snapshots that are on their way in or out. */
const BYTES_ON_THEIR_WAY = 1 << 30;
/** What keeping a piece takes beside its bytes, which may be few; more than it is. */
const CHUNK_COST = 1024;
const LONGEST_TTL = 3_650 * 24 * 60 * 60_000;
const RETRY = 1_000;

export interface TakeOptions {
  readonly labels: ReadonlyMap<string, string>;
  /** Milliseconds that it is kept; 0 for ever. */
  readonly ttl: number;
  /** Of the request; empty for none. */
  readonly requestId: string;
  /** Names the request. */
  readonly digest: string;
}

/** A snapshot that is about to be restored. */
export interface LoadedSnapshot extends SavedSession {
  readonly snapshotId: string;
  /** The session it was taken of. */
  readonly sessionId: string;
  /** When that was made; absent of one that a version before this took. */
  readonly sessionCreatedAt?: number | undefined;
}

export class Snapshots {
  readonly #engine: Engine;
  readonly #store: Store;
  readonly #signingKey: () => Promise<Uint8Array>;
  readonly #places = new Places(IMAGES_AT_ONCE.large);
  readonly #smallPlaces = new Places(IMAGES_AT_ONCE.small);
  #onTheirWay = 0;

  /**
   * @param store is this object's to use, and its owner's to close
   * @param signingKey gives what snapshots are signed by; asked for when it is needed
   */
  constructor(engine: Engine, store: Store, signingKey: () => Promise<Uint8Array>) {
    this.#engine = engine;
    this.#store = store;
    this.#signingKey = signingKey;
  }

  /** @throws SessionError when the session ends before; QUOTA_EXCEEDED; INVALID_REQUEST (ttl) */
  async take(session: Session, { labels, ttl, requestId, digest }: TakeOptions): Promise<StoredSnapshot> {
    if (!(ttl >= 0 && ttl <= LONGEST_TTL)) {
      throw invalid("ttl", `must be between 0, which is until it is deleted, and ${LONGEST_TTL / 1000} s`);
    }
    let leave = (): void => undefined;
    let isOver = false;
    try {
      const { image, record } = await session.save(async () => {
        const isSmall = session.grownBytes <= SMALL_IMAGE;
        const entered = await (isSmall ? this.#smallPlaces : this.#places).enter();
        // The session may have ended meanwhile, and nobody waits for the snapshot any more.
        if (isOver) entered();
        else leave = entered;
      });
      const encoded = await this.#engine.encodeImage(image);
      const engineDigest = this.#engine.digest;
      const { sessionId, createdAt: sessionCreatedAt } = session;
      // The server may end before it has kept the answer: a repeat then finds the snapshot.
      const isNamed = session.isDurable && requestId !== "";
      const snapshotId = isNamed ? await this.#idFor(session, requestId, digest) : drawId();
      const header = { snapshotId, sessionId, sessionCreatedAt, createdAt: record.takenAt, ttl, labels, engineDigest };
      return await this.#keep(header, await sealSnapshot({ ...header, ...encoded, record }, await this.#seal()));
    } finally {
      isOver = true;
      leave();
    }
  }

  /** @throws SessionError SNAPSHOT_NOT_FOUND, INVALID_REQUEST */
  async get(snapshotId: string): Promise<StoredSnapshot> {
    checkId("snapshot_id", snapshotId);
    const snapshot = await this.#store.snapshot(snapshotId);
    if (snapshot === undefined || isExpired(snapshot)) throw notFound(snapshotId);
    return snapshot;
  }

  /**
   * One page, oldest first, of those that have all these labels. `next` is empty on the last page.
   *
   * @throws SessionError INVALID_REQUEST for a token that no list gave
   */
  async list(
    size: number,
    token: string,
    labels: ReadonlyMap<string, string>,
  ): Promise<{ snapshots: readonly StoredSnapshot[]; next: string }> {
    const after = Buffer.from(token, "base64url").toString("latin1");
    if (!isPageToken(after) || written(after) !== token) {
      throw invalid("page_token", "is not one this server gave; leave it empty for the first page");
    }
    const items: StoredSnapshot[] = [];
    let next = after;
    do {
      const most = Math.min(size - items.length, READ_AT_ONCE);
      const page = await this.#store.snapshots({ size: most, after: next, labels, now: Date.now() });
      items.push(...page.items);
      next = page.next;
    } while (next !== "" && items.length < size && !isFull(items));
    const snapshots = fitting(items);
    const last = snapshots.length < items.length ? snapshots.at(-1) : undefined;
    const place = last === undefined ? next : pageToken({ createdAt: last.createdAt, id: last.snapshotId });
    return { snapshots, next: written(place) };
  }

  /** @throws SessionError SNAPSHOT_NOT_FOUND */
  async delete(snapshotId: string): Promise<void> {
    await this.get(snapshotId).catch((error: unknown) => {
      // One that is damaged is deleted too.
      if (!(error instanceof StoreError)) throw error;
    });
    if (!(await this.#store.deleteSnapshot(snapshotId))) throw notFound(snapshotId);
  }

  /**
   * Reads a snapshot and gives it to `use`, which is to be done with it when it resolves.
   *
   * @throws SessionError SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID, SNAPSHOT_INCOMPATIBLE
   */
  async load<T>(snapshotId: string, use: (snapshot: LoadedSnapshot) => Promise<T> | T): Promise<T> {
    await this.get(snapshotId);
    const leave = await this.#places.enter();
    try {
      const file = await this.#open(await this.#bytesOf(snapshotId));
      const image = await this.#engine.decodeImage(file.pages, file.extent);
      const { sessionId, sessionCreatedAt, record } = file;
      return await use({ snapshotId, sessionId, sessionCreatedAt, image, record });
    } catch (error) {
      if (error instanceof PageImageError) throw new SessionError("SNAPSHOT_INVALID", `the snapshot: ${error.message}`);
      throw error;
    } finally {
      leave();
    }
  }

  /**
   * Gives a snapshot's bytes to `send`, which is to be done with them when it resolves.
   *
   * @throws SessionError SNAPSHOT_NOT_FOUND, QUOTA_EXCEEDED
   */
  async export(snapshotId: string, send: (bytes: Uint8Array) => Promise<void>): Promise<void> {
    const { sizeBytes } = await this.get(snapshotId);
    this.#countOnTheirWay(sizeBytes);
    try {
      await send(await this.#bytesOf(snapshotId));
    } finally {
      this.#onTheirWay -= sizeBytes;
    }
  }

  /**
   * Keeps a snapshot that was exported, here or elsewhere. One that is here already stays as it is.
   *
   * @throws SessionError SNAPSHOT_INVALID, SNAPSHOT_INCOMPATIBLE, QUOTA_EXCEEDED
   */
  async import(chunks: AsyncIterable<Uint8Array>): Promise<StoredSnapshot> {
    const received: Uint8Array[] = [];
    let size = 0;
    try {
      for await (const chunk of chunks) {
        const bytes = chunk.length + CHUNK_COST;
        this.#countOnTheirWay(bytes);
        size += bytes;
        received.push(chunk);
      }
      const bytes = Buffer.concat(received);
      const file = await this.#open(bytes);
      return await this.#keep(file, bytes);
    } finally {
      this.#onTheirWay -= size;
    }
  }

  #countOnTheirWay(bytes: number): void {
    if (this.#onTheirWay + bytes > BYTES_ON_THEIR_WAY) {
      const message = `more than ${BYTES_ON_THEIR_WAY} bytes of snapshots are on their way in and out; try again when some have arrived`;
      throw new SessionError("QUOTA_EXCEEDED", message, { retryAfter: RETRY });
    }
    this.#onTheirWay += bytes;
  }

  async #open(bytes: Uint8Array): Promise<SnapshotFile> {
    return openSnapshot(bytes, await this.#seal(), this.#engine.digest);
  }

  /** The id of the snapshot that is made for a request, the same when the request comes again to another server. */
  async #idFor({ sessionId, createdAt }: Session, requestId: string, digest: string): Promise<string> {
    const mac = createHmac("sha256", await this.#signingKey());
    return idOf(mac.update(JSON.stringify(["snapshot", sessionId, createdAt, requestId, digest])).digest());
  }

  /** There is one tenant yet. */
  async #seal(): Promise<Seal> {
    return { key: await this.#signingKey(), tenant: "" };
  }

  async #keep(
    { snapshotId, sessionId, createdAt, ttl, labels, engineDigest }: Omit<SnapshotFile, "extent" | "record" | "pages">,
    bytes: Uint8Array,
  ): Promise<StoredSnapshot> {
    const known = await this.#store.snapshot(snapshotId);
    if (known !== undefined && !isExpired(known)) return known;
    // One that has expired makes way for one that comes anew.
    if (known !== undefined) await this.#store.deleteSnapshot(snapshotId);
    const expiresAt = ttl === 0 ? undefined : Math.ceil(Date.now() + ttl);
    const sizeBytes = bytes.length;
    const snapshot: StoredSnapshot = { snapshotId, sessionId, createdAt, expiresAt, engineDigest, labels, sizeBytes };
    // False: somebody else was quicker with the same.
    return (await this.#store.addSnapshot(snapshot, bytes)) ? snapshot : this.get(snapshotId);
  }

  async #bytesOf(snapshotId: string): Promise<Uint8Array> {
    const bytes = await this.#store.snapshotImage(snapshotId);
    if (bytes === undefined) throw notFound(snapshotId);
    return bytes;
  }
}

function written(place: string): string {
  return Buffer.from(place, "latin1").toString("base64url");
}

function isExpired({ expiresAt }: StoredSnapshot): boolean {
  return expiresAt !== undefined && expiresAt <= Date.now();
}

function notFound(snapshotId: string): SessionError {
  const ids = { snapshot_id: snapshotId };
  return new SessionError("SNAPSHOT_NOT_FOUND", "no such snapshot, or it has expired; take another", { ids });
}
