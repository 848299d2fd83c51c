/** All sessions of this server, in memory or at rest: creates, finds, copies, changes, lists and deletes them. */
import { setTimeout as sleep } from "node:timers/promises";
import { clock, type Engine } from "../engine/engine.js";
import { CarriedBytes } from "./carried-bytes.js";
import type { DurableSessions } from "./durable-sessions.js";
import { invalid, isDeletion, SessionError } from "./errors.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import { LiveSessions } from "./live-sessions.js";
import { LoneExecutions } from "./lone-executions.js";
import { NewSessions } from "./new-sessions.js";
import { NEVER_RETRY, Room, type RoomOptions } from "./room.js";
import { Rounds } from "./rounds.js";
import { Session, USE_KEPT_WITHIN } from "./session.js";
import type { SessionChanges, SessionInfo } from "./session-info.js";
import { checkedIdleTtl } from "./session-life.js";
import { pageOf, readToken } from "./session-list.js";
import type { CreateOptions } from "./session-setup.js";
import { type Kept, SessionsAtRest } from "./sessions-at-rest.js";
import type { LoadedSnapshot, Snapshots } from "./snapshots.js";
import { Tombstones } from "./tombstones.js";
import { WakingExecution } from "./waking-execution.js";
import type { Watcher } from "./watchers.js";

/** Milliseconds that a session may wait for room to be woken. */
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
  readonly #new: NewSessions;
  readonly #lists = new Rounds(LISTS_AT_ONCE);
  readonly #alone: LoneExecutions;
  readonly #carried: CarriedBytes;
  readonly #options: SessionsOptions;
  #draining = false;

  constructor(engine: Engine, snapshots: Snapshots, kept: Kept, options: SessionsOptions) {
    this.#engine = engine;
    this.#snapshots = snapshots;
    this.#durable = kept.durable;
    this.#options = options;
    const tombstones = new Tombstones();
    this.#live = new LiveSessions(tombstones, {
      lost: (sessionId, watchers) => {
        this.#atRest.keepWatching(sessionId, watchers);
        void this.#reload(sessionId);
      },
      ended: (sessionId) => this.#atRest.endWatching(sessionId),
    });
    this.#atRest = new SessionsAtRest(engine, kept, this.#live, tombstones, options.maximumHibernated);
    this.#room = new Room(engine, this.#live, this.#atRest, options);
    const fresh = new Rounds(FRESH_AT_ONCE);
    this.#alone = new LoneExecutions(engine, this.#room, fresh);
    this.#new = new NewSessions({
      engine,
      snapshots,
      durable: this.#durable,
      live: this.#live,
      atRest: this.#atRest,
      room: this.#room,
      fresh,
      maximumDurable: options.maximumDurable,
      checkNotDraining: () => this.checkNotDraining(),
    });
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
    if ((await this.#bringBack(sessionId)) !== undefined) return;
    this.#live.dismissLenders(sessionId);
    this.#atRest.dismissWatchers(sessionId);
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
    return this.#carried.create(options, this.#new.knows(options.requestId), async () => {
      const { sessionId, session } = await this.#new.create(options);
      return session?.info ?? this.info(sessionId);
    });
  }

  /**
   * Runs a command in a session when its turn has come.
   *
   * @throws SessionError, DRAINING, QUEUE_FULL; what only the woken session can tell rejects the outcome
   */
  submit(sessionId: string, command: Command, options: CommandOptions): Execution {
    const session = this.#live.find(sessionId);
    // What runs is to end well, so what runs on its behalf is let in.
    const isOnBehalf = session?.isOnBehalf(options.parentExecutionId) === true;
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

  /** Whether nobody has to look for a session: it is in memory, or on its way. */
  isAtHand(sessionId: string): boolean {
    return this.#live.has(sessionId) || this.#atRest.isWaking(sessionId);
  }

  /** Calls of host functions by a session that is in memory which are not answered. */
  openCallsOf(sessionId: string): number {
    return this.#live.has(sessionId) ? (this.#live.find(sessionId)?.hostFunctions.openCalls ?? 0) : 0;
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
    return this.use(sessionId, async (origin) => {
      const copies = new Map<string, Session>();
      const kept = origin.onceKept(requestId, digest, async () => {
        const { ids, made } = await this.#new.copy(origin, count, labels, { requestId, digest });
        for (const copy of made) copies.set(copy.sessionId, copy);
        return ids;
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
    yield* this.#new.all;
  }

  /** @throws SessionError where no session rests under this id, or there is no room for it */
  #wake(sessionId: string): Promise<Session> {
    // Counted from here on: what it needs is known when it is read, so it may wait twice, and behind others that wait.
    const until = clock() + WAKE_PATIENCE;
    return this.#atRest.wake(sessionId, (wanted, work) => this.#room.bringIn(wanted, until - clock(), work));
  }
}

/** Room may come. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof SessionError) || error.reason !== "QUOTA_EXCEEDED") return false;
  return error.details.retryAfter !== NEVER_RETRY;
}

/** @throws SessionError INVALID_REQUEST when it is one of another session */
function ofSession(snapshot: LoadedSnapshot, { sessionId, createdAt }: Session): LoadedSnapshot {
  if (snapshot.sessionId === sessionId && (snapshot.sessionCreatedAt ?? createdAt) === createdAt) return snapshot;
  throw invalid("snapshot_id", "is a snapshot of another session; make a new session from it with CreateSession");
}
