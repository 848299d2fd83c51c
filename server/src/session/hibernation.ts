/**
 * Sessions at rest: a session that nobody uses leaves memory for the store, and comes back by being used. It lives as long as the
 * process that it belongs to: what another process left behind is known to be lost, and is cleared away. Durable sessions are found here too.
 */
import { randomUUID } from "node:crypto";
import { type Engine, PageImageError } from "../engine/engine.js";
import { pageToken, type Store, type StoredSession } from "../store/store.js";
import { SessionError } from "./errors.js";
import { isFull, READ_AT_ONCE } from "./pages.js";
import { Places } from "./places.js";
import type { SessionInfo } from "./session-info.js";
import { readText, type SavedSession, writeText } from "./session-record.js";
import { openSnapshot, type Seal, sealSnapshot } from "./snapshot-file.js";
import { hasEnded } from "./tombstones.js";

/** Images on their way in, and on their way out, at once: each may be as large as a session. */
const IMAGES_AT_ONCE = 4;
const PURGED_AT_ONCE = 256;

/** What stands in the store beside an image. */
interface Row {
  /** Absent for a durable session, which is no process's. */
  readonly process?: string;
  readonly info: SessionInfo;
}

export class Hibernation {
  readonly #engine: Engine;
  readonly #store: Store;
  readonly #signingKey: () => Promise<Uint8Array>;
  /** Apart: what comes in may wait for something to go out. */
  readonly #placesIn = new Places(IMAGES_AT_ONCE);
  readonly #placesOut = new Places(IMAGES_AT_ONCE);
  /** Names this process in what it stores. */
  readonly #process = randomUUID();
  /** Rows that could not be deleted: what they hold is no session any more. */
  readonly #stale = new Set<string>();
  /** Rows that are on their way out: whether they become stale is not known yet. */
  readonly #dropping = new Map<string, Promise<void>>();
  #count = 0;
  #isPurged = false;

  /**
   * @param store is this object's to use, and its owner's to close
   * @param signingKey gives what images are signed by; asked for when it is needed
   */
  constructor(engine: Engine, store: Store, signingKey: () => Promise<Uint8Array>) {
    this.#engine = engine;
    this.#store = store;
    this.#signingKey = signingKey;
  }

  /** How many sessions rest here, those left out that are durable. */
  get count(): number {
    return this.#count;
  }

  /** Waits until one more image may be made to be put here. @returns says that it is gone; to be called once */
  enter(): Promise<() => void> {
    return this.#placesOut.enter();
  }

