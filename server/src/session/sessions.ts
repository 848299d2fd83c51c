/** All sessions of this server, in memory or at rest: creates, finds, copies, changes, lists and deletes them. */
import { setTimeout as sleep } from "node:timers/promises";
import { clock, type Engine } from "../engine/engine.js";
import { HeapShare } from "../engine/main-heap.js";
import { CarriedBytes } from "./carried-bytes.js";
import type { CreatedBy } from "./durable-row.js";
import type { DurableSessions } from "./durable-sessions.js";
import { invalid, isDeletion, SessionError } from "./errors.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import { checkId, drawId } from "./ids.js";
import { type Limits, MAXIMUM_LIMITS, sessionLimits } from "./limits.js";
import { LiveSessions } from "./live-sessions.js";
import { LoneExecutions } from "./lone-executions.js";
import { RequestIds } from "./request-ids.js";
import { A_FRESH_ONE, NEVER_RETRY, Room, type RoomOptions } from "./room.js";
import { Rounds } from "./rounds.js";
import { Session, USE_KEPT_WITHIN } from "./session.js";
import type { SessionChanges, SessionInfo } from "./session-info.js";
import { pageOf, readToken } from "./session-list.js";
import { type CreateOptions, prepare } from "./session-setup.js";
import { type Kept, SessionsAtRest } from "./sessions-at-rest.js";
import type { LoadedSnapshot, Snapshots } from "./snapshots.js";
import { Tombstones } from "./tombstones.js";
import { WakingExecution } from "./waking-execution.js";
import type { Watcher } from "./watchers.js";

/** Milliseconds: 30 minutes unless the session says otherwise, at most a week. */
const DEFAULT_IDLE_TTL = 30 * 60_000;
const MAXIMUM_IDLE_TTL = 7 * 24 * 60 * 60_000;
/** Milliseconds that a session may wait to be woken. */
const WAKE_PATIENCE = 5_000;
/** Milliseconds in which a session that could not be kept is brought back by itself. */
const RELOAD_PATIENCE = 60_000;
/** Milliseconds between two tries: where all memory is taken a try is refused at once. */
const RELOAD_AGAIN = 1_000;

/** Fresh sessions that are made before others have the thread: each takes about half a millisecond, most of it for its memory. */
const FRESH_AT_ONCE = 30;
/** Lists likewise: each goes through all sessions, and a page of a thousand has megabytes. */
const LISTS_AT_ONCE = 1;

export interface SessionsOptions extends RoomOptions {
  /** The most sessions that may rest in the store, those left out that are durable. */
  readonly maximumHibernated: number;
  /** The most sessions that may be durable; 0: the store ends with the process, so none is. */
  readonly maximumDurable: number;
  /** The most bytes of code and values that requests in flight may carry together; left out: what fits the heap of the process. */
  readonly maximumCarried?: number | undefined;
}

export interface ForkOptions {
  readonly count: number;
  /** Of the copies. */
  readonly labels: ReadonlyMap<string, string>;
  readonly requestId: string;
  readonly digest: string;
}

export class Sessions {
  readonly #engine: Engine;
  readonly #snapshots: Snapshots;
  readonly #durable: DurableSessions;
  readonly #live: LiveSessions;
  readonly #atRest: SessionsAtRest;
  readonly #room: Room;
  /** Ids of sessions, not sessions: a deleted one must not be kept for the sake of a repeat. */
  readonly #created: RequestIds<string>;
  /** Sessions that are being set up; their ids are taken, but nobody can see them. Undefined while there is nothing of it yet. */
  readonly #nascent = new Map<string, Session | undefined>();
  readonly #fresh = new Rounds(FRESH_AT_ONCE);
  readonly #lists = new Rounds(LISTS_AT_ONCE);
  readonly #alone: LoneExecutions;
  readonly #carried: CarriedBytes;
  readonly #options: SessionsOptions;
  #draining = false;

