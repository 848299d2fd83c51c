/**
 * One live session: its memory, its event loop, and the executions that are open in it. They take their turns in the order they
 * came, and go on as functions do on any event loop: one may begin while another waits for a timer.
 */
import { setImmediate as nextTick } from "node:timers/promises";
import {
  type ConsoleText,
  type Engine,
  HeapsFullError,
  MemoryTooSmallError,
  type SessionImage,
  type TurnResult,
} from "../engine/engine.js";
import type { Effect, HostResult, InputValue, TurnInput } from "../engine/kernel-protocol.js";
import type { SessionMemory } from "../engine/session-memory.js";
import { invalid, SessionError } from "./errors.js";
import { EventLoop, type Input, KERNEL_TURN_BUDGET, type Pause } from "./event-loop.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import { type ExposeOptions, HostFunctions, type HostFunctionsHost, type HostLink } from "./host-functions.js";
import { executionLimits, type Limits } from "./limits.js";
import { OpenExecutions } from "./open-executions.js";
import { type Outcome, templateWarning } from "./outcome.js";
import { sizeOfOutcome } from "./outcome-size.js";
import { refusalOf } from "./refusals.js";
import { RequestIds } from "./request-ids.js";
import { RunningExecution } from "./running-execution.js";
import type { IdleAction, SessionInfo, SessionUsage } from "./session-info.js";
import type { SessionRecord } from "./session-record.js";
import { type Watcher, Watchers } from "./watchers.js";

/** A full queue is worth another try about when some of it has run. */
const QUEUE_RETRY = 100;
/** Somebody may have given memory back by then. */
const MEMORY_RETRY = 1_000;

/** Copies that are made before others have their turn on this thread. */
const COPIES_AT_ONCE = 4;
/** More than any execution emits. */
const NO_END_OF_CREDIT = 2 ** 30;

/** What is kept of a request that made copies or a snapshot: their ids. */
export type CopyIds = readonly string[];

const NO_USAGE: SessionUsage = { wallTime: 0, cpuTime: 0, queueTime: 0, hostTime: 0, turns: 0, hostCalls: 0 };

/** Executions that run on behalf of each other: guest code calls a host function, which calls guest code. */
const DEEPEST_CALLS = 16;

export interface SessionInit {
  /** Empty for a session that lives for one execution; no handle can live in it. */
  readonly sessionId: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly limits: Limits;
  /** Milliseconds without use after which the session is deleted. */
  readonly idleTtl: number;
  readonly idleAction: IdleAction;
  /** Id of the session or snapshot that it is made from; empty for one that is made afresh. */
  readonly parent: string;
}

/** A session that was at rest goes on as itself. */
export interface Awakened {
  readonly info: Pick<SessionInfo, "createdAt" | "lastUsedAt" | "usage">;
  /** Those who watched it. */
  readonly watchers: Watchers;
}

/** A session as it was between two turns. */
export interface SavedSession {
  readonly image: SessionImage;
  readonly record: SessionRecord;
}

/** What a session that is a copy begins with. */
interface Copied {
  readonly memory: SessionMemory;
  readonly record: SessionRecord;
  readonly awakened?: Awakened;
}

/** What of a session may change; what is absent stays. */
export interface SessionChanges {
  readonly labels?: ReadonlyMap<string, string>;
  readonly limits?: Limits;
  readonly idleTtl?: number;
  readonly idleAction?: IdleAction;
}

export class Session implements HostFunctionsHost {
  readonly sessionId: string;
  readonly parent: string;
  readonly createdAt: number;
  lastUsedAt: number;
  readonly usage: SessionUsage;
  #labels: ReadonlyMap<string, string>;
  #limits: Limits;
  #idleTtl: number;
  #idleAction: IdleAction;
  /** Counts whatever changes the session or may. */
  #uses = 0;
  /** Those who have it in hand. */
  #holds = 0;
  #isGoingToRest = false;
  readonly #engine: Engine;
  readonly #memory: SessionMemory;
  readonly #loop: EventLoop;
  /** Functions that clients lend to this session. */
  readonly hostFunctions = new HostFunctions(this);
  /** Replies that the guest has not taken, by the id of their call. */
  readonly #replies = new Map<
    string,
    { readonly input: Input; readonly execution: number; readonly result: HostResult }
  >();
  /** Of them, those that wait for an execution: without one no guest code runs. */
  #lateReplies: Input[] = [];
  readonly #requestIds = new RequestIds<Outcome | CopyIds>(sizeOfAnswer);
  readonly #asks = new Set<(error: SessionError) => void>();
  readonly #watchers: Watchers;
  /** Executions without an outcome. */
  readonly #open: OpenExecutions;
  /** One that is being stopped in a turn that is not its own: it answers for that turn. */
  #stopping: RunningExecution | undefined;
  #whenIdle: (() => void)[] = [];
  #ended: SessionError | undefined;
  #nextExecution = 1;

