/** All sessions of this server: creates, finds, lists, rests, wakes, expires and deletes them. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Engine } from "../engine/engine.js";
import type { InputValue } from "../engine/kernel-protocol.js";
import { invalid, SessionError, StoreError } from "./errors.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import type { Hibernation } from "./hibernation.js";
import { checkId, drawId } from "./ids.js";
import { type Limits, MAXIMUM_LIMITS, sessionLimits } from "./limits.js";
import type { GuestException } from "./outcome.js";
import { RequestIds } from "./request-ids.js";
import { Session } from "./session.js";
import type { IdleAction, SessionInfo } from "./session-info.js";
import { pageOf, readToken } from "./session-list.js";
import type { LoadedSnapshot, Snapshots } from "./snapshots.js";
import { type Ending, Tombstones } from "./tombstones.js";
import { WakingExecution } from "./waking-execution.js";
import { type Watcher, Watchers } from "./watchers.js";

/** Milliseconds: 30 minutes unless the session says otherwise, at most a week. */
const DEFAULT_IDLE_TTL = 30 * 60_000;
const MAXIMUM_IDLE_TTL = 7 * 24 * 60 * 60_000;
const SWEEP_EVERY = 1_000;
/** Sweeps between two looks for what has expired in the store. */
const STORE_SWEEP = 30;
const QUOTA_RETRY = 1_000;
/** Milliseconds that a session may wait to be woken, and how often it is looked whether there is room. */
const WAKE_PATIENCE = 5_000;
const ROOM_EVERY = 10;
/** A session that could not be put to rest is not tried again for so many milliseconds. */
const REST_RETRY = 30_000;
/** Sessions that are put to rest at once, and that may fail before the store is to blame, not they. */
const RESTED_AT_ONCE = 8;

export interface SessionsOptions {
  /** The most sessions that may be in memory at once. */
  readonly maximum: number;
  /** The most sessions that may rest in the store. */
  readonly maximumHibernated: number;
  /** Milliseconds without use after which a session leaves memory; Infinity for only when there is no room. */
  readonly hibernateAfter: number;
  /** Is told why a session could not be put to rest, which nobody else hears of. */
  readonly onRestFailed?: (error: unknown) => void;
}

export interface CreateOptions {
  /** Empty: the server draws one. */
  readonly sessionId: string;
  /** What it is made from; empty for a session that is made afresh. */
  readonly snapshotId: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly limits: Partial<Limits>;
  /** Milliseconds; 0 for the default. */
  readonly idleTtl: number;
  readonly idleAction: IdleAction;
  readonly globals: ReadonlyMap<string, InputValue>;
  /** Texts of modules by name. */
  readonly modules: ReadonlyMap<string, string>;
  /** Source that runs before anybody gets the session; empty for none. */
  readonly setup: string;
  readonly requestId: string;
  readonly digest: string;
  /** Milliseconds since the epoch by which the setup has to be through; Infinity for none. */
  readonly deadline: number;
}

export interface ForkOptions {
  readonly count: number;
  /** Of the copies. */
  readonly labels: ReadonlyMap<string, string>;
  readonly requestId: string;
  readonly digest: string;
}

/** What of a session is to be changed; what is absent stays. */
export interface UpdateOptions {
  readonly labels?: ReadonlyMap<string, string>;
  /** Those that are named; 0 is the server's default. */
  readonly limits?: Partial<Limits>;
  /** Milliseconds; 0 for the default. */
  readonly idleTtl?: number;
  readonly idleAction?: IdleAction;
}

/** What is to come into memory. */
interface Room {
  readonly sessions: number;
  /** 0: the memory that there is, is enough. */
  readonly heaps: number;
  /** Of each heap. */
  readonly heapBytes: number;
}

const A_FRESH_ONE: Room = { sessions: 1, heaps: 1, heapBytes: 0 };

