/**
 * Durable sessions in the store: their images, what has changed since, and what they answered. Each is in one hand at a time: its
 * writer's, which is made when the session is, or when it is loaded.
 */
import { createHmac, randomInt } from "node:crypto";
import { type Engine, PageDeltaError, PageImageError, type SessionImage, StoredPages } from "../engine/engine.js";
import type { Ownership, Store } from "../store/store.js";
import type { Answer, CommitWriter } from "./commits.js";
import { type CreatedBy, type DurableRow, rowOf, storedRow } from "./durable-row.js";
import { DurableWriter, type SinceWhole } from "./durable-writer.js";
import { SessionError } from "./errors.js";
import { idOf } from "./ids.js";
import { Places } from "./places.js";
import { NO_PARTS, type RecordParts, recordOf } from "./record-parts.js";
import type { SessionInfo } from "./session-info.js";
import { NO_RECORD, readText, type SavedSession } from "./session-record.js";
import { openSnapshot, type Seal, sealSnapshot } from "./snapshot-file.js";

/** Images that are read, or made, at once: each may be as large as a session. */
const IMAGES_AT_ONCE = 4;

/** Milliseconds: somebody may have deleted one by then. */
const TOO_MANY_RETRY = 1_000;

/** First owners are drawn below this; those that follow count on from there. */
const FIRST_OWNERS = 2 ** 47;

export interface LoadedSession {
  readonly info: SessionInfo;
  readonly saved: SavedSession;
  readonly writer: CommitWriter;
}

export class DurableSessions {
  readonly #engine: Engine;
  readonly #store: Store;
  readonly #signingKey: () => Promise<Uint8Array>;
  readonly #places = new Places(IMAGES_AT_ONCE);

  /**
   * @param store is this object's to use, and its owner's to close
   * @param signingKey gives what images are signed by; asked for when it is needed
   */
  constructor(engine: Engine, store: Store, signingKey: () => Promise<Uint8Array>) {
    this.#engine = engine;
    this.#store = store;
    this.#signingKey = signingKey;
  }

  /**
   * Puts a session into the store.
   *
   * @param most that may be durable, this one included
   * @returns what its commits go by
   * @throws StoreError; SessionError SESSION_ALREADY_EXISTS, QUOTA_EXCEEDED
   */
  async add(
    info: SessionInfo,
    { image, record }: SavedSession,
    most: number,
    createdBy?: CreatedBy,
  ): Promise<CommitWriter> {
    const bytes = await this.seal(info, image);
    const row = storedRow({ info, record, createdBy }, bytes.length);
    // Whatever is still on its way of a session that had this id, and was deleted, is of another owner.
    const owner = randomInt(FIRST_OWNERS);
    const answer = await this.#store.addDurable(row, bytes, owner, most);
    if (answer === "tooMany") throw tooMany(most);
    if (answer === "exists") {
      const ids = { session_id: info.sessionId };
      throw new SessionError("SESSION_ALREADY_EXISTS", "session_id: is in use; choose another", { ids });
    }
    return this.#writer(new StoredPages(image), { info, record, createdBy }, NO_PARTS, { owner, version: 0 });
  }

  /**
   * Whether a session is here, and this request has made it.
   *
   * @throws StoreError; SessionError REQUEST_ID_REUSED where another request with the same id has
   */
  async wasMadeBy(sessionId: string, { requestId, digest }: CreatedBy): Promise<boolean> {
    const stored = await this.#store.session(sessionId);
    const by = stored === undefined ? undefined : rowOf(stored).createdBy;
    if (by?.requestId !== requestId) return false;
    if (by.digest === digest) return true;
    const message = "request_id: was used for another request; draw a new one for each request";
    throw new SessionError("REQUEST_ID_REUSED", message, { ids: { request_id: requestId }, field: "request_id" });
  }