  /** @param copied what it begins with, which is its own from now on; absent for one that is made afresh */
  constructor(engine: Engine, init: SessionInit, copied?: Copied) {
    this.sessionId = init.sessionId;
    this.parent = init.parent;
    this.#labels = init.labels;
    this.#limits = init.limits;
    this.#idleTtl = init.idleTtl;
    this.#idleAction = init.idleAction;
    const awakened = copied?.awakened;
    const { createdAt = Date.now(), lastUsedAt = createdAt, usage = NO_USAGE } = awakened?.info ?? {};
    this.createdAt = createdAt;
    this.lastUsedAt = lastUsedAt;
    this.usage = { ...usage };
    this.#watchers = awakened?.watchers ?? new Watchers();
    this.#open = new OpenExecutions(this.#watchers);
    this.#engine = engine;
    this.#memory = copied?.memory ?? engine.createMemory(init.limits.memoryBytes);
    this.#loop = new EventLoop(engine, this.#memory, this);
    if (copied !== undefined) this.#resume(copied.record);
  }

  /**
   * A session as another was.
   *
   * @throws SessionError INVALID_REQUEST when its limits leave no room for the heap
   */
  static async restore(engine: Engine, init: SessionInit, { image, record }: SavedSession): Promise<Session> {
    const memory = await withRoom(() => engine.createMemoryFrom(image, init.limits.memoryBytes));
    const session = new Session(engine, init, { memory, record });
    await session.#pauseNext(() => session.#endRest(record));
    return session;
  }

