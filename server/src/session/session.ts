/**
 * One live session as the others know it: what is told of it, what it is asked for, and how long it lives. What runs in it is in
 * executions.ts; how it is copied and put back, in session-copies.ts.
 */
import { setImmediate as nextRound } from "node:timers/promises";
import type { Engine } from "../engine/engine.js";
import type { InputValue, TurnInput } from "../engine/kernel-protocol.js";
import { HeapShare } from "../engine/main-heap.js";
import type { SessionMemory } from "../engine/session-memory.js";
import type { Asks } from "./asks.js";
import { Commits, type CommitWriter } from "./commits.js";
import { creationTime } from "./creation-time.js";
import { isDeletion, SessionError } from "./errors.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import { Executions } from "./executions.js";
import { checkRoomForLabels, takeRoomFor } from "./heap-room.js";
import type { HostFunctions, Lenders } from "./host-functions.js";
import type { ExposeOptions, HostLink } from "./lending.js";
import { type Limits, sessionLimits } from "./limits.js";
import type { Outcome } from "./outcome.js";
import { sizeOfAnswer } from "./outcome-size.js";
import { labelBytes } from "./pages.js";
import { RequestIds } from "./request-ids.js";
import { SessionCopies, withRoom } from "./session-copies.js";
import type { IdleAction, SessionChanges, SessionInfo, SessionInit, SessionUsage } from "./session-info.js";
import { SessionLife } from "./session-life.js";
import type { CopyIds, SavedSession, SessionRecord } from "./session-record.js";
import { type Watcher, Watchers } from "./watchers.js";

/** Milliseconds: so much of when it was used last is forgotten when a session leaves memory. */
export const USE_KEPT_WITHIN = 1_000;
const NO_USAGE: SessionUsage = { wallTime: 0, cpuTime: 0, queueTime: 0, hostTime: 0, turns: 0, hostCalls: 0 };

/** A session that was at rest goes on as itself. */
export interface Awakened {
  readonly info: Pick<SessionInfo, "createdAt" | "lastUsedAt" | "usage">;
  /** Those who watched it. */
  readonly watchers: Watchers;
  /** Of a durable one: what its commits go by. */
  readonly writer?: CommitWriter | undefined;
}

/** What a session that is a copy begins with. */
interface Copied {
  readonly memory: SessionMemory;
  readonly record: SessionRecord;
  readonly awakened?: Awakened;
}

export class Session {
  readonly sessionId: string;
  readonly parent: string;
  readonly createdAt: number;
  readonly usage: SessionUsage;
  #labels: ReadonlyMap<string, string>;
  #limits: Limits;
  #idleTtl: number;
  #idleAction: IdleAction;
  #isGoingToRest = false;
  /** The use after which functions were given back. */
  #gaveBackAt = 0;
  readonly #engine: Engine;
  readonly #memory: SessionMemory;
  readonly #life: SessionLife;
  readonly #executions: Executions;
  readonly #asks: Asks;
  readonly #copies: SessionCopies;
  readonly #requestIds: RequestIds<Outcome | CopyIds>;
  /** Of what the main thread keeps. */
  readonly share: HeapShare;
  readonly #watchers: Watchers;
  /** What of it waits to be kept, where it is durable. */
  readonly commits = new Commits();
  /** What it did could not be kept: it has left memory, and is to be loaded again; set by its owner. */
  onLost: (lenders: Lenders, watchers: Watchers) => void = () => undefined;