  /** Puts a session into the store. @throws StoreError; it is not there then */
  async put(info: SessionInfo, { image, record }: SavedSession): Promise<void> {
    const { sessionId, createdAt, labels } = info;
    const encoded = await this.#engine.encodeImage(image);
    const header = { snapshotId: "", sessionId, createdAt, ttl: 0, labels, engineDigest: this.#engine.digest };
    const bytes = await sealSnapshot({ ...header, ...encoded, record }, await this.#seal());
    const row: Row = { process: this.#process, info: { ...info, isHibernated: true } };
    const expiresAt = info.expiresAt === undefined ? undefined : Math.ceil(info.expiresAt);
    await this.#dropping.get(sessionId);
    // Before it is put: from then on nothing of this id is to be cleared away.
    const wasStale = this.#stale.delete(sessionId);
    try {
      await this.#store.putSession(
        { sessionId, createdAt, expiresAt, labels, record: writeText(row), sizeBytes: bytes.length },
        bytes,
      );
    } catch (error) {
      if (wasStale) this.#stale.add(sessionId);
      throw error;
    }
    this.#count++;
  }

  /** What is told of a session here; undefined where there is none. @throws SessionError SESSION_LOST, SESSION_EXPIRED */
  async find(sessionId: string): Promise<SessionInfo | undefined> {
    const stored = await this.#store.session(sessionId);
    if (stored === undefined || this.#stale.has(sessionId)) return undefined;
    const info = this.#read(stored);
    if (info === undefined) throw hasEnded(sessionId, "SESSION_LOST");
    if ((stored.expiresAt ?? Number.POSITIVE_INFINITY) <= Date.now()) throw hasEnded(sessionId, "SESSION_EXPIRED");
    return info;
  }

  /**
   * Reads a session and gives it to `use`, which is to be done with it when it resolves.
   *
   * @throws SessionError when there is none, or its image was changed behind the server's back
   */
  async load<T>(sessionId: string, use: (saved: SavedSession) => Promise<T>): Promise<T> {
    const leave = await this.#placesIn.enter();
    try {
      const bytes = await this.#store.sessionImage(sessionId);
      if (bytes === undefined) throw lost(sessionId, "its image is gone from the store");
      const file = await openSnapshot(bytes, await this.#seal(), this.#engine.digest);
      const image = await this.#engine.decodeImage(file.pages, file.extent);
      return await use({ image, record: file.record });
    } catch (error) {
      const isBroken = error instanceof PageImageError || (error instanceof SessionError && isAboutFile(error));
      throw isBroken ? lost(sessionId, `its image in the store was damaged: ${error.message}`) : error;
    } finally {
      leave();
    }
  }

  /** False: there was none. @throws StoreError; it is there still */
  async delete(sessionId: string, isDurable = false): Promise<boolean> {
    const isDeleted = await this.#store.deleteSession(sessionId);
    if (isDeleted && !isDurable) this.#left(sessionId);
    return isDeleted;
  }

  /** What is here of a session is it no more. Never rejects: what cannot be deleted is passed over, and tried again. */
  async drop(sessionId: string): Promise<void> {
    const dropping = this.delete(sessionId).then(
      () => undefined,
      () => {
        this.#left(sessionId);
        this.#stale.add(sessionId);
      },
    );
    this.#dropping.set(sessionId, dropping);
    await dropping;
    if (this.#dropping.get(sessionId) === dropping) this.#dropping.delete(sessionId);
  }

  /** What could not be deleted of one that left makes way for another. Never rejects. */
  async makeWay(sessionId: string): Promise<void> {
    await this.#dropping.get(sessionId);
    await this.#dropAgain(sessionId);
  }

  async #dropAgain(sessionId: string): Promise<void> {
    // The session may rest here again by now.
    if (!this.#stale.has(sessionId)) return;
    const isGone = await this.#store.deleteSession(sessionId).then(
      () => true,
      () => false,
    );
    if (isGone) this.#stale.delete(sessionId);
  }

  /** What another process left behind, or has expired, makes way for a new session. Never rejects: else that one replaces it. */
  async clear(sessionId: string): Promise<void> {
    const info = await this.#store.session(sessionId).then(
      (stored) => stored && this.#read(stored),
      () => undefined,
    );
    const isDeleted = await this.#store.deleteSession(sessionId).catch(() => false);
    // Only one of this process is counted.
    if (isDeleted && info?.isDurable === false) this.#left(sessionId);
  }

  #left(sessionId: string): void {
    if (!this.#stale.delete(sessionId)) this.#count = Math.max(0, this.#count - 1);
  }

  /**
   * The first sessions of a list, by createdAt, then id.
   *
   * @param after of the page before; undefined for the first
   * @param isLeftOut tells of an id whether it is to be passed over
   */
  async list(
    size: number,
    after: Pick<SessionInfo, "createdAt" | "sessionId"> | undefined,
    labels: ReadonlyMap<string, string>,
    isLeftOut: (sessionId: string) => boolean = () => false,
  ): Promise<SessionInfo[]> {
    const token = after === undefined ? "" : pageToken({ createdAt: after.createdAt, id: after.sessionId });
    const found: SessionInfo[] = [];
    // Those behind what fills a page are on no page that is made of these.
    for (let next = token; found.length < size && !isFull(found); ) {
      const most = Math.min(size, READ_AT_ONCE);
      const page = await this.#store.sessions({ size: most, after: next, labels, now: Date.now() });
      for (const stored of page.items) {
        const info = this.#read(stored);
        if (info === undefined || this.#stale.has(info.sessionId) || isLeftOut(info.sessionId)) continue;
        found.push(info);
      }
      next = page.next;
      if (next === "") break;
    }
    return found.slice(0, size);
  }

  /**
   * Deletes what has expired, and what could not be deleted before.
   *
   * @param lost as of `purge`, where that has failed
   * @returns the ids of sessions among it
   */
  async expire(lost: (sessionId: string) => void): Promise<readonly string[]> {
    // What expires is counted as what rests here, so what others left behind has to be gone.
    if (!this.#isPurged) await this.purge(lost).catch(() => undefined);
    for (const sessionId of [...this.#stale]) await this.#dropAgain(sessionId);
    const ids = await this.#store.expire(Date.now());
    const known = ids.filter((sessionId) => !this.#stale.has(sessionId));
    for (const sessionId of ids) this.#left(sessionId);
    return known;
  }

  /** Clears away what other processes left behind. @param lost is told the id of each */
  async purge(lost: (sessionId: string) => void): Promise<void> {
    for (let after = ""; ; ) {
      const none: ReadonlyMap<string, string> = new Map();
      const options = { size: PURGED_AT_ONCE, after, labels: none, now: 0, isEphemeral: true } as const;
      const page = await this.#store.sessions(options);
      const left = page.items.filter((stored) => this.#read(stored) === undefined);
      for (const { sessionId } of left) lost(sessionId);
      await Promise.all(left.map(({ sessionId }) => this.#store.deleteSession(sessionId)));
      after = page.next;
      if (after !== "") continue;
      this.#isPurged = true;
      return;
    }
  }

  /** There is one tenant yet. */
  async #seal(): Promise<Seal> {
    return { key: await this.#signingKey(), tenant: "" };
  }

  /** Undefined for one of another process. */
  #read({ record }: StoredSession): SessionInfo | undefined {
    const { process, info } = readText(record) as Row;
    return info.isDurable || process === this.#process ? info : undefined;
  }
}

function isAboutFile({ reason }: SessionError): boolean {
  return reason === "SNAPSHOT_INVALID" || reason === "SNAPSHOT_INCOMPATIBLE";
}

function lost(sessionId: string, why: string): SessionError {
  return new SessionError("SESSION_LOST", `the session cannot be woken: ${why}`, { ids: { session_id: sessionId } });
}