export class Sessions {
  readonly #engine: Engine;
  readonly #snapshots: Snapshots;
  readonly #hibernation: Hibernation;
  readonly #options: SessionsOptions;
  /** Those in memory. */
  readonly #sessions = new Map<string, Session>();
  readonly #tombstones = new Tombstones();
  /** Ids of sessions, not sessions: a deleted one must not be kept for the sake of a repeat. */
  readonly #created = new RequestIds<string>(({ length }) => length);
  /** Sessions that are being set up; their ids are taken, but nobody can see them. Undefined while there is nothing of it yet. */
  readonly #nascent = new Map<string, Session | undefined>();
  /** Sessions that are on their way from the store. */
  readonly #waking = new Map<string, Promise<Session>>();
  /** Of sessions at rest. */
  readonly #watchers = new Map<string, Watchers>();
  /** Sessions that are on their way to the store. */
  readonly #resting = new Map<Session, Promise<boolean>>();
  /** When those that could not be put to rest may be tried again, in milliseconds since the epoch. */
  readonly #restAgainAt = new WeakMap<Session, number>();
  readonly #alone = new Set<Session>();
  readonly #sweeper: NodeJS.Timeout;
  /** Room that is kept for sessions on their way into memory. */
  #reserved = 0;
  #sweeps = 0;
  #isResting = false;
  /** Sessions that are on their way to the store and that it has room for. */
  #stored = 0;
  #draining = false;

  constructor(engine: Engine, snapshots: Snapshots, hibernation: Hibernation, options: SessionsOptions) {
    this.#engine = engine;
    this.#snapshots = snapshots;
    this.#hibernation = hibernation;
    this.#options = options;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_EVERY);
    this.#sweeper.unref();
    // A store that cannot be used says so to whoever uses it.
    hibernation.purge(this.#lose).catch(() => undefined);
  }

  /** Sessions that take room in memory, or are about to. */
  get count(): number {
    return this.#sessions.size + this.#alone.size + this.#reserved;
  }

  /**
   * @throws SessionError SESSION_ALREADY_EXISTS, QUOTA_EXCEEDED, INVALID_REQUEST (also when the setup throws), DRAINING,
   * REQUEST_ID_REUSED
   */
  async create(options: CreateOptions): Promise<SessionInfo> {
    if (options.requestId === "") return (await this.#create(options)).info;
    let session: Session | undefined;
    const sessionId = await this.#created.once(options.requestId, options.digest, async () => {
      session = await this.#create(options);
      return session.sessionId;
    });
    return session?.info ?? this.info(sessionId);
  }

  /**
   * Runs a command in a session when its turn has come.
   *
   * @throws SessionError; what only the woken session can tell rejects the outcome
   */
  submit(sessionId: string, command: Command, options: CommandOptions): Execution {
    const session = this.#live(sessionId);
    if (session !== undefined) return session.submit(command, options);
    const begin = (awake: Session): Execution => awake.submit(command, options);
    return new WakingExecution(options.requestId, this.#wake(sessionId), begin);
  }

  /**
   * Gives a session to `work`, which is to be done with it when it resolves. One at rest is woken.
   *
   * @throws SessionError SESSION_NOT_FOUND, SESSION_DELETED, SESSION_EXPIRED, SESSION_LOST, INVALID_REQUEST, QUOTA_EXCEEDED
   */
  async use<T>(sessionId: string, work: (session: Session) => Promise<T> | T): Promise<T> {
    const session = this.#live(sessionId) ?? (await this.#wake(sessionId));
    const release = session.hold();
    try {
      return await work(session);
    } finally {
      release();
    }
  }

  /** What is told of a session, which is no use of it. @throws SessionError as `use` */
  async info(sessionId: string): Promise<SessionInfo> {
    return this.#live(sessionId)?.info ?? (await this.#infoAtRest(sessionId));
  }

  /**
   * Tells what happens in a session from now on, which is no use of it.
   *
   * @returns what it is now, and what ends the telling
   * @throws SessionError as `use`
   */
  async watch(sessionId: string, watcher: Watcher): Promise<{ info: SessionInfo; unwatch: () => void }> {
    const info = this.#live(sessionId)?.info ?? (await this.#infoAtRest(sessionId));
    const session = this.#live(sessionId);
    if (session !== undefined) return { info: session.info, unwatch: session.watch(watcher) };
    const unwatch = this.#watchersOf(sessionId).add(watcher);
    const end = (): void => {
      unwatch();
      this.#forgetWatchers(sessionId);
    };
    return { info, unwatch: end };
  }

  /** Who watches a session that is not in memory. */
  #watchersOf(sessionId: string): Watchers {
    const watchers = this.#watchers.get(sessionId) ?? new Watchers();
    this.#watchers.set(sessionId, watchers);
    return watchers;
  }