  /** @param copied what it begins with, which is its own from now on; absent for one that is made afresh */
  constructor(engine: Engine, init: SessionInit, copied?: Copied) {
    this.sessionId = init.sessionId;
    this.parent = init.parent;
    this.#labels = init.labels;
    this.#limits = init.limits;
    this.#idleTtl = init.idleTtl;
    this.#idleAction = init.idleAction;
    const awakened = copied?.awakened;
    const { createdAt = creationTime(), lastUsedAt = createdAt, usage = NO_USAGE } = awakened?.info ?? {};
    this.createdAt = createdAt;
    this.#life = new SessionLife(lastUsedAt);
    this.usage = { ...usage };
    this.#watchers = awakened?.watchers ?? new Watchers();
    this.share = new HeapShare(engine.mainHeap);
    this.#requestIds = new RequestIds(sizeOfAnswer, this.share);
    this.#engine = engine;
    this.#memory = copied?.memory ?? engine.createMemory(init.limits.memoryBytes);
    // Without a memory there is no session, and nobody would give it back.
    this.share.change(labelBytes(init.labels));
    this.#executions = new Executions(this, engine, this.#memory, this.#life, this.#watchers);
    this.#asks = this.#executions.asks;
    this.#copies = new SessionCopies(engine, this.#memory, this.#executions, this.#life);
    if (copied === undefined) return;
    if (awakened?.writer !== undefined) this.#beginCommits(awakened.writer, copied.record);
    this.#executions.resume(copied.record, awakened !== undefined);
    if (awakened !== undefined) this.#resumeRequests(copied.record);
  }