  /**
   * Reads a session and gives it to `use`, which is to be done with it when it resolves.
   *
   * @throws SessionError SESSION_NOT_FOUND, SESSION_LOST, SNAPSHOT_INCOMPATIBLE
   */
  async load<T>(sessionId: string, use: (loaded: LoadedSession) => Promise<T>): Promise<T> {
    const leave = await this.#places.enter();
    try {
      const stored = await this.#store.durable(sessionId);
      const ids = { session_id: sessionId };
      if (stored === undefined)
        throw new SessionError("SESSION_NOT_FOUND", "no such session; create it first", { ids });
      const { info, record: frame, createdBy } = rowOf(stored.session);
      const [record, parts] = recordOf(frame, stored.parts);
      const file = await openSnapshot(stored.image, await this.#seal(), this.#engine.digest);
      if (file.sessionId !== sessionId) throw new SessionError("SNAPSHOT_INVALID", "its image is another session's");
      const pages = new StoredPages(await this.#engine.decodeImage(file.pages, file.extent));
      const since = { commits: 0, bytes: 0 };
      for await (const delta of stored.deltas) {
        pages.apply(delta);
        since.commits++;
        since.bytes += delta.length;
      }
      const answers = stored.outcomes.map(({ outcome }) => readText(outcome) as Answer);
      const saved = { image: pages.image, record: { ...record, answers } };
      // What a hand before this one still sends is refused from this one's first commit on.
      const { owner, version } = stored;
      const ownership = { owner: owner + 1, version };
      const writer = this.#writer(pages, { info, record: frame, createdBy }, parts, ownership, since);
      return await use({ info, saved, writer });
    } catch (error) {
      if (error instanceof SessionError && error.reason === "SNAPSHOT_INCOMPATIBLE") throw ofAnotherBuild(sessionId);
      const isBroken =
        error instanceof PageImageError ||
        error instanceof PageDeltaError ||
        (error instanceof SessionError && error.reason === "SNAPSHOT_INVALID");
      if (!isBroken) throw error;
      const message = `the session cannot be loaded: what the store has of it was damaged (${error.message})`;
      throw new SessionError("SESSION_LOST", message, { ids: { session_id: sessionId } });
    } finally {
      leave();
    }
  }

  #writer(
    pages: StoredPages,
    row: DurableRow,
    parts: RecordParts,
    ownership: Ownership,
    since: SinceWhole = { commits: 0, bytes: 0 },
  ): CommitWriter {
    return new DurableWriter(this.#engine, this.#store, this, pages, row, parts, ownership, since);
  }

  /** False: there was none. @throws StoreError */
  delete(sessionId: string): Promise<boolean> {
    return this.#store.deleteSession(sessionId);
  }

  /**
   * The ids of sessions that are made for a request, the same when the request comes again to another server.
   *
   * @param origin what they are copies of, whose requests have ids of their own; undefined for nothing
   */
  async idsFor(
    origin: Pick<SessionInfo, "sessionId" | "createdAt"> | undefined,
    requestId: string,
    count: number,
  ): Promise<string[]> {
    const key = await this.#signingKey();
    return Array.from({ length: count }, (_, i) => {
      const mac = createHmac("sha256", key).update(
        JSON.stringify([origin?.sessionId, origin?.createdAt, requestId, i]),
      );
      return idOf(mac.digest());
    });
  }

  /**
   * Deletes those whose time is over.
   *
   * @param isUsed whether somebody may have used one since its last commit, or is about to
   * @param deleted is told the id of each
   * @throws StoreError
   */
  async expire(isUsed: (sessionId: string) => boolean, deleted: (sessionId: string) => void): Promise<void> {
    const now = Date.now();
    for (let page = await this.#store.expiredDurable(now); page.length > 0; ) {
      // At once, so that they share a sync; one that was used meanwhile the store knows.
      const deletions = page.map(async ({ sessionId }) => {
        if (!isUsed(sessionId) && (await this.#store.deleteExpired(sessionId, now))) deleted(sessionId);
      });
      await Promise.all(deletions);
      page = await this.#store.expiredDurable(now, page.at(-1));
    }
  }

  /** Whether one was in the middle of something at its last commit. @throws StoreError */
  async isBusy(sessionId: string): Promise<boolean> {
    const stored = await this.#store.session(sessionId);
    return stored !== undefined && rowOf(stored).record.executions.length > 0;
  }

  /** Ids of those that were in the middle of something at their last commit. @throws StoreError */
  busy(): Promise<readonly string[]> {
    return this.#store.busySessions();
  }

  /**
   * Tells ahead of `add`, which looks again, so that nothing is made in vain.
   *
   * @throws StoreError; SessionError QUOTA_EXCEEDED when that would be more than `most`
   */
  async checkMayAdd(sessions: number, most: number): Promise<void> {
    if ((await this.#store.durableCount()) + sessions > most) throw tooMany(most);
  }

  /** An image as the store keeps it: the record changes with every commit, and stands beside it. */
  async seal(info: SessionInfo, image: SessionImage): Promise<Uint8Array> {
    const { sessionId, createdAt, labels } = info;
    const encoded = await this.#engine.encodeImage(image);
    const header = { snapshotId: "", sessionId, createdAt, ttl: 0, labels, engineDigest: this.#engine.digest };
    return sealSnapshot({ ...header, ...encoded, record: NO_RECORD }, await this.#seal());
  }

  /** There is one tenant yet. */
  async #seal(): Promise<Seal> {
    return { key: await this.#signingKey(), tenant: "" };
  }
}

function ofAnotherBuild(sessionId: string): SessionError {
  const message =
    "the session was kept by another build of the engine; use it with the server that kept it, or delete it";
  return new SessionError("SNAPSHOT_INCOMPATIBLE", message, { ids: { session_id: sessionId } });
}

function tooMany(most: number): SessionError {
  const message = `the server keeps at most ${most} durable sessions; delete some, or start it with a larger --max-durable`;
  return new SessionError("QUOTA_EXCEEDED", message, { retryAfter: TOO_MANY_RETRY });
}
