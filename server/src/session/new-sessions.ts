/** Sessions that are made: fresh ones, those from snapshots, and copies; from their ids to the moment when others may find them. */
import type { Engine } from "../engine/engine.js";
import { HeapShare } from "../engine/main-heap.js";
import type { CreatedBy } from "./durable-row.js";
import type { DurableSessions } from "./durable-sessions.js";
import { SessionError } from "./errors.js";
import { checkRoomForLabels } from "./heap-room.js";
import { checkId, drawId } from "./ids.js";
import { type Limits, MAXIMUM_LIMITS, sessionLimits } from "./limits.js";
import type { LiveSessions } from "./live-sessions.js";
import { labelBytes } from "./pages.js";
import { RequestIds } from "./request-ids.js";
import { A_FRESH_ONE, type Room } from "./room.js";
import type { Rounds } from "./rounds.js";
import { Session } from "./session.js";
import { checkedIdleTtl } from "./session-life.js";
import { type CreateOptions, prepare } from "./session-setup.js";
import type { SessionsAtRest } from "./sessions-at-rest.js";
import type { Snapshots } from "./snapshots.js";

/** Where sessions are, and what is needed to make one. */
export interface NewSessionsHost {
  readonly engine: Engine;
  readonly snapshots: Snapshots;
  readonly durable: DurableSessions;
  readonly live: LiveSessions;
  readonly atRest: SessionsAtRest;
  readonly room: Room;
  /** Fresh ones are made in these. */
  readonly fresh: Rounds;
  /** The most sessions that may be durable; 0: none. */
  readonly maximumDurable: number;
  /** @throws SessionError DRAINING */
  checkNotDraining(): void;
}

export class NewSessions {
  readonly #host: NewSessionsHost;
  /** Ids of sessions, not sessions: a deleted one must not be kept for the sake of a repeat. */
  readonly #created: RequestIds<string>;
  /** Sessions that are being set up; their ids are taken, but nobody can see them. Undefined while there is nothing of it yet. */
  readonly #nascent = new Map<string, Session | undefined>();

  constructor(host: NewSessionsHost) {
    this.#host = host;
    this.#created = new RequestIds(({ length }) => length, new HeapShare(host.engine.mainHeap));
  }

  /** Whether a request of this id has made a session before. */
  knows(requestId: string): boolean {
    return this.#created.has(requestId);
  }