  /** @param stored what the store has of it */
  #beginCommits(writer: CommitWriter, stored: SessionRecord): void {
    this.commits.begin(writer, { usedAt: this.lastUsedAt, record: stored });
    this.#requestIds.keepIn(this.commits);
  }

  /** It has come back: what was answered is known again, and who repeats a request that is still in flight waits for it. */
  #resumeRequests({ answers = [], executions }: SessionRecord): void {
    this.#requestIds.restore(answers);
    for (const { executionId, digest } of executions) {
      const execution = digest === "" ? undefined : this.#executions.byId(executionId);
      if (execution !== undefined) this.#requestIds.resume(executionId, digest, execution.outcome);
    }
  }

  /**
   * A session as another was.
   *
   * @throws SessionError INVALID_REQUEST when its limits leave no room for the heap, QUOTA_EXCEEDED
   */
  static async restore(engine: Engine, init: SessionInit, saved: SavedSession): Promise<Session> {
    const { record } = saved;
    const session = await Session.#from(engine, saved, init.limits, (memory) => {
      return new Session(engine, init, { memory, record });
    });
    await session.#asks.pauseNext(() => session.#asks.endRest(record));
    return session;
  }

  /**
   * A session that was at rest, as it would be now had it stayed in memory.
   *
   * @throws SessionError INVALID_REQUEST when its limits leave no room for the heap, QUOTA_EXCEEDED
   */
  static wake(
    engine: Engine,
    info: SessionInfo,
    saved: SavedSession,
    watchers: Watchers,
    writer?: CommitWriter,
  ): Promise<Session> {
    const { record } = saved;
    return Session.#from(engine, saved, info.limits, (memory) => {
      return new Session(engine, info, { memory, record, awakened: { info, watchers, writer } });
    });
  }

  static async #from(
    engine: Engine,
    { image, record }: SavedSession,
    { memoryBytes }: Limits,
    make: (memory: SessionMemory) => Session,
  ): Promise<Session> {
    const leave = takeRoomFor(engine.mainHeap, record);
    try {
      return make(await withRoom(() => engine.createMemoryFrom(image, memoryBytes)));
    } finally {
      leave();
    }
  }

  /**
   * From now on it survives the process: whoever waits for anything of it is told when the store has it.
   *
   * @param add puts it into the store
   * @throws SessionError, StoreError: it is not durable then
   */
  async makeDurable(add: (info: SessionInfo, saved: SavedSession) => Promise<CommitWriter>): Promise<void> {
    await this.#asks.pause(async () => {
      const saved = await this.#copies.saveAtRest();
      this.#beginCommits(await add({ ...this.info, isDurable: true }, saved), saved.record);
    });
  }

  get isDurable(): boolean {
    return this.commits.isDurable;
  }

  /** Functions that clients lend to it. */
  get hostFunctions(): HostFunctions {
    return this.#executions.hostFunctions;
  }

  /** Milliseconds since the epoch. */
  get lastUsedAt(): number {
    return this.#life.lastUsedAt;
  }

  get labels(): ReadonlyMap<string, string> {
    return this.#labels;
  }

  get limits(): Limits {
    return this.#limits;
  }

  /** Milliseconds without use after which the session is deleted. */
  get idleTtl(): number {
    return this.#idleTtl;
  }

  get idleAction(): IdleAction {
    return this.#idleAction;
  }

  get info(): SessionInfo {
    const { sessionId, labels, limits, idleTtl, idleAction, createdAt, lastUsedAt, parent, memoryBytes, handleCount } =
      this;
    return {
      sessionId,
      isDurable: this.isDurable,
      isHibernated: false,
      labels,
      limits,
      idleTtl,
      idleAction,
      createdAt,
      lastUsedAt,
      expiresAt: this.isIdle && idleAction === "delete" ? this.expiresAt : undefined,
      parent,
      usage: { ...this.usage },
      memoryBytes,
      handleCount,
    };
  }

  /** True when it may leave memory: nothing is in flight, nobody has it in hand, and no client lends it functions. */
  get mayRest(): boolean {
    return !this.#isGoingToRest && this.#isUnused;
  }

  get #isUnused(): boolean {
    return this.#isStill && !this.hostFunctions.hasClients;
  }

  /** Unused but for functions that clients may lend it. */
  get #isStill(): boolean {
    if (!this.isIdle || this.#asks.size > 0 || this.#life.isHeld || this.#life.ended !== undefined) return false;
    return this.#requestIds.isSettled && !this.commits.isDue;
  }

  /** True when it stays in memory for functions alone that clients have passed, and that guest code may hold no more. */
  get mayGiveBack(): boolean {
    return this.#gaveBackAt !== this.#life.uses && this.#isStill && this.hostFunctions.arePassedAlone;
  }

  /** Nothing can be done with it any more. */
  get hasEnded(): boolean {
    return this.#life.ended !== undefined;
  }

  /** True while somebody has it in hand. */
  get isHeld(): boolean {
    return this.#life.isHeld;
  }

  /** Keeps it in memory until what this gives is called. */
  hold(): () => void {
    return this.#life.hold();
  }

  /** Heap in use, in bytes. */
  get memoryBytes(): number {
    return this.#memory.heapBytes;
  }

  /** What the heap has grown to, in bytes: a copy needs as much. */
  get grownBytes(): number {
    return this.#engine.grownBytes(this.#memory);
  }

  get handleCount(): number {
    return this.#memory.handles;
  }

  get isIdle(): boolean {
    return this.#executions.isIdle;
  }

  /** When its idle_ttl is over unless it is used before, in milliseconds since the epoch. */
  get expiresAt(): number {
    return this.lastUsedAt + this.idleTtl;
  }

  /**
   * Runs a command when its turn has come.
   *
   * @throws SessionError QUEUE_FULL, REQUEST_ID_REUSED, OUTCOME_EXPIRED, INVALID_REQUEST (limits)
   */
  submit(command: Command, options: CommandOptions): Execution {
    const { requestId } = options;
    if (requestId === "") return this.#executions.begin(command, options);
    let started: Execution | undefined;
    const outcome = this.once(requestId, options.digest, () => {
      started = this.#executions.begin(command, options);
      return started.outcome;
    });
    if (started !== undefined) return started;
    if (options.passed !== undefined) this.hostFunctions.passedAgain(options.passed);
    return {
      executionId: requestId,
      outcome,
      cancel: () => this.#executions.byId(requestId)?.cancel(),
      allow: () => undefined,
    };
  }

  /** Whether what names this execution runs on behalf of one that has no outcome yet. */
  isOnBehalf(executionId: string): boolean {
    return this.#executions.isOnBehalf(executionId);
  }

  /** Whether a request of this id has come before. */
  knows(requestId: string): boolean {
    return this.#requestIds.has(requestId);
  }

  /**
   * Gives what the first request with this id gave, or is going to, running it if there was none; without an id it is run.
   *
   * @param digest names the request; those of different kinds have different ones, so what is kept is what `run` gives
   * @throws SessionError REQUEST_ID_REUSED, OUTCOME_EXPIRED
   */
  once<T extends Outcome | CopyIds>(requestId: string, digest: string, run: () => Promise<T>): Promise<T> {
    return requestId === "" ? run() : (this.#requestIds.once(requestId, digest, run) as Promise<T>);
  }

  /**
   * As `once`, for what is no execution: that it was answered is kept when it is.
   *
   * @param run may tell its answer before it resolves, to have it kept with what it has changed; that is kept then
   */
  onceKept<T extends CopyIds>(
    requestId: string,
    digest: string,
    run: (tell: (answer: T) => void) => Promise<T>,
  ): Promise<T> {
    if (requestId === "") return run(() => undefined);
    return this.once(requestId, digest, async () => {
      let isTold = false;
      const tell = (answer: T): void => {
        isTold = true;
        this.answered(requestId, digest, answer);
      };
      const answer = await run(tell);
      if (isTold) return answer;
      tell(answer);
      await this.commits.stored().catch((error: unknown) => {
        throw this.#lossOfAnswer(error);
      });
      return answer;
    });
  }

  /**
   * The session as it is between two turns, to be kept or to make others of: `restore` does. Garbage is collected first.
   *
   * @param ready is waited for, at rest, before anything is copied
   * @throws SessionError when the session ends before
   */
  save(ready: () => Promise<void>): Promise<SavedSession> {
    return this.#copies.save(ready);
  }

  /**
   * Leaves memory: what it was is `keep`'s, and this object is not to be used any more. It stays as it is when somebody uses it
   * before `keep` is done, or when that fails.
   *
   * @returns those who watch it; undefined when it stays
   */
  async rest(keep: (info: SessionInfo, saved: SavedSession) => Promise<void>): Promise<Watchers | undefined> {
    if (!this.mayRest) return undefined;
    this.#isGoingToRest = true;
    const { info, lastUsedAt, isDurable } = this;
    // Saving counts as one.
    const uses = this.#life.uses + (isDurable ? 0 : 1);
    try {
      // Of a durable one the store has all but, maybe, when it was used last.
      await this.keepUse(USE_KEPT_WITHIN);
      await this.commits.compacted();
      if (!isDurable) {
        const { image, record } = await this.save(() => Promise.resolve());
        await keep(info, { image, record: { ...record, answers: this.#requestIds.record } });
      }
      if (this.#life.uses !== uses || !this.#isUnused) return undefined;
      const message = "the session left memory while this call came; try again";
      this.#life.end(() => new SessionError("SESSION_DELETED_MEANWHILE", message));
      this.#executions.leave();
      this.#engine.releaseMemory(this.#memory);
      return this.#watchers;
    } finally {
      this.#isGoingToRest = false;
      // Going to rest is no use.
      if (this.#life.uses === uses) this.#life.lastUsedAt = lastUsedAt;
    }
  }

  /**
   * Gives functions back that guest code holds no more, which nobody hears of before its garbage is collected. As that finds what it
   * finds, it is done once after each use. Never rejects.
   */
  async giveBack(): Promise<void> {
    const { lastUsedAt } = this;
    const given = this.#copies.collectGarbage();
    const { uses } = this.#life;
    this.#gaveBackAt = uses;
    await given.catch(() => undefined);
    // It is still by then.
    await nextRound();
    // This was no use.
    if (this.#life.uses === uses && this.#isStill) this.#life.lastUsedAt = lastUsedAt;
  }

  /**
   * Copies of the session as it is between two turns, which go on by themselves. They have its limits.
   *
   * @throws SessionError when the session ends before, QUOTA_EXCEEDED; there are no copies then
   */
  fork(inits: readonly Pick<SessionInit, "sessionId" | "labels">[]): Promise<Session[]> {
    let copies: Session[] = [];
    const made = this.#asks.pause(async () => {
      const { record } = this.#executions;
      const { limits, idleTtl, idleAction, sessionId: parent } = this;
      const leave = takeRoomFor(this.#engine.mainHeap, record, inits.length);
      try {
        const memories = await this.#copies.memories(inits.length, limits.memoryBytes);
        copies = inits.map((init, i) => {
          const memory = memories[i] as SessionMemory;
          return new Session(this.#engine, { ...init, limits, idleTtl, idleAction, parent }, { memory, record });
        });
        return copies;
      } finally {
        leave();
      }
    });
    return made.catch(async (error: unknown) => {
      // What they are copies of could not be kept.
      const why = (): SessionError => new SessionError("SESSION_DELETED_MEANWHILE", "the copy could not be made");
      await Promise.all(copies.map((copy) => copy.end(why)));
      throw error;
    });
  }

  /**
   * Puts the session back to where it was. What is in flight ends with outcome `stopped`, ROLLED_BACK; what comes from now on
   * finds the session as it was.
   *
   * @param done is called when it is back there, before that is kept
   * @throws SessionError when the session ends before; INVALID_REQUEST when its limits leave no room for the heap; QUOTA_EXCEEDED
   */
  rollBack(saved: SavedSession, done: () => void): Promise<void> {
    return this.#copies.rollBack(saved, done);
  }

  /** Bytes by which its memory has to grow to be put back. */
  growthTo(saved: SavedSession): number {
    return this.#copies.growthTo(saved);
  }

  /**
   * Changes what of a session may change, for executions that begin from then on.
   *
   * @throws SessionError INVALID_REQUEST for a limit that no session can have, and when the heap is larger than it is to be;
   *   QUOTA_EXCEEDED for labels that there is no room for; nothing is changed then
   */
  async update({ labels, limits, idleTtl, idleAction }: SessionChanges): Promise<void> {
    const wanted = (): Limits => (limits === undefined ? this.#limits : sessionLimits({ ...this.#limits, ...limits }));
    const { memoryBytes } = wanted();
    if (memoryBytes !== this.#limits.memoryBytes) {
      await this.#asks.pause(() => withRoom(() => this.#engine.resizeMemory(this.#memory, memoryBytes)));
    }
    if (this.#life.ended !== undefined) throw this.#life.ended;
    if (labels !== undefined) this.#makeRoomFor(labels);
    this.commits.change();
    this.#labels = labels ?? this.#labels;
    // Others may have been changed while this waited.
    this.#limits = wanted();
    this.#idleTtl = idleTtl ?? this.#idleTtl;
    this.#idleAction = idleAction ?? this.#idleAction;
    this.#life.change();
    await this.commits.stored();
    this.#watchers.changed(this.info);
  }

  /** @throws SessionError QUOTA_EXCEEDED */
  #makeRoomFor(labels: ReadonlyMap<string, string>): void {
    const bytes = labelBytes(labels);
    const more = bytes - labelBytes(this.#labels);
    if (more > 0) checkRoomForLabels(this.share, more, bytes);
    this.share.change(more);
  }

  /**
   * Tells what happens here from now on. It is no use of the session, and keeps it no longer.
   *
   * @returns ends it
   */
  watch(watcher: Watcher): () => void {
    return this.#watchers.add(watcher);
  }

  /**
   * Ends an execution by its id; one that has ended or is not known is no error.
   *
   * @returns of a durable session, when it is kept that it has ended; rejects where that is not so
   */
  async cancel(executionId: string): Promise<void> {
    const execution = this.#executions.byId(executionId);
    execution?.cancel();
    if (!this.isDurable) return;
    await execution?.outcome.catch((error: unknown) => {
      if (!isDeletion(error)) throw error;
    });
  }

  /** @throws SessionError HANDLE_NOT_FOUND, INVALID_REQUEST */
  async inspect(input: Omit<TurnInput & { kind: "inspect" }, "kind">): Promise<string> {
    return (await this.#asks.ask({ kind: "inspect", ...input })).text;
  }

  /** @returns how many handles were released */
  async releaseHandles(input: Omit<TurnInput & { kind: "release" }, "kind">): Promise<number> {
    return (await this.#asks.ask({ kind: "release", ...input })).count;
  }

  /** @throws SessionError INVALID_REQUEST when a text is not JSON */
  async defineGlobals(globals: ReadonlyMap<string, InputValue>): Promise<void> {
    await this.#asks.ask({ kind: "defineGlobals", globals });
  }

  /** @throws SessionError INVALID_REQUEST when two texts have one name */
  async addModules(modules: ReadonlyMap<string, string>): Promise<void> {
    await this.#asks.ask({ kind: "addModules", modules });
  }

  /**
   * Has the store know that it was used, where that is so much longer ago there: what was in use when its server ended is not to have
   * expired meanwhile.
   *
   * @param milliseconds of difference that may stay
   * @throws StoreError (rejects): the session goes on as it is
   */
  keepUse(milliseconds: number): Promise<void> {
    const usedAt = (): number => (this.isIdle ? this.lastUsedAt : Date.now());
    return this.commits.keepUse(() => (this.hasEnded ? undefined : usedAt()), milliseconds);
  }

  /** Puts what has changed into the store, where it is durable. Never rejects: where that fails it leaves memory. */
  async commit(): Promise<void> {
    // What is committed ran until now.
    this.#life.lastUsedAt = Date.now();
    try {
      await this.commits.write(this.info, this.#executions.record, this.#memory);
    } catch (error) {
      this.#lose(error);
    }
  }

  /** What the store has of it is loaded when it is used again. */
  #lose(cause: unknown): void {
    // Whoever ends it gives the memory back.
    if (this.#life.ended !== undefined) return;
    const isKnown = cause instanceof SessionError;
    const error = isKnown ? cause : new SessionError("STORE_FAILED", `the session could not be kept: ${cause}`);
    this.#life.end(() => error);
    const lenders = this.hostFunctions.handOver(error.reason === "STORE_FULL");
    this.#executions.end(
      () => error,
      ({ executionId }) => this.lossOf(executionId, error),
    );
    this.#engine.releaseMemory(this.#memory);
    this.onLost(lenders, this.#watchers);
  }

  /** What who waits for an execution is told where the session ends with this error: it is not undone that goes on. */
  lossOf(executionId: string, error: Error): Error {
    const isUndone = error instanceof SessionError && error.reason === "STORE_FULL";
    if (!isUndone || !this.commits.hasInFlight(executionId)) return error;
    const message =
      "the server could not keep what this did last, and goes on with it from before: repeat it with the same request_id to hear how it ends, or look at the session";
    const ids = { session_id: this.sessionId, execution_id: executionId };
    return new SessionError("STORE_FAILED", message, { ids });
  }

  /** What who asked for copies or a snapshot is told that are there, and cannot be kept as the answer: they are not undone. */
  #lossOfAnswer(error: unknown): unknown {
    if (!(error instanceof SessionError) || error.reason !== "STORE_FULL") return error;
    const message =
      "the server has no room to keep what it answers to this; what was made is there: repeat it with the same request_id";
    return new SessionError("STORE_FAILED", message, { ids: { session_id: this.sessionId } });
  }

  /** A request with an id was answered, as the store is to know. */
  answered(requestId: string, digest: string, answer: Outcome | CopyIds): void {
    if (this.isDurable) this.commits.answer(this.#requestIds.answerOf(requestId, digest, answer));
  }

  /** Ends the session: what runs or waits is answered with the error that `why` gives, and the memory goes back. */
  async end(why: () => SessionError): Promise<void> {
    if (this.#life.ended !== undefined) return this.settled();
    this.#life.end(why);
    this.#executions.end(why);
    if (!this.#watchers.isEmpty) this.#watchers.ended(why());
    await this.settled();
    this.#engine.releaseMemory(this.#memory);
  }

  /** Resolves when nothing runs or waits any more. */
  settled(): Promise<void> {
    return this.#executions.settled();
  }

  /**
   * A client provides functions, which guest code finds as global ones.
   *
   * @param inPlace is given all names that it provides, at once when it does: whoever takes one from it is later
   * @throws SessionError HOST_FUNCTION_TAKEN, QUOTA_EXCEEDED, INVALID_REQUEST
   */
  async expose(options: ExposeOptions, link: HostLink, inPlace: (names: readonly string[]) => void): Promise<void> {
    if (this.#life.ended !== undefined) throw this.#life.ended;
    this.#life.change();
    const { names } = options;
    const exposing = this.hostFunctions.expose(options, link);
    try {
      if (names.length > 0) await this.#asks.ask({ kind: "expose", names });
    } catch (error) {
      exposing.undo();
      throw error;
    }
    // Calls that are sent again wait for what they follow from, and come before the answer.
    if (names.length === 0) await this.commits.stored();
    inPlace(exposing.keep());
  }
}