  /** Where nobody watches. Those of a session that is being woken are to be its own. */
  #forgetWatchers(sessionId: string): void {
    const isKept = this.#waking.has(sessionId) || this.#watchers.get(sessionId)?.isEmpty === false;
    if (!isKept) this.#watchers.delete(sessionId);
  }

  /** Ends an execution by its id; one that has ended or is not known is no error. @throws SessionError as `use` */
  async cancel(sessionId: string, executionId: string): Promise<void> {
    const session = this.#live(sessionId) ?? (await this.#awake(sessionId));
    if (session !== undefined) session.cancel(executionId);
    // In a session at rest nothing is in flight.
    else await this.#infoAtRest(sessionId);
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
    const live = (): Session[] => [...this.#sessions.values()].filter((session) => !this.#isExpired(session));
    // One that rests or wakes while the store is asked is in one of the three.
    const before = live();
    const atRest = await this.#hibernation.list(size + 1, after, labels);
    const resting = atRest.filter(({ sessionId }) => !this.#tombstones.has(sessionId));
    const page = pageOf<Session | SessionInfo>([...live(), ...before, ...resting], size, after, labels);
    return { ...page, sessions: page.sessions.map((session) => (session instanceof Session ? session.info : session)) };
  }

  /** Ends a session; what runs in it is answered ABORTED. */
  async delete(sessionId: string): Promise<void> {
    const session = this.#live(sessionId) ?? (await this.#awake(sessionId));
    if (session !== undefined) return this.#end(session, "SESSION_DELETED");
    // One whose row is damaged is deleted too.
    await this.#infoAtRest(sessionId).catch(unlessStoreFailed);
    const isDeleted = await this.#hibernation.delete(sessionId);
    if (isDeleted) this.#bury(sessionId, "SESSION_DELETED");
    // Somebody may have read it before.
    const woken = this.#live(sessionId) ?? (await this.#awake(sessionId));
    if (woken !== undefined) return this.#end(woken, "SESSION_DELETED");
    // Deleted by somebody else meanwhile, or back at rest.
    if (!isDeleted) return this.delete(sessionId);
  }

  /** A session that is on its way from the store, when it is there. Undefined: there is none, or it could not be woken. */
  async #awake(sessionId: string): Promise<Session | undefined> {
    return this.#waking.get(sessionId)?.catch(() => undefined);
  }

  /**
   * Makes copies of a session, which have its limits. A repeat gives the copies that the first one made.
   *
   * @throws SessionError QUOTA_EXCEEDED when there is no room for all of them: then none is made; DRAINING, REQUEST_ID_REUSED
   */
  async fork(sessionId: string, { count, labels, requestId, digest }: ForkOptions): Promise<SessionInfo[]> {
    return this.use(sessionId, async (origin) => {
      let copies: Session[] | undefined;
      const ids = await origin.once(requestId, digest, async () => {
        copies = await this.#fork(origin, count, labels);
        return copies.map((copy) => copy.sessionId);
      });
      return copies?.map(({ info }) => info) ?? Promise.all(ids.map((id) => this.info(id)));
    });
  }

  async #fork(origin: Session, count: number, labels: ReadonlyMap<string, string>): Promise<Session[]> {
    this.checkNotDraining();
    const inits = Array.from({ length: count }, () => ({ sessionId: drawId(), labels }));
    for (const { sessionId } of inits) this.#nascent.set(sessionId, undefined);
    try {
      return await this.#inRoom({ sessions: count, heaps: count, heapBytes: origin.memoryBytes }, 0, async () => {
        const copies = await origin.fork(inits);
        for (const copy of copies) this.#add(copy);
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
      await session.once(requestId, digest, async () => {
        this.checkNotDraining();
        const snapshot = await this.#snapshots.load(snapshotId, (found) => ofSession(found, sessionId));
        const heapBytes = session.growthTo(snapshot);
        const wanted = { sessions: 0, heaps: heapBytes > 0 ? 1 : 0, heapBytes };
        await this.#inRoom(wanted, 0, () => session.rollBack(snapshot));
        return [sessionId];
      });
      return session.info;
    });
  }

  /** @throws SessionError INVALID_REQUEST; nothing is changed then */
  async update(sessionId: string, { labels, limits, idleTtl, idleAction }: UpdateOptions): Promise<SessionInfo> {
    return this.use(sessionId, async (session) => {
      await session.update({
        ...(labels === undefined ? {} : { labels }),
        ...(limits === undefined ? {} : { limits: sessionLimits({ ...session.limits, ...limits }) }),
        ...(idleTtl === undefined ? {} : { idleTtl: checkedIdleTtl(idleTtl) }),
        ...(idleAction === undefined ? {} : { idleAction }),
      });
      return session.info;
    });
  }

  /** Runs a command in a session made for it alone, which goes with its outcome. */
  executeAlone(command: Command, options: CommandOptions): Execution {
    this.#checkRoomAtOnce();
    const session = new Session(this.#engine, {
      sessionId: "",
      labels: new Map(),
      limits: sessionLimits(options.limits ?? {}),
      idleTtl: MAXIMUM_IDLE_TTL,
      idleAction: "delete",
      parent: "",
    });
    this.#alone.add(session);
    const gone = (): void => {
      this.#alone.delete(session);
      void session.end(new SessionError("SESSION_DELETED", "the session of this execution ended with it"));
    };
    try {
      const execution = session.submit(command, { ...options, limits: undefined });
      execution.outcome.then(gone, gone);
      return execution;
    } catch (error) {
      gone();
      throw error;
    }
  }

  /** Ends an execution that runs without a session, by the request id it was given. */
  cancelAlone(executionId: string): void {
    for (const session of this.#alone) session.cancel(executionId);
  }

  /** What `submit` gives to sessions goes to the engine together, and at once. */
  together(submit: () => void): void {
    this.#engine.together(submit);
  }

  /** From now on nothing new is taken. Resolves when what runs has ended. */
  async drain(): Promise<void> {
    this.#draining = true;
    clearInterval(this.#sweeper);
    // What is to run in them was taken before.
    await Promise.allSettled(this.#waking.values());
    await Promise.all([...this.#all()].map((session) => session.settled()));
  }

  /** @throws SessionError DRAINING when the server is about to stop */
  checkNotDraining(): void {
    if (this.#draining) throw new SessionError("DRAINING", "the server is stopping; try again elsewhere or later");
  }

  *#all(): Generator<Session> {
    yield* this.#sessions.values();
    for (const session of this.#nascent.values()) if (session !== undefined) yield session;
    yield* this.#alone;
  }

  async #create(options: CreateOptions): Promise<Session> {
    const sessionId = options.sessionId === "" ? drawId() : options.sessionId;
    checkId("session_id", sessionId);
    // Whoever asks for a session that is not there looks for it in the store, and takes nobody's id by that.
    if (this.#waking.has(sessionId)) await this.#awake(sessionId);
    const known = this.#sessions.get(sessionId);
    const isTaken = this.#nascent.has(sessionId) || this.#waking.has(sessionId);
    if (isTaken || (known !== undefined && !this.#isExpired(known))) throw alreadyExists(sessionId);
    const { labels, limits, snapshotId, idleAction } = options;
    const init = { sessionId, labels, idleTtl: checkedIdleTtl(options.idleTtl), idleAction, parent: snapshotId };
    const own = sessionLimits(limits);
    this.checkNotDraining();
    this.#nascent.set(sessionId, undefined);
    try {
      if (options.sessionId !== "") await this.#checkNotAtRest(sessionId);
      return await this.#inRoom(A_FRESH_ONE, 0, async () => {
        const session =
          snapshotId === ""
            ? new Session(this.#engine, { ...init, limits: own })
            : await this.#snapshots.load(snapshotId, (saved) => {
                const restored = { ...init, limits: limitsBeside(limits, saved.record.limits) };
                const wanted = { sessions: 0, heaps: 1, heapBytes: saved.image.heapBytes };
                return this.#inRoom(wanted, 0, () => Session.restore(this.#engine, restored, saved));
              });
        this.#nascent.set(sessionId, session);
        try {
          await this.#prepare(session, options);
        } catch (error) {
          await session.end(new SessionError("SESSION_DELETED_MEANWHILE", "the session could not be set up"));
          throw error;
        }
        this.#add(session);
        return session;
      });
    } finally {
      this.#nascent.delete(sessionId);
    }
  }

  #add(session: Session): void {
    this.#sessions.set(session.sessionId, session);
    this.#tombstones.delete(session.sessionId);
  }

  /** One of a process that has ended makes way. @throws SessionError SESSION_ALREADY_EXISTS */
  async #checkNotAtRest(sessionId: string): Promise<void> {
    if (this.#tombstones.has(sessionId)) return;
    const info = await this.#hibernation.find(sessionId).catch(async (error: unknown) => {
      if (!(error instanceof SessionError && error.reason === "SESSION_LOST")) throw error;
      await this.#hibernation.clear(sessionId);
      return undefined;
    });
    if (info !== undefined) throw alreadyExists(sessionId);
  }

  /** The session where it is in memory. @throws SessionError INVALID_REQUEST (id) */
  #live(sessionId: string): Session | undefined {
    checkId("session_id", sessionId);
    const session = this.#sessions.get(sessionId);
    return session === undefined || this.#isExpired(session) ? undefined : session;
  }

  /** @throws SessionError where no session rests under this id */
  async #infoAtRest(sessionId: string): Promise<SessionInfo> {
    this.#tombstones.check(sessionId);
    const info = await this.#hibernation.find(sessionId);
    if (info !== undefined) return info;
    // It may have been woken, or may have ended, while the store was asked.
    const session = this.#live(sessionId);
    if (session !== undefined) return session.info;
    this.#tombstones.check(sessionId);
    throw new SessionError("SESSION_NOT_FOUND", "no such session; create it first", { ids: { session_id: sessionId } });
  }

  /** @throws SessionError where no session rests under this id, or there is no room for it */
  #wake(sessionId: string): Promise<Session> {
    const known = this.#waking.get(sessionId);
    if (known !== undefined) return known;
    const waking = this.#load(sessionId);
    this.#waking.set(sessionId, waking);
    return waking;
  }

  async #load(sessionId: string): Promise<Session> {
    try {
      const info = await this.#infoAtRest(sessionId);
      const live = this.#live(sessionId);
      if (live !== undefined) return live;
      const wanted = { sessions: 1, heaps: 1, heapBytes: info.memoryBytes };
      const session = await this.#inRoom(wanted, WAKE_PATIENCE, async () => {
        const watchers = this.#watchersOf(sessionId);
        const awake = await this.#hibernation.load(sessionId, (saved) =>
          // Others may have taken the room meanwhile.
          this.#inRoom({ ...wanted, sessions: 0 }, WAKE_PATIENCE, () =>
            Session.wake(this.#engine, info, saved, watchers),
          ),
        );
        this.#watchers.delete(sessionId);
        this.#add(awake);
        watchers.changed(awake.info);
        return awake;
      });
      // What is in the store is not the session any more.
      void this.#hibernation.drop(sessionId);
      return session;
    } catch (error) {
      // It may have been deleted, or have expired, while it was on its way.
      if (this.#tombstones.has(sessionId)) this.#endWatching(sessionId);
      this.#tombstones.check(sessionId);
      throw error;
    } finally {
      this.#waking.delete(sessionId);
      this.#forgetWatchers(sessionId);
    }
  }

  async #prepare(session: Session, options: CreateOptions): Promise<void> {
    if (options.modules.size > 0) await session.addModules(options.modules);
    if (options.globals.size > 0) await session.defineGlobals(options.globals);
    if (options.setup === "") return;
    const { outcome } = session.submit(
      { kind: "execute", code: options.setup, filename: "setup.js", bindings: new Map() },
      {
        encoding: 4,
        handleGroup: "",
        atomic: false,
        parentExecutionId: "",
        requestId: "",
        digest: "",
        deadline: options.deadline,
      },
    );
    const { result } = await outcome;
    if (result.kind === "exception") throw invalid("setup", `threw ${describe(result.exception)}`);
    if (result.kind === "stopped") throw invalid("setup", `was stopped: ${result.message}`);
  }

  /**
   * Brings sessions into memory once there is room for them.
   *
   * @param patience milliseconds to wait where all that are in memory are in use
   * @throws SessionError QUOTA_EXCEEDED
   */
  async #inRoom<T>(wanted: Room, patience: number, work: () => Promise<T>): Promise<T> {
    const until = Date.now() + patience;
    while (!this.#hasRoomFor(wanted)) {
      this.#expire();
      const tooMany = Math.max(1, this.count + wanted.sessions - this.#options.maximum);
      if (this.#hasRoomFor(wanted) || (await this.#restFirst(tooMany, () => true)) > 0) continue;
      // Others may be making room just now.
      if (await this.#hasRested()) continue;
      if (this.#hasRoomFor(wanted)) continue;
      if (Date.now() >= until) throw this.#noRoomFor(wanted);
      await sleep(ROOM_EVERY);
    }
    this.#reserved += wanted.sessions;
    try {
      return await work();
    } finally {
      this.#reserved -= wanted.sessions;
    }
  }

  /** Waits for those that are on their way to the store. @returns whether one of them has left memory */
  async #hasRested(): Promise<boolean> {
    for (const resting of [...this.#resting.values()]) if (await resting) return true;
    return false;
  }

  /** As `#inRoom` for a fresh one, for who cannot wait. */
  #checkRoomAtOnce(): void {
    this.checkNotDraining();
    if (this.#hasRoomFor(A_FRESH_ONE)) return;
    this.#expire();
    if (this.#hasRoomFor(A_FRESH_ONE)) return;
    void this.#restFirst(1, () => true);
    throw this.#noRoomFor(A_FRESH_ONE);
  }

  #hasRoomFor({ sessions, heaps, heapBytes }: Room): boolean {
    return this.count + sessions <= this.#options.maximum && this.#engine.hasRoomFor(heaps, heapBytes);
  }

  #noRoomFor({ sessions }: Room): SessionError {
    const { maximum } = this.#options;
    const [what, flag] =
      this.count + sessions <= maximum
        ? ["all the memory that its sessions may hold together", "--max-memory"]
        : [`${this.count} sessions in memory of at most ${maximum}`, "--max-sessions"];
    return new SessionError(
      "QUOTA_EXCEEDED",
      `the server holds ${what}, and none of its sessions can leave memory now; delete some, give them a shorter idle_ttl, or start it with a larger ${flag}`,
      { retryAfter: QUOTA_RETRY },
    );
  }

  #sweep(): void {
    this.#expire();
    if (++this.#sweeps % STORE_SWEEP === 0) void this.#expireAtRest().catch(() => undefined);
    if (this.#isResting) return;
    this.#isResting = true;
    const now = Date.now();
    const isDue = ({ lastUsedAt, idleAction, expiresAt }: Session): boolean =>
      lastUsedAt + this.#options.hibernateAfter <= now || (idleAction === "hibernate" && expiresAt <= now);
    void this.#restFirst(Number.POSITIVE_INFINITY, isDue).finally(() => {
      this.#isResting = false;
    });
  }

  /**
   * Puts sessions to rest, those first that were not used for longest. One that cannot be stored stays.
   *
   * @param most how many
   * @returns how many there were
   */
  async #restFirst(most: number, isMeant: (session: Session) => boolean): Promise<number> {
    if (this.#isStoreClosed) return 0;
    const now = Date.now();
    const mayRest = (session: Session): boolean =>
      isMeant(session) && (this.#restAgainAt.get(session) ?? 0) <= now && session.mayRest;
    const candidates = [...this.#sessions.values()].filter(mayRest);
    candidates.sort((a, b) => a.lastUsedAt - b.lastUsedAt);
    let rested = 0;
    let failed = 0;
    for (let at = 0; at < candidates.length && rested < most && failed < RESTED_AT_ONCE; ) {
      const some = candidates.slice(at, at + Math.min(RESTED_AT_ONCE, most - rested));
      const done = await Promise.all(some.map((session) => this.#rest(session)));
      rested += done.filter(Boolean).length;
      failed += some.filter((session) => (this.#restAgainAt.get(session) ?? 0) > now).length;
      at += some.length;
    }
    return rested;
  }

  /** @returns false when it was used meanwhile, there is no room for it, or it could not be stored */
  #rest(session: Session): Promise<boolean> {
    // Another has chosen it too.
    if (this.#resting.has(session)) return Promise.resolve(false);
    const resting = this.#putToRest(session)
      .catch((error: unknown) => {
        // It was deleted on its way.
        if (error instanceof SessionError) return false;
        this.#restAgainAt.set(session, Date.now() + REST_RETRY);
        this.#options.onRestFailed?.(error);
        return false;
      })
      .finally(() => this.#resting.delete(session));
    this.#resting.set(session, resting);
    return resting;
  }

  async #putToRest(session: Session): Promise<boolean> {
    // First: its image is as large as it is.
    const leave = await this.#hibernation.enter();
    try {
      if (this.#isStoreClosed) return false;
      this.#stored++;
      return await this.#store(session).finally(() => this.#stored--);
    } finally {
      leave();
    }
  }

  /** No more sessions are to rest. */
  get #isStoreClosed(): boolean {
    return this.#draining || this.#hibernation.count + this.#stored >= this.#options.maximumHibernated;
  }

  async #store(session: Session): Promise<boolean> {
    const { sessionId } = session;
    // Another has put it to rest since it was chosen, or is about to: what is in the store is not this one's to delete.
    if (!session.mayRest) return false;
    const watchers = await session.rest((info, saved) => this.#hibernation.put(info, saved));
    if (watchers === undefined) {
      // Used meanwhile, or gone: what was put into the store is not the session any more.
      await this.#hibernation.drop(sessionId);
      return false;
    }
    this.#sessions.delete(sessionId);
    this.#tombstones.delete(sessionId);
    if (!watchers.isEmpty) {
      this.#watchers.set(sessionId, watchers);
      watchers.changed({ ...session.info, isHibernated: true });
    }
    return true;
  }

  /** Not used for its idle_ttl; it is ended here, so that nobody sees it between two sweeps. */
  #isExpired(session: Session): boolean {
    if (session.idleAction !== "delete" || !session.isIdle || session.expiresAt > Date.now()) return false;
    void this.#end(session, "SESSION_EXPIRED");
    return true;
  }

  #expire(): void {
    for (const session of this.#sessions.values()) this.#isExpired(session);
  }

  async #expireAtRest(): Promise<void> {
    for (const sessionId of await this.#hibernation.expire(this.#lose)) this.#bury(sessionId, "SESSION_EXPIRED");
  }

  /** Another process has left it behind. */
  readonly #lose = (sessionId: string): void => this.#bury(sessionId, "SESSION_LOST");

  /** One at rest is no more. */
  #bury(sessionId: string, ending: Ending): void {
    // It was woken before, or there is another of this id.
    if (this.#sessions.has(sessionId)) return;
    this.#tombstones.add(sessionId, ending);
    // Who wakes it just now finds out whether it was too late.
    if (!this.#waking.has(sessionId)) this.#endWatching(sessionId);
  }

  #endWatching(sessionId: string): void {
    this.#watchers.get(sessionId)?.ended(deletedMeanwhile(sessionId));
    this.#watchers.delete(sessionId);
  }

  async #end(session: Session, ending: Ending): Promise<void> {
    const { sessionId } = session;
    this.#sessions.delete(sessionId);
    this.#tombstones.add(sessionId, ending);
    await session.end(deletedMeanwhile(sessionId));
  }
}

/** @throws what is no failure of the store */
function unlessStoreFailed(error: unknown): void {
  if (!(error instanceof StoreError)) throw error;
}

function deletedMeanwhile(sessionId: string): SessionError {
  const ids = { session_id: sessionId };
  return new SessionError("SESSION_DELETED_MEANWHILE", "the session was deleted while this call ran", { ids });
}

function alreadyExists(sessionId: string): SessionError {
  return new SessionError("SESSION_ALREADY_EXISTS", "session_id: is in use; leave it empty to get one drawn", {
    ids: { session_id: sessionId },
    field: "session_id",
  });
}

function describe(exception: GuestException): string {
  return exception.name === "" ? exception.message : `${exception.name}: ${exception.message}`;
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
function ofSession(snapshot: LoadedSnapshot, sessionId: string): LoadedSnapshot {
  if (snapshot.sessionId === sessionId) return snapshot;
  throw invalid("snapshot_id", "is a snapshot of another session; make a new session from it with CreateSession");
}