  /** Those that nobody can see yet. */
  get all(): Session[] {
    return [...this.#nascent.values()].filter((session) => session !== undefined);
  }

  /**
   * Makes a session, or gives the id of the one that the first request of this id made.
   *
   * @throws SessionError SESSION_ALREADY_EXISTS, QUOTA_EXCEEDED, INVALID_REQUEST (also when the setup throws), DRAINING,
   * REQUEST_ID_REUSED
   */
  async create(options: CreateOptions): Promise<{ sessionId: string; session: Session | undefined }> {
    const { requestId, digest } = options;
    let session: Session | undefined;
    if (requestId === "") {
      session = await this.#create(options);
      return { sessionId: session.sessionId, session };
    }
    const sessionId = await this.#created.once(requestId, digest, async () => {
      const made = options.isDurable ? await this.#madeBefore(options) : undefined;
      if (made !== undefined) return made;
      session = await this.#create(options);
      return session.sessionId;
    });
    return { sessionId, session };
  }

  /** The durable session that a server before this one made for the same request. @throws SessionError REQUEST_ID_REUSED */
  async #madeBefore(options: CreateOptions): Promise<string | undefined> {
    const sessionId = await this.#idFor(options);
    return (await this.#host.durable.wasMadeBy(sessionId, options)) ? sessionId : undefined;
  }

  /** The id of a session that is to be made. @throws SessionError INVALID_REQUEST */
  async #idFor({ sessionId, requestId, isDurable }: CreateOptions): Promise<string> {
    if (sessionId !== "") checkId("session_id", sessionId);
    const [drawn = drawId()] =
      isDurable && requestId !== "" ? await this.#host.durable.idsFor(undefined, requestId, 1) : [];
    return sessionId === "" ? drawn : sessionId;
  }

  async #create(options: CreateOptions): Promise<Session> {
    if (options.isDurable) await this.#checkMayAdd(1);
    // Nobody can have had it before.
    const isNew = options.sessionId === "" && !options.isDurable;
    const sessionId = isNew ? drawId() : await this.#idFor(options);
    if (!isNew) await this.#arrived(sessionId);
    if (!isNew && this.#isInMemory(sessionId)) throw alreadyExists(sessionId);
    const { labels, limits, snapshotId, idleAction } = options;
    const init = { sessionId, labels, idleTtl: checkedIdleTtl(options.idleTtl), idleAction, parent: snapshotId };
    const own = sessionLimits(limits);
    this.#host.checkNotDraining();
    this.#nascent.set(sessionId, undefined);
    try {
      if (!isNew && (await this.#host.atRest.has(sessionId))) throw alreadyExists(sessionId);
      if (snapshotId === "") await this.#host.fresh.take();
      return await this.#host.room.bringIn(A_FRESH_ONE, 0, async () => {
        this.#checkRoomFor(labels, 1);
        const session =
          snapshotId === ""
            ? new Session(this.#host.engine, { ...init, limits: own })
            : await this.#host.snapshots.load(snapshotId, (saved) => {
                const restored = { ...init, limits: limitsBeside(limits ?? {}, saved.record.limits) };
                const wanted = { sessions: 0, heaps: 1, heapBytes: this.#host.engine.grownBytes(saved.image) };
                return this.#host.room.bringIn(wanted, 0, () => Session.restore(this.#host.engine, restored, saved));
              });
        this.#nascent.set(sessionId, session);
        try {
          await prepare(session, options);
          if (options.isDurable) await this.#makeDurable([session], options);
          else this.#host.live.add(session);
        } catch (error) {
          await session.end(() => new SessionError("SESSION_DELETED_MEANWHILE", "the session could not be set up"));
          throw error;
        }
        return session;
      });
    } finally {
      this.#nascent.delete(sessionId);
    }
  }

  /**
   * Makes copies of a session. Of a durable one that makes them for the same request again only those that are missing: some are there
   * where whoever made them ended before it was done. They may have been used since.
   *
   * @returns the ids of all, and those that were made
   * @throws SessionError QUOTA_EXCEEDED, DRAINING
   */
  async copy(
    origin: Session,
    count: number,
    labels: ReadonlyMap<string, string>,
    by: CreatedBy,
  ): Promise<{ ids: string[]; made: Session[] }> {
    const { durable } = this.#host;
    const isNamed = origin.isDurable && by.requestId !== "";
    const ids = isNamed ? await durable.idsFor(origin, by.requestId, count) : Array.from({ length: count }, drawId);
    const isMade = await Promise.all(ids.map((id) => isNamed && durable.wasMadeBy(id, by)));
    const missing = ids.filter((_, i) => isMade[i] !== true);
    return { ids, made: missing.length === 0 ? [] : await this.#fork(origin, missing, labels, by) };
  }

  /** @param ids of the copies */
  async #fork(
    origin: Session,
    ids: readonly string[],
    labels: ReadonlyMap<string, string>,
    by: CreatedBy,
  ): Promise<Session[]> {
    this.#host.checkNotDraining();
    const count = ids.length;
    if (origin.isDurable) await this.#checkMayAdd(count);
    const inits = ids.map((sessionId) => ({ sessionId, labels }));
    for (const { sessionId } of inits) this.#nascent.set(sessionId, undefined);
    try {
      const wanted = { sessions: count, heaps: count, heapBytes: origin.grownBytes };
      return await this.#host.room.bringIn(wanted, 0, async () => {
        this.#checkRoomFor(labels, count);
        const copies = await origin.fork(inits);
        if (origin.isDurable) await this.#makeDurable(copies, by);
        else for (const copy of copies) this.#host.live.add(copy);
        return copies;
      });
    } finally {
      for (const { sessionId } of inits) this.#nascent.delete(sessionId);
    }
  }

  /** Resolves when a session of this id that is on its way into memory, or out of the store, is there. */
  async #arrived(sessionId: string): Promise<void> {
    // One that has expired leaves when somebody looks.
    this.#host.live.find(sessionId);
    // What takes it out of the store is not to meet another of its id there.
    await this.#host.live.hasLeft(sessionId);
    if (this.#host.live.find(sessionId) === undefined) await this.#host.atRest.hasLeft(sessionId);
    // Whoever asks for a session that is not there looks for it in the store, and takes nobody's id by that.
    if (this.#host.atRest.isWaking(sessionId)) await this.#host.atRest.awake(sessionId);
  }

  /** Whether a session of this id is in memory, or is about to be. */
  #isInMemory(sessionId: string): boolean {
    return this.#nascent.has(sessionId) || this.#host.atRest.isWaking(sessionId) || this.#host.live.has(sessionId);
  }

  /** @throws SessionError QUOTA_EXCEEDED where the main thread cannot keep these labels of so many sessions */
  #checkRoomFor(labels: ReadonlyMap<string, string>, sessions: number): void {
    const bytes = labelBytes(labels);
    checkRoomForLabels(new HeapShare(this.#host.engine.mainHeap), sessions * bytes, bytes);
  }

  /** @throws SessionError NO_STORE where none may be, QUOTA_EXCEEDED when that would be more than may */
  async #checkMayAdd(sessions: number): Promise<void> {
    const { maximumDurable: most } = this.#host;
    if (most === 0) {
      const message =
        "durability: this server keeps no durable sessions; have it started with --data DIR, or leave it out";
      throw new SessionError("NO_STORE", message, { field: "durability" });
    }
    await this.#host.durable.checkMayAdd(sessions, most);
  }

  /** All of them are there at once. @throws SessionError, StoreError; then none of them is durable, and all have ended */
  async #makeDurable(sessions: readonly Session[], { requestId, digest }: CreatedBy): Promise<void> {
    const createdBy = requestId === "" ? undefined : { requestId, digest };
    const made: Session[] = [];
    // Whoever found one of them in the store would load it a second time.
    const show = this.#host.atRest.hide(sessions.map(({ sessionId }) => sessionId));
    try {
      for (const session of sessions) {
        await session.makeDurable((info, saved) =>
          this.#host.durable.add(info, saved, this.#host.maximumDurable, createdBy),
        );
        made.push(session);
      }
      for (const session of sessions) this.#host.live.add(session);
    } catch (error) {
      const ended = (): SessionError =>
        new SessionError("SESSION_DELETED_MEANWHILE", "the session could not be made durable");
      for (const session of sessions) await session.end(ended);
      for (const { sessionId } of made) await this.#host.durable.delete(sessionId).catch(() => undefined);
      throw error;
    } finally {
      show();
    }
  }
}

function alreadyExists(sessionId: string): SessionError {
  return new SessionError("SESSION_ALREADY_EXISTS", "session_id: is in use; leave it empty to get one drawn", {
    ids: { session_id: sessionId },
    field: "session_id",
  });
}

/** Limits that are not asked for are those of the snapshot, as far as this server gives them. */
function limitsBeside(requested: Partial<Limits>, saved: Limits): Limits {
  const names = Object.keys(saved) as (keyof Limits)[];
  const limits = names.map((name) => [name, requested[name] || Math.min(saved[name], MAXIMUM_LIMITS[name])]);
  return sessionLimits(Object.fromEntries(limits) as Partial<Limits>);
}