  constructor(engine: Engine, snapshots: Snapshots, kept: Kept, options: SessionsOptions) {
    this.#engine = engine;
    this.#created = new RequestIds(({ length }) => length, new HeapShare(engine.mainHeap));
    this.#snapshots = snapshots;
    this.#durable = kept.durable;
    this.#options = options;
    const tombstones = new Tombstones();
    this.#live = new LiveSessions(tombstones, {
      lost: (sessionId) => void this.#reload(sessionId),
      ended: (sessionId) => this.#atRest.endWatching(sessionId),
    });
    this.#atRest = new SessionsAtRest(engine, kept, this.#live, tombstones, options.maximumHibernated);
    this.#room = new Room(engine, this.#live, this.#atRest, options);
    this.#alone = new LoneExecutions(engine, this.#room, this.#fresh);
    this.#carried = new CarriedBytes(options.maximumCarried);
  }

  /** Goes on with what durable sessions were in the middle of when the last server ended. Never rejects. */
  async resume(): Promise<void> {
    // A store that cannot be used says so to whoever uses it.
    const busy = await this.#durable.busy().catch(() => []);
    for (const sessionId of busy) {
      if (this.#draining) return;
      // One for which there is no room yet makes nobody else wait.
      if (this.#live.find(sessionId) === undefined)
        await this.#wake(sessionId).catch((error: unknown) => {
          if (isPassing(error)) void this.#bringBack(sessionId);
        });
    }
  }

  /** What could not be kept is undone, and the session goes on from there. Never rejects: else it is loaded when it is used. */
  async #reload(sessionId: string): Promise<void> {
    if ((await this.#bringBack(sessionId)) === undefined) this.#live.dismissLenders(sessionId);
  }

  /** Loads a session unasked. Never rejects: undefined where that cannot be, and who uses it is told why. */
  async #bringBack(sessionId: string): Promise<Session | undefined> {
    for (const end = clock() + RELOAD_PATIENCE; !this.#draining; await sleep(RELOAD_AGAIN, undefined, { ref: false })) {
      try {
        return await this.#wake(sessionId);
      } catch (error) {
        if (!isPassing(error) || clock() > end) break;
      }
    }
    return undefined;
  }

  /** Sessions that take room in memory, or are about to. */
  get count(): number {
    return this.#room.count;
  }

  /**
   * @throws SessionError SESSION_ALREADY_EXISTS, QUOTA_EXCEEDED, INVALID_REQUEST (also when the setup throws), DRAINING,
   * REQUEST_ID_REUSED, QUEUE_FULL
   */
  create(options: CreateOptions): Promise<SessionInfo> {
    // A repeat makes nothing.
    return this.#carried.create(options, this.#created.has(options.requestId), () => this.#createOnce(options));
  }

  async #createOnce(options: CreateOptions): Promise<SessionInfo> {
    const { requestId, digest } = options;
    if (requestId === "") return (await this.#create(options)).info;
    let session: Session | undefined;
    const sessionId = await this.#created.once(requestId, digest, async () => {
      const made = options.isDurable ? await this.#madeBefore(options) : undefined;
      if (made !== undefined) return made;
      session = await this.#create(options);
      return session.sessionId;
    });
    return session?.info ?? this.info(sessionId);
  }

  /** The durable session that a server before this one made for the same request. @throws SessionError REQUEST_ID_REUSED */
  async #madeBefore(options: CreateOptions): Promise<string | undefined> {
    const sessionId = await this.#idFor(options);
    return (await this.#durable.wasMadeBy(sessionId, options)) ? sessionId : undefined;
  }

  /** The id of a session that is to be made. @throws SessionError INVALID_REQUEST */
  async #idFor({ sessionId, requestId, isDurable }: CreateOptions): Promise<string> {
    if (sessionId !== "") checkId("session_id", sessionId);
    const [drawn = drawId()] = isDurable && requestId !== "" ? await this.#durable.idsFor(undefined, requestId, 1) : [];
    return sessionId === "" ? drawn : sessionId;
  }

  /**
   * Runs a command in a session when its turn has come.
   *
   * @throws SessionError, DRAINING, QUEUE_FULL; what only the woken session can tell rejects the outcome
   */
  submit(sessionId: string, command: Command, options: CommandOptions): Execution {
    const session = this.#live.find(sessionId);
    // What runs is to end well, so what runs on its behalf is let in.
    const isOnBehalf = session?.isInFlight(options.parentExecutionId) === true;
    // A repeat runs nothing, and a refusal would say that the first one did not.
    const isLetIn = isOnBehalf || session?.knows(options.requestId) === true;
    if (!isLetIn) this.checkNotDraining();
    return this.#carried.begin(command, options, isLetIn, () => {
      if (session !== undefined) return session.submit(command, options);
      const begin = (awake: Session): Execution => awake.submit(command, options);
      return new WakingExecution(options.requestId, this.#wake(sessionId), begin);
    });
  }

  /**
   * Gives a session to `work`, which is to be done with it when it resolves. One at rest is woken.
   *
   * @throws SessionError SESSION_NOT_FOUND, SESSION_DELETED, SESSION_EXPIRED, SESSION_LOST, INVALID_REQUEST, QUOTA_EXCEEDED
   */
  async use<T>(sessionId: string, work: (session: Session) => Promise<T> | T): Promise<T> {
    const session = this.#live.find(sessionId) ?? (await this.#wake(sessionId));
    const release = session.hold();
    try {
      return await work(session);
    } finally {
      release();
    }
  }

  /** What is told of a session, which is no use of it. @throws SessionError as `use` */
  async info(sessionId: string): Promise<SessionInfo> {
    return this.#live.find(sessionId)?.info ?? (await this.#atRest.info(sessionId));
  }

  /**
   * Tells what happens in a session from now on, which is no use of it.
   *
   * @returns what it is now, and what ends the telling
   * @throws SessionError as `use`
   */
  async watch(sessionId: string, watcher: Watcher): Promise<{ info: SessionInfo; unwatch: () => void }> {
    const info = this.#live.find(sessionId)?.info ?? (await this.#atRest.info(sessionId));
    const session = this.#live.find(sessionId);
    if (session !== undefined) return { info: session.info, unwatch: session.watch(watcher) };
    return { info, unwatch: this.#atRest.watch(sessionId, watcher) };
  }

  /** Ends an execution by its id; one that has ended or is not known is no error. @throws SessionError as `use` */
  async cancel(sessionId: string, executionId: string): Promise<void> {
    const session =
      this.#live.find(sessionId) ?? (await this.#atRest.awake(sessionId)) ?? (await this.#goingOn(sessionId));
    await session?.cancel(executionId);
  }

  /** One at rest in which something is in flight, since the server that had it has ended; undefined for another. @throws as `use` */
  async #goingOn(sessionId: string): Promise<Session | undefined> {
    const { isDurable } = await this.#atRest.info(sessionId);
    return isDurable && (await this.#durable.isBusy(sessionId)) ? this.#wake(sessionId) : undefined;
  }

  /**
   * One page of the sessions that have all these labels, by the time they were created. `next` is empty on the last page.
   *
   * @throws SessionError INVALID_REQUEST for a token that no list gave
   */
  async list(
    size: number,
    token: string,
    labels: ReadonlyMap<string, string>,
  ): Promise<{ sessions: readonly SessionInfo[]; next: string }> {
    const after = readToken(token);
    await this.#lists.take();
    // One that rests or wakes while the store is asked is in one of the three.
    const before = this.#live.allFound();
    const resting = await this.#atRest.list(size + 1, after, labels);
    await this.#lists.take();
    const page = pageOf<Session | SessionInfo>([...this.#live.allFound(), ...before, ...resting], size, after, labels);
    return { ...page, sessions: page.sessions.map((session) => (session instanceof Session ? session.info : session)) };
  }

  /** Ends a session; what runs in it is answered ABORTED. */
  async delete(sessionId: string): Promise<void> {
    const session = this.#live.find(sessionId) ?? (await this.#atRest.awake(sessionId));
    if (session !== undefined) return this.#live.end(session, "SESSION_DELETED");
    const isDeleted = await this.#atRest.delete(sessionId);
    // Somebody may have read it before.
    const woken = this.#live.find(sessionId) ?? (await this.#atRest.awake(sessionId));
    if (woken !== undefined) return this.#live.end(woken, "SESSION_DELETED");
    // Deleted by somebody else meanwhile, or back at rest.
    if (!isDeleted) return this.delete(sessionId);
  }

  /**
   * Makes copies of a session, which have its limits. A repeat gives the copies that the first one made.
   *
   * @throws SessionError QUOTA_EXCEEDED when there is no room for all of them: then none is made; DRAINING, REQUEST_ID_REUSED
   */
  async fork(sessionId: string, { count, labels, requestId, digest }: ForkOptions): Promise<SessionInfo[]> {
    const { maximum } = this.#options;
    // Before anything of it is done: others would leave memory for copies that there can never be.
    if (count > maximum) {
      const message = `count: is ${count}, and at most ${maximum} sessions may be in memory; ask for fewer`;
      throw new SessionError("QUOTA_EXCEEDED", message, { retryAfter: NEVER_RETRY });
    }
    const by = { requestId, digest };
    return this.use(sessionId, async (origin) => {
      const copies = new Map<string, Session>();
      const kept = origin.onceKept(requestId, digest, async () => {
        const isNamed = origin.isDurable && requestId !== "";
        const copyIds = isNamed
          ? await this.#durable.idsFor(origin, requestId, count)
          : Array.from({ length: count }, drawId);
        // Some are there where whoever made them ended before it was done. They may have been used since.
        const isMade = await Promise.all(copyIds.map((id) => isNamed && this.#durable.wasMadeBy(id, by)));
        const missing = copyIds.filter((_, i) => isMade[i] !== true);
        if (missing.length === 0) return copyIds;
        for (const copy of await this.#fork(origin, missing, labels, by)) copies.set(copy.sessionId, copy);
        return copyIds;
      });
      const ids = await kept.catch(async (error: unknown) => {
        // No repeat will find them.
        if (isDeletion(error))
          for (const copy of copies.values()) await this.#live.end(copy, "SESSION_DELETED").catch(() => undefined);
        throw error;
      });
      return Promise.all(ids.map((id) => copies.get(id)?.info ?? this.info(id)));
    });
  }

  /** @param ids of the copies */
  async #fork(
    origin: Session,
    ids: readonly string[],
    labels: ReadonlyMap<string, string>,
    by: CreatedBy,
  ): Promise<Session[]> {
    this.checkNotDraining();
    const count = ids.length;
    if (origin.isDurable) await this.#checkMayAdd(count);
    const inits = ids.map((sessionId) => ({ sessionId, labels }));
    for (const { sessionId } of inits) this.#nascent.set(sessionId, undefined);
    try {
      const wanted = { sessions: count, heaps: count, heapBytes: origin.grownBytes };
      return await this.#room.bringIn(wanted, 0, async () => {
        const copies = await origin.fork(inits);
        if (origin.isDurable) await this.#makeDurable(copies, by);
        else for (const copy of copies) this.#live.add(copy);
        return copies;
      });
    } finally {
      for (const { sessionId } of inits) this.#nascent.delete(sessionId);
    }
  }

  /**
   * Puts a session back to a snapshot of it. A repeat changes nothing, and gives the session as it is now.
   *
   * @throws SessionError SNAPSHOT_NOT_FOUND, SNAPSHOT_INCOMPATIBLE, INVALID_REQUEST (of another session), REQUEST_ID_REUSED
   */
  async rollBack(sessionId: string, snapshotId: string, requestId: string, digest: string): Promise<SessionInfo> {
    return this.use(sessionId, async (session) => {
      await session.onceKept(requestId, digest, async (tell) => {
        this.checkNotDraining();
        const snapshot = await this.#snapshots.load(snapshotId, (found) => ofSession(found, session));
        const heapBytes = session.growthTo(snapshot);
        const wanted = { sessions: 0, heaps: heapBytes > 0 ? 1 : 0, heapBytes };
        // Were it done again, that would undo what came after it.
        const done = (): void => tell([sessionId]);
        await this.#room.bringIn(wanted, 0, () => session.rollBack(snapshot, done));
        return [sessionId];
      });
      return session.info;
    });
  }

  /** @throws SessionError INVALID_REQUEST; nothing is changed then */
  async update(sessionId: string, changes: SessionChanges): Promise<SessionInfo> {
    const { idleTtl } = changes;
    return this.use(sessionId, async (session) => {
      await session.update({ ...changes, ...(idleTtl === undefined ? {} : { idleTtl: checkedIdleTtl(idleTtl) }) });
      return session.info;
    });
  }

  /** Runs a command in a session made for it alone, which goes with its outcome. */
  executeAlone(command: Command, options: CommandOptions): Execution {
    this.checkNotDraining();
    return this.#carried.begin(command, options, false, () => this.#alone.begin(command, options));
  }

  /** Ends an execution that runs without a session, by the request id it was given. */
  cancelAlone(executionId: string): void {
    this.#alone.cancel(executionId);
  }

  /** What `submit` gives to sessions goes to the engine together, and at once. */
  together(submit: () => void): void {
    this.#engine.together(submit);
  }

  /** From now on nothing new is taken. Resolves when what runs has ended. */
  async drain(): Promise<void> {
    this.#draining = true;
    // What is to run in them was taken before. They may need room that others make.
    await this.#atRest.allAwake();
    await this.#alone.settled();
    this.#room.close();
    await Promise.all([...this.#all()].map((session) => session.settled()));
    // What is not kept of this costs a session at most the time for which it would still have stayed.
    await Promise.allSettled(this.#live.all().map((session) => session.keepUse(USE_KEPT_WITHIN)));
  }

  /** @throws SessionError DRAINING when the server is about to stop */
  checkNotDraining(): void {
    if (this.#draining) throw new SessionError("DRAINING", "the server is stopping; try again elsewhere or later");
  }

  *#all(): Generator<Session> {
    yield* this.#live.all();
    for (const session of this.#nascent.values()) if (session !== undefined) yield session;
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
    this.checkNotDraining();
    this.#nascent.set(sessionId, undefined);
    try {
      if (!isNew && (await this.#atRest.has(sessionId))) throw alreadyExists(sessionId);
      if (snapshotId === "") await this.#fresh.take();
      return await this.#room.bringIn(A_FRESH_ONE, 0, async () => {
        const session =
          snapshotId === ""
            ? new Session(this.#engine, { ...init, limits: own })
            : await this.#snapshots.load(snapshotId, (saved) => {
                const restored = { ...init, limits: limitsBeside(limits ?? {}, saved.record.limits) };
                const wanted = { sessions: 0, heaps: 1, heapBytes: this.#engine.grownBytes(saved.image) };
                return this.#room.bringIn(wanted, 0, () => Session.restore(this.#engine, restored, saved));
              });
        this.#nascent.set(sessionId, session);
        try {
          await prepare(session, options);
          if (options.isDurable) await this.#makeDurable([session], options);
          else this.#live.add(session);
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

  /** Resolves when a session of this id that is on its way into memory, or out of the store, is there. */
  async #arrived(sessionId: string): Promise<void> {
    // One that has expired leaves when somebody looks.
    this.#live.find(sessionId);
    // What takes it out of the store is not to meet another of its id there.
    await this.#live.hasLeft(sessionId);
    if (this.#live.find(sessionId) === undefined) await this.#atRest.hasLeft(sessionId);
    // Whoever asks for a session that is not there looks for it in the store, and takes nobody's id by that.
    if (this.#atRest.isWaking(sessionId)) await this.#atRest.awake(sessionId);
  }

  /** Whether a session of this id is in memory, or is about to be. */
  #isInMemory(sessionId: string): boolean {
    return this.#nascent.has(sessionId) || this.#atRest.isWaking(sessionId) || this.#live.has(sessionId);
  }

  /** @throws SessionError NO_STORE where none may be, QUOTA_EXCEEDED when that would be more than may */
  async #checkMayAdd(sessions: number): Promise<void> {
    const { maximumDurable: most } = this.#options;
    if (most === 0) {
      const message =
        "durability: this server keeps no durable sessions; have it started with --data DIR, or leave it out";
      throw new SessionError("NO_STORE", message, { field: "durability" });
    }
    await this.#durable.checkMayAdd(sessions, most);
  }

  /** All of them are there at once. @throws SessionError, StoreError; then none of them is durable, and all have ended */
  async #makeDurable(sessions: readonly Session[], { requestId, digest }: CreatedBy): Promise<void> {
    const createdBy = requestId === "" ? undefined : { requestId, digest };
    const made: Session[] = [];
    // Whoever found one of them in the store would load it a second time.
    const show = this.#atRest.hide(sessions.map(({ sessionId }) => sessionId));
    try {
      for (const session of sessions) {
        await session.makeDurable((info, saved) =>
          this.#durable.add(info, saved, this.#options.maximumDurable, createdBy),
        );
        made.push(session);
      }
      for (const session of sessions) this.#live.add(session);
    } catch (error) {
      const ended = (): SessionError =>
        new SessionError("SESSION_DELETED_MEANWHILE", "the session could not be made durable");
      for (const session of sessions) await session.end(ended);
      for (const { sessionId } of made) await this.#durable.delete(sessionId).catch(() => undefined);
      throw error;
    } finally {
      show();
    }
  }

  /** @throws SessionError where no session rests under this id, or there is no room for it */
  #wake(sessionId: string): Promise<Session> {
    return this.#atRest.wake(sessionId, (wanted, work) => this.#room.bringIn(wanted, WAKE_PATIENCE, work));
  }
}

/** Room may come. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof SessionError) || error.reason !== "QUOTA_EXCEEDED") return false;
  return error.details.retryAfter !== NEVER_RETRY;
}

function alreadyExists(sessionId: string): SessionError {
  return new SessionError("SESSION_ALREADY_EXISTS", "session_id: is in use; leave it empty to get one drawn", {
    ids: { session_id: sessionId },
    field: "session_id",
  });
}

/** @throws SessionError INVALID_REQUEST */
function checkedIdleTtl(idleTtl: number): number {
  if (idleTtl >= 0 && idleTtl <= MAXIMUM_IDLE_TTL) return idleTtl || DEFAULT_IDLE_TTL;
  throw invalid("idle_ttl", `must be between 0 (the default) and ${MAXIMUM_IDLE_TTL / 1000} s`);
}

/** Limits that are not asked for are those of the snapshot, as far as this server gives them. */
function limitsBeside(requested: Partial<Limits>, saved: Limits): Limits {
  const names = Object.keys(saved) as (keyof Limits)[];
  const limits = names.map((name) => [name, requested[name] || Math.min(saved[name], MAXIMUM_LIMITS[name])]);
  return sessionLimits(Object.fromEntries(limits) as Partial<Limits>);
}

/** @throws SessionError INVALID_REQUEST when it is one of another session */
function ofSession(snapshot: LoadedSnapshot, { sessionId, createdAt }: Session): LoadedSnapshot {
  if (snapshot.sessionId === sessionId && (snapshot.sessionCreatedAt ?? createdAt) === createdAt) return snapshot;
  throw invalid("snapshot_id", "is a snapshot of another session; make a new session from it with CreateSession");
}