  /**
   * A session that was at rest, as it would be now had it stayed in memory.
   *
   * @throws SessionError INVALID_REQUEST when its limits leave no room for the heap
   */
  static async wake(
    engine: Engine,
    info: SessionInfo,
    { image, record }: SavedSession,
    watchers: Watchers,
  ): Promise<Session> {
    const memory = await withRoom(() => engine.createMemoryFrom(image, info.limits.memoryBytes));
    const session = new Session(engine, info, { memory, record, awakened: { info, watchers } });
    session.#requestIds.restore(record.answers ?? []);
    return session;
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
    if (!this.isIdle || this.#asks.size > 0 || this.#holds > 0 || this.#ended !== undefined) return false;
    return this.#requestIds.isSettled && !this.hostFunctions.hasClients;
  }

  /** Keeps it in memory until what this gives is called. */
  hold(): () => void {
    this.#holds++;
    return () => void this.#holds--;
  }

  /** Heap in use, in bytes. */
  get memoryBytes(): number {
    return this.#memory.heapBytes;
  }

  get handleCount(): number {
    return this.#memory.handles;
  }

  get isIdle(): boolean {
    return this.#open.size === 0 && this.#loop.isStill;
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
    if (requestId === "") return this.#begin(command, options);
    let started: Execution | undefined;
    const outcome = this.once(requestId, options.digest, () => {
      started = this.#begin(command, options);
      return started.outcome;
    });
    if (started !== undefined) return started;
    return { executionId: requestId, outcome, cancel: () => this.cancel(requestId), allow: () => undefined };
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
   * The session as it is between two turns, to be kept or to make others of: `restore` does. Garbage is collected first.
   *
   * @param ready is waited for, at rest, before anything is copied
   * @throws SessionError when the session ends before
   */
  save(ready: () => Promise<void>): Promise<SavedSession> {
    return this.#pause(async () => {
      await ready();
      this.#engine.collectGarbageOf(this.#memory);
      await this.#runAtRest({ kind: "look" });
      const record = this.#record;
      const image = await this.#engine.copyImage(this.#memory);
      // Whoever gets to read the image is not to know what the session draws from now on.
      this.#engine.reseed(this.#memory);
      return { image, record };
    });
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
    const { info, lastUsedAt } = this;
    const uses = this.#uses + 1;
    try {
      const { image, record } = await this.save(() => Promise.resolve());
      await keep(info, { image, record: { ...record, answers: this.#requestIds.record } });
      if (this.#uses !== uses || !this.#isUnused) return undefined;
      const message = "the session left memory while this call came; try again";
      this.#ended = new SessionError("SESSION_DELETED_MEANWHILE", message);
      this.#loop.removeAll();
      this.hostFunctions.end();
      this.#engine.releaseMemory(this.#memory);
      return this.#watchers;
    } finally {
      this.#isGoingToRest = false;
      // Going to rest is no use.
      if (this.#uses === uses) this.lastUsedAt = lastUsedAt;
    }
  }

  /**
   * Copies of the session as it is between two turns, which go on by themselves. They have its limits.
   *
   * @throws SessionError when the session ends before; there are no copies then
   */
  fork(inits: readonly Pick<SessionInit, "sessionId" | "labels">[]): Promise<Session[]> {
    return this.#pause(async () => {
      const record = this.#record;
      const { limits, idleTtl, idleAction, sessionId: parent } = this;
      const memories: SessionMemory[] = [];
      try {
        for (let i = 0; i < inits.length; i++) {
          if (i > 0 && i % COPIES_AT_ONCE === 0) await nextTick();
          memories.push(await withRoom(() => this.#engine.createMemoryFrom(this.#memory, limits.memoryBytes)));
          if (this.#ended !== undefined) throw this.#ended;
        }
      } catch (error) {
        for (const memory of memories) this.#engine.releaseMemory(memory);
        throw error;
      }
      return inits.map((init, i) => {
        const memory = memories[i] as SessionMemory;
        return new Session(this.#engine, { ...init, limits, idleTtl, idleAction, parent }, { memory, record });
      });
    });
  }

  /**
   * Puts the session back to where it was. What is in flight ends with outcome `stopped`, ROLLED_BACK; what comes from now on
   * finds the session as it was.
   *
   * @throws SessionError when the session ends before; INVALID_REQUEST when its limits leave no room for the heap
   */
  async rollBack({ image, record }: SavedSession): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended;
    this.#checkFits(image);
    const ending = this.#open.all();
    // What runs on behalf of others ends first, and for the same reason.
    for (const execution of ending.reverse()) execution.stop("ROLLED_BACK");
    await this.#pauseNext(async () => {
      for (const execution of ending) if (this.#open.has(execution)) this.#endBetweenTurns(execution);
      // It may have got another bound meanwhile.
      this.#checkFits(image);
      await withRoom(() => this.#engine.putImageBack(this.#memory, image));
      for (const { input } of this.#replies.values()) this.#loop.remove(input);
      this.#replies.clear();
      this.#lateReplies = [];
      const ended = record.executions.map(({ number }) => number);
      const loop = { ...record.loop, dropped: [...record.loop.dropped, ...ended] };
      const isNobodys = ({ execution }: { readonly execution: number }): boolean => !ended.includes(execution);
      this.#nextExecution = Math.max(this.#nextExecution, record.nextExecution);
      this.#loop.restore(loop, []);
      const { hostFunctions, replies } = record;
      this.hostFunctions.rollBack({ ...hostFunctions, calls: hostFunctions.calls.filter(isNobodys) });
      for (const { callId, result } of replies.filter(isNobodys)) this.reply(callId, 0, result);
      this.#exposeAgain();
      await this.#endRest({ ...record, loop });
    });
  }

  /** Bytes by which its memory has to grow to be put back. */
  growthTo({ image }: SavedSession): number {
    return this.#engine.growthTo(this.#memory, image);
  }

  #checkFits(image: SessionImage): void {
    if (!this.#engine.fits(this.#memory, image)) throw tooSmall(image.heapBytes);
  }

  /**
   * Changes what of a session may change, for executions that begin from then on.
   *
   * @throws SessionError INVALID_REQUEST when the heap is larger than it is to be; nothing is changed then
   */
  async update({ labels, limits, idleTtl, idleAction }: SessionChanges): Promise<void> {
    if (limits !== undefined && limits.memoryBytes !== this.limits.memoryBytes) {
      const resize = () => this.#engine.resizeMemory(this.#memory, limits.memoryBytes);
      await this.#pause(() => withRoom(resize));
    }
    if (this.#ended !== undefined) throw this.#ended;
    this.#labels = labels ?? this.#labels;
    this.#limits = limits ?? this.#limits;
    this.#idleTtl = idleTtl ?? this.#idleTtl;
    this.#idleAction = idleAction ?? this.#idleAction;
    this.#uses++;
    this.#watchers.changed(this.info);
  }

  /**
   * Tells what happens here from now on. It is no use of the session, and keeps it no longer.
   *
   * @returns ends it
   */
  watch(watcher: Watcher): () => void {
    return this.#watchers.add(watcher);
  }

  /** Ends an execution by its id; one that has ended or is not known is no error. */
  cancel(executionId: string): void {
    this.#open.byId(executionId)?.cancel();
  }

  /** @throws SessionError HANDLE_NOT_FOUND, INVALID_REQUEST */
  async inspect(input: Omit<TurnInput & { kind: "inspect" }, "kind">): Promise<string> {
    return (await this.#ask({ kind: "inspect", ...input })).text;
  }

  /** @returns how many handles were released */
  async releaseHandles(input: Omit<TurnInput & { kind: "release" }, "kind">): Promise<number> {
    return (await this.#ask({ kind: "release", ...input })).count;
  }

  /** @throws SessionError INVALID_REQUEST when a text is not JSON */
  async defineGlobals(globals: ReadonlyMap<string, InputValue>): Promise<void> {
    await this.#ask({ kind: "defineGlobals", globals });
  }

  /** @throws SessionError INVALID_REQUEST when two texts have one name */
  async addModules(modules: ReadonlyMap<string, string>): Promise<void> {
    await this.#ask({ kind: "addModules", modules });
  }

  /** Ends the session: what runs or waits is answered with the error, and the memory goes back. */
  async end(error: SessionError): Promise<void> {
    if (this.#ended !== undefined) return this.settled();
    this.#ended = error;
    this.#loop.removeAll();
    this.#loop.stop(() => true);
    this.#lateReplies = [];
    this.#replies.clear();
    this.hostFunctions.end();
    this.#watchers.ended(error);
    for (const execution of this.#open.all()) this.#reject(execution, error);
    for (const reject of this.#asks) reject(error);
    await this.settled();
    this.#engine.releaseMemory(this.#memory);
  }

  /** Resolves when nothing runs or waits any more. */
  settled(): Promise<void> {
    return this.isIdle ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /**
   * A client provides functions, which guest code finds as global ones.
   *
   * @returns all names that it provides now
   * @throws SessionError HOST_FUNCTION_TAKEN, QUOTA_EXCEEDED, INVALID_REQUEST
   */
  async expose(options: ExposeOptions, link: HostLink): Promise<string[]> {
    if (this.#ended !== undefined) throw this.#ended;
    this.#uses++;
    const { connectionId, names } = options;
    const known = new Set(this.hostFunctions.names);
    const all = this.hostFunctions.expose(options, link);
    if (names.length === 0) return all;
    try {
      await this.#ask({ kind: "expose", names });
    } catch (error) {
      const added = names.filter((name) => !known.has(name));
      this.hostFunctions.withdraw(connectionId, added);
      throw error;
    }
    return all;
  }

  // What the host functions ask.

  reply(callId: string, execution: number, result: HostResult): void {
    if (this.#ended !== undefined) return;
    this.#uses++;
    const isOpen = this.#open.get(execution) !== undefined;
    const input = this.#input(isOpen ? execution : 0, { kind: "hostResult", callId, result });
    this.#replies.set(callId, { input, execution, result });
    if (isOpen || this.#takesLateReplies) this.#loop.add(input);
    else this.#lateReplies.push(input);
  }

  /** What an atomic execution may still undo must not swallow the reply of a call that it did not make. */
  get #takesLateReplies(): boolean {
    return this.#open.size > 0 && !this.#loop.isHeld;
  }

  #addLateReplies(): void {
    for (const input of this.#lateReplies.splice(0)) this.#loop.add(input);
  }

  callerOf(execution: number): RunningExecution | undefined {
    return this.#open.get(execution);
  }

  // What the event loop asks.

  get hasOpenExecutions(): boolean {
    return this.#open.size > 0;
  }

  timer(owner: number): Input {
    return this.#input(0, { kind: "timer" }, { cpuTime: this.#open.get(owner)?.cpuTime });
  }

  onStill(): void {
    this.lastUsedAt = Date.now();
    if (!this.isIdle) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  #use(): void {
    this.#uses++;
    this.lastUsedAt = Date.now();
  }

  #begin(command: Command, options: CommandOptions): Execution {
    if (this.#ended !== undefined) throw this.#ended;
    this.#use();
    const limits = executionLimits(this.limits, options.limits);
    if (this.#open.size > limits.queuedExecutions) {
      throw new SessionError(
        "QUEUE_FULL",
        `the session already has ${this.#open.size} executions in flight or waiting; wait for some of them, or raise limits.queued_executions`,
        { ids: { session_id: this.sessionId }, retryAfter: QUEUE_RETRY },
      );
    }
    const parent = this.#open.byId(options.parentExecutionId);
    if (parent !== undefined && parent.depth >= DEEPEST_CALLS) {
      throw new SessionError(
        "QUOTA_EXCEEDED",
        `guest code and host functions call each other more than ${DEEPEST_CALLS} levels deep`,
        { ids: { session_id: this.sessionId }, field: "parent_execution_id" },
      );
    }
    if (parent !== undefined && options.atomic) {
      throw invalid("atomic", "what runs on behalf of another execution is undone with that one, and not alone");
    }
    const { passed } = options;
    if (passed !== undefined) this.hostFunctions.pass(passed);
    const number = this.#nextExecution++;
    const execution = new RunningExecution(options, limits, number, this.sessionId !== "", parent);
    const start = { isAtomic: execution.isAtomic, root: execution.root };
    const first = this.#input(number, () => execution.begin(command), { start });
    this.#admit(execution, first);
    if (this.#takesLateReplies) this.#addLateReplies();
    this.#loop.add(first);
    return execution;
  }

  /** @param first what its first turn is for; undefined for one that had it */
  #admit(execution: RunningExecution, first?: Input): void {
    execution.onStop = () => this.#stop(execution, first);
    execution.onCredit = (credit) => this.#allow(execution, credit);
    execution.onConsole = (entry) => this.#watchers.console(execution.executionId, entry);
    this.#open.add(execution);
  }

  /** What of the session lies outside its memory. */
  get #record(): SessionRecord {
    const begun = this.#open.all().filter(({ hasCommitted }) => hasCommitted);
    return {
      takenAt: Date.now(),
      limits: this.limits,
      nextExecution: this.#nextExecution,
      loop: this.#loop.record,
      executions: begun.map(({ record }) => record),
      hostFunctions: this.hostFunctions.record,
      replies: [...this.#replies].map(([callId, { execution, result }]) => ({ callId, execution, result })),
    };
  }

  /** Goes on with what the session was doing that this one is a copy of. */
  #resume({ nextExecution, executions, loop, hostFunctions, replies }: SessionRecord): void {
    this.#nextExecution = nextExecution;
    for (const record of executions) {
      const execution = RunningExecution.resume(record, this.#open.get(record.parent));
      this.#admit(execution);
      // Nobody takes what it emits, so nothing of it is to wait.
      if (record.isStreaming) this.#allow(execution, NO_END_OF_CREDIT);
    }
    this.hostFunctions.restore(hostFunctions);
    for (const { callId, execution, result } of replies) this.reply(callId, execution, result);
    this.#loop.restore(
      loop,
      executions.map(({ number }) => number),
    );
  }

  /** The session was at rest since its record was taken: the kernel hears of it before anything else runs. */
  async #endRest({ takenAt, loop }: SessionRecord): Promise<void> {
    const isTimed = loop.nextTimer.at !== Number.POSITIVE_INFINITY;
    // In a session that is out of memory timers fall due as they would have without a rest.
    if (isTimed) await this.#runAtRest({ kind: "restored", rest: Math.max(0, Date.now() - takenAt) });
  }

  /** A turn of the kernel's own within a pause. Should it fail nothing has happened. */
  async #runAtRest(input: TurnInput): Promise<void> {
    const header = { isMoreToCome: true, dropped: [] };
    const { consoleBytes } = this.limits;
    const result = await this.#loop.runAtRest({ input, header, budget: KERNEL_TURN_BUDGET, consoleBytes });
    if (this.#ended !== undefined) return;
    if (result.kind === "committed") this.#committed(0, result);
    else this.#undone(0, result, true);
  }

  /** Does something while nothing of the session runs. Rejects when the session ends before it is done. */
  #pause<T>(work: () => Promise<T>): Promise<T> {
    return this.#atRest(work, (pause) => this.#loop.pause(pause));
  }

  /** As `#pause`, before all that waits. */
  #pauseNext<T>(work: () => Promise<T>): Promise<T> {
    return this.#atRest(work, (pause) => this.#loop.pauseNext(pause));
  }

  #atRest<T>(work: () => Promise<T>, enter: (pause: Pause) => void): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#use();
    return new Promise((resolve, reject) => {
      this.#asks.add(reject);
      const atRest = async (): Promise<void> => {
        try {
          resolve(await work());
        } catch (error) {
          reject(error);
        } finally {
          this.#asks.delete(reject);
        }
      };
      enter({ atRest });
    });
  }

  /** The caller of an execution takes more of its emitted values. */
  #allow(execution: RunningExecution, credit: number): void {
    const { number } = execution;
    if (this.#open.get(number) === undefined) return;
    this.#loop.add(this.#input(number, { kind: "credit", execution: number, credit }));
  }

  /** Ends an execution wherever it is. */
  #stop(execution: RunningExecution, first: Input | undefined): void {
    const { number } = execution;
    if (this.#open.get(number) === undefined) return;
    if (first !== undefined && this.#loop.remove(first)) return this.#endBetweenTurns(execution);
    if (execution.isAtomic && this.#loop.isRunning) {
      // What runs in its hold ends with it; then the session is put back.
      this.#stopping = execution;
      this.#loop.stop(() => true);
      return;
    }
    if (this.#loop.stop(({ owner }) => owner === number)) return;
    if (this.#engine.runningExecution(this.#memory) === number && this.#engine.stopRunning(this.#memory)) {
      // Its timer, or a continuation of it in the turn of another: who has to answer is known when that turn has ended.
      this.#stopping = execution;
      return;
    }
    this.#endBetweenTurns(execution);
  }

  #endBetweenTurns(execution: RunningExecution): void {
    this.#settle(execution, execution.stoppedBetweenTurns(this.memoryBytes));
    if (execution.hasCommitted) this.#loop.drop(execution.number);
    if (this.#loop.isStill) this.onStill();
  }

  /**
   * An input with the rules by which its turn is answered for.
   *
   * @param owner number of the execution that it is for; 0 for none
   * @param run what is to be run, or says so when it is
   * @param start of the first turn of an execution
   * @param cpuTime milliseconds that the turn may take where it has no owner; undefined: as the session says
   */
  #input(
    owner: number,
    run: TurnInput | (() => ReturnType<RunningExecution["begin"]>),
    { start, cpuTime = this.limits.cpuTime }: Pick<Input, "start"> & { cpuTime?: number | undefined } = {},
  ): Input {
    let isRetry = false;
    const input: Input = {
      owner,
      ...(start === undefined ? {} : { start }),
      begin: () => {
        const onConsole = (entry: ConsoleText): void => this.#open.logLive(entry);
        if (typeof run === "function") return { ...run(), onConsole };
        return {
          input: run,
          budget: this.#open.get(owner)?.nextBudget() ?? cpuTime,
          consoleBytes: this.limits.consoleBytes,
          onConsole,
        };
      },
      done: (result) => {
        if (this.#ended !== undefined) return;
        if (result.kind === "committed") {
          if (typeof run === "object" && run.kind === "hostResult") this.#replies.delete(run.callId);
          return this.#committed(owner, result);
        }
        const again = this.#undone(owner, result, isRetry);
        isRetry = true;
        if (!again && typeof run === "object" && run.kind === "hostResult") this.#replies.delete(run.callId);
        if (again) this.#loop.addAgain(input);
        else if (typeof run === "object" && run.kind === "timer" && result.began) this.#dropTimer();
      },
    };
    return input;
  }

  /** The timer that is due could not be run, and no execution in flight is to blame for it. */
  #dropTimer(): void {
    const message = "a timer that no execution in flight owns could not be run, and was taken away";
    this.#open.warnAll({ message });
    this.#loop.addAgain(this.#input(0, { kind: "dropTimer" }));
  }

  #committed(owner: number, result: TurnResult & { kind: "committed" }): void {
    const payer = this.#open.get(owner || result.owner);
    payer?.account(result);
    for (const [i, entry] of result.console.entries()) this.#open.log(entry, i < result.told);
    // Those of an execution that ends in this turn belong to it.
    for (const effect of result.effects) if (effect.kind === "warning") this.#open.warn(effect);
    for (const effect of result.effects) this.#apply(effect);
    const stopping = this.#stopping;
    this.#stopping = undefined;
    if (stopping !== undefined && this.#open.has(stopping)) this.#endBetweenTurns(stopping);
    if (payer === undefined || !this.#open.has(payer)) return;
    payer.goesOn();
    // It was asked to stop in this turn, which was faster.
    if (payer.isStopping) this.#endBetweenTurns(payer);
  }

  #apply(effect: Effect): void {
    const execution = "execution" in effect ? this.#open.get(effect.execution) : undefined;
    try {
      if (effect.kind === "hostCall") {
        this.hostFunctions.call(execution?.number ?? 0, effect.call);
      } else if (effect.kind === "hostFunctionReleased") this.hostFunctions.released(effect.hostFunctionId);
      else if (effect.kind === "answer" || effect.kind === "warning" || execution === undefined) return;
      else if (effect.kind === "emitted") execution.emit(effect);
      else if (effect.kind === "templateWarning") execution.warn(templateWarning(effect));
      else if (effect.kind === "refused") this.#reject(execution, refusalOf(effect, this.sessionId));
      else this.#settle(execution, execution.outcomeOf(effect, this.memoryBytes));
    } catch (error) {
      // Texts of a session that broke its engine could be anything.
      if (execution !== undefined) this.#reject(execution, error instanceof Error ? error : new Error(String(error)));
    }
  }

  /**
   * A turn was undone. The execution that was running answers for it; if it is not the turn's own, the turn is given again
   * without it, once. Else the owner answers. Where there is neither it is given again too, once, unless it took too long.
   *
   * @returns whether the input is to be given again
   */
  #undone(owner: number, result: TurnResult & { kind: "undone" }, isRetry: boolean): boolean {
    const own = this.#open.get(owner);
    const stopping = this.#stopping;
    this.#stopping = undefined;
    if (!result.began) {
      for (const each of [own, stopping]) if (each !== undefined && this.#open.has(each)) this.#endBetweenTurns(each);
      return false;
    }
    const culprit = stopping ?? this.#open.get(result.culprit);
    const isForeign = culprit !== undefined && culprit !== own;
    const answers = isForeign && !isRetry ? culprit : (own ?? culprit);
    // Nobody's code ran when the engine failed, or its thread died: it may have been none's fault, the timer's owner included.
    if (answers === undefined) return result.reason === "trap" && !isRetry;
    answers.account(result);
    for (const [i, entry] of result.console.entries()) {
      if (entry.execution === answers.number) answers.log(entry, true, i < result.told);
      else this.#open.get(entry.execution)?.forgetLive();
    }
    this.#settle(answers, answers.undone(result, answers === own, this.memoryBytes));
    if (answers.hasCommitted) this.#loop.drop(answers.number);
    return isForeign && !isRetry;
  }

  #settle(execution: RunningExecution, outcome: Outcome): void {
    if (outcome.result.kind !== "value") {
      const isRolledBack = this.#rollBack(execution);
      const isStopped = outcome.result.kind === "stopped";
      // Where it was undone the guest does not know of them; and of what was stopped nothing runs any more.
      if (isRolledBack || isStopped) this.hostFunctions.cancelOf(execution.number);
      if (isRolledBack || (isStopped && !execution.hasCommitted)) this.#releaseFunctionsOf(execution);
    }
    const { wallTime, cpuTime, queueTime, hostTime, turns, hostCalls } = outcome.usage;
    this.usage.wallTime += wallTime;
    this.usage.cpuTime += cpuTime;
    this.usage.queueTime += queueTime;
    this.usage.hostTime += hostTime;
    this.usage.turns += turns;
    this.usage.hostCalls += hostCalls;
    this.#close(execution);
    execution.settle(outcome);
    this.#watchers.finished(outcome, execution.encoding);
  }

  #reject(execution: RunningExecution, error: Error): void {
    this.#releaseFunctionsOf(execution);
    this.#close(execution);
    execution.reject(error);
  }

  /** The guest never got the functions that came with its command. */
  #releaseFunctionsOf({ passedFunctions }: RunningExecution): void {
    for (const id of passedFunctions) this.hostFunctions.released(id);
  }

  #close(execution: RunningExecution): void {
    this.#open.delete(execution);
    this.#loop.ended(execution.number);
    if (this.#takesLateReplies) this.#addLateReplies();
  }

  /**
   * Undoes an atomic execution whole, and with it all that ran on its behalf and has not ended.
   *
   * @returns false for one that is not atomic, or has not begun
   */
  #rollBack(execution: RunningExecution): boolean {
    const children = execution.isAtomic ? this.#loop.rollBack(execution.number) : undefined;
    if (children === undefined) return false;
    for (const number of children) {
      const child = this.#open.get(number);
      if (child !== undefined) this.#settle(child, child.stoppedBetweenTurns(this.memoryBytes));
    }
    this.#exposeAgain();
    return true;
  }

  /** What was provided meanwhile is unknown to the session as it was before. */
  #exposeAgain(): void {
    const { names } = this.hostFunctions;
    if (names.length > 0) this.#loop.add(this.#input(0, { kind: "expose", names }));
  }

  /** A turn of the kernel's own. */
  #ask(input: TurnInput): Promise<{ count: number; text: string }> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#use();
    return new Promise((resolve, reject) => {
      this.#asks.add(reject);
      this.#loop.add({
        owner: 0,
        begin: () => ({ input, budget: KERNEL_TURN_BUDGET, consoleBytes: 0 }),
        done: (result) => {
          this.#asks.delete(reject);
          if (result.kind === "undone") {
            const message = "the session has not the memory or the time left to answer this";
            return reject(new SessionError("QUOTA_EXCEEDED", message, { ids: { session_id: this.sessionId } }));
          }
          for (const effect of result.effects) {
            if (effect.kind === "answer") resolve(effect);
            else if (effect.kind === "refused") reject(refusalOf(effect, this.sessionId));
            else this.#apply(effect);
          }
          // What defines answers nothing.
          resolve({ count: 0, text: "" });
        },
      });
    });
  }
}

/** Of what is kept for the repeat of a request, in bytes, roughly. */
function sizeOfAnswer(answer: Outcome | CopyIds): number {
  return "result" in answer ? sizeOfOutcome(answer) : answer.reduce((sum, id) => sum + id.length, 0);
}

/** @throws SessionError INVALID_REQUEST, QUOTA_EXCEEDED */
async function withRoom<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof HeapsFullError) {
      const message = `${error.message}; delete some sessions, or start the server with a larger --max-memory`;
      throw new SessionError("QUOTA_EXCEEDED", message, { retryAfter: MEMORY_RETRY });
    }
    if (!(error instanceof MemoryTooSmallError)) throw error;
    throw tooSmall(error.heapBytes);
  }
}

function tooSmall(heapBytes: number): SessionError {
  return invalid("limits.memory_bytes", `is too small for a heap of ${heapBytes} bytes; give the session more`);
}
