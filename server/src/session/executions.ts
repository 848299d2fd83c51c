/**
 * The executions of one session from beginning to outcome: they take their turns in the order they came, are stopped wherever they
 * are, and what an atomic one did is undone with it.
 */
import { clock, type Engine } from "../engine/engine.js";
import type { HostResult } from "../engine/kernel-protocol.js";
import type { HeapShare } from "../engine/main-heap.js";
import type { SessionMemory } from "../engine/session-memory.js";
import { Asks } from "./asks.js";
import type { Commits } from "./commits.js";
import { invalid, SessionError } from "./errors.js";
import { EventLoop, type EventLoopHost, type Input, LOOK_BUDGET } from "./event-loop.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import { HeldReleases } from "./held-releases.js";
import { HostFunctions, type HostFunctionsHost } from "./host-functions.js";
import { executionLimits } from "./limits.js";
import { OpenExecutions } from "./open-executions.js";
import type { Outcome, StopReason } from "./outcome.js";
import { NOT_TAKEN, Replies } from "./replies.js";
import { RunningExecution } from "./running-execution.js";
import type { SessionUsage } from "./session-info.js";
import type { SessionLife } from "./session-life.js";
import { atTimeOf, type SessionRecord } from "./session-record.js";
import { SessionTurns, type TurnsSession } from "./session-turns.js";
import type { Watchers } from "./watchers.js";

/** A full queue is worth another try about when some of it has run. */
const QUEUE_RETRY = 100;

/** More than any execution emits. */
const NO_END_OF_CREDIT = 2 ** 30;

/** Executions that run on behalf of each other: guest code calls a host function, which calls guest code. */
const DEEPEST_CALLS = 16;

/** Bytes of console entries of all that are in flight that are in a record: it is written with every commit. */
const RECORDED_CONSOLE_BYTES = 64 * 1024;

/** What executions ask of their session. */
export interface ExecutionsSession extends TurnsSession {
  /** Of what the main thread keeps. */
  readonly share: HeapShare;
  /** What who waits for an execution is told where the session ends with this error. */
  lossOf(executionId: string, error: Error): Error;
  /** Of all that have ended. */
  readonly usage: SessionUsage;
  readonly commits: Commits;
  /** A request with an id has its outcome. */
  answered(requestId: string, digest: string, outcome: Outcome): void;
  /** Puts what has changed into the store. Never rejects: where that fails the session ends. */
  commit(): Promise<void>;
}

export class Executions implements EventLoopHost, HostFunctionsHost {
  readonly #session: ExecutionsSession;
  readonly #engine: Engine;
  readonly #memory: SessionMemory;
  readonly #life: SessionLife;
  readonly #watchers: Watchers;
  readonly #commits: Commits;
  readonly #loop: EventLoop;
  /** Those without an outcome. */
  readonly #open: OpenExecutions;
  readonly #replies: Replies;
  readonly #turns: SessionTurns;
  /** Functions that clients lend to this session. */
  readonly hostFunctions: HostFunctions;
  /** Of what the main thread keeps. */
  readonly share: HeapShare;
  /** What is asked of the session beside them. */
  readonly asks: Asks;
  /** What waits for the end of the atomic execution that holds the session, and what is done in its place where that is undone. */
  #afterHold: { readonly final: () => void; readonly undone: () => void }[] = [];
  readonly #heldReleases: HeldReleases;
  #whenIdle: (() => void)[] = [];
  #nextExecution = 1;

  /** @param memory the session's; its owner gives it back */
  constructor(
    session: ExecutionsSession,
    engine: Engine,
    memory: SessionMemory,
    life: SessionLife,
    watchers: Watchers,
  ) {
    this.#session = session;
    this.share = session.share;
    this.hostFunctions = new HostFunctions(this);
    this.#engine = engine;
    this.#memory = memory;
    this.#life = life;
    this.#watchers = watchers;
    this.#commits = session.commits;
    this.#open = new OpenExecutions(watchers);
    this.#loop = new EventLoop(engine, memory, this);
    this.#replies = new Replies(this.#loop, this.#open, this.share);
    this.#commits.onDue = () => this.#loop.commitSoon();
    this.#commits.isHeld = () => this.#loop.isHeld;
    const host = {
      settle: (execution: RunningExecution, outcome: Outcome) => this.#settle(execution, outcome),
      reject: (execution: RunningExecution, error: Error) => this.#reject(execution, error),
      endBetweenTurns: (execution: RunningExecution) => this.#endBetweenTurns(execution),
    };
    this.#turns = new SessionTurns(session, host, {
      loop: this.#loop,
      open: this.#open,
      hostFunctions: this.hostFunctions,
      life,
      commits: this.#commits,
    });
    this.#heldReleases = new HeldReleases(this.#loop, this.#turns);
    this.asks = new Asks(session, this.#loop, this.#turns, life, this.#commits, this.#heldReleases);
  }

  /** True when none is open and nothing runs or waits. */
  get isIdle(): boolean {
    return this.#open.size === 0 && this.#loop.isStill;
  }

  /** Resolves when nothing runs or waits any more. */
  settled(): Promise<void> {
    return this.isIdle ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** What of the session lies outside its memory. */
  get record(): SessionRecord {
    const begun = this.#open.all().filter(({ hasCommitted }) => hasCommitted);
    let consoleRoom = RECORDED_CONSOLE_BYTES;
    const executions = begun.map((execution) => {
      const record = execution.record(consoleRoom);
      consoleRoom -= record.console?.bytes ?? 0;
      return record;
    });
    return {
      takenAt: Date.now(),
      clock: clock(),
      limits: this.#session.limits,
      nextExecution: this.#nextExecution,
      loop: this.#loop.record,
      executions,
      hostFunctions: this.hostFunctions.record,
      replies: this.#replies.record,
    };
  }

  /**
   * Goes on with what the session was doing that this one is a copy of.
   *
   * @param isItself it is that session, which has come back
   */
  resume(saved: SessionRecord, isItself: boolean): void {
    const { takenAt, nextExecution, loop, hostFunctions, replies } = saved;
    const executions = saved.executions.map((each) => atTimeOf(saved, each));
    this.#nextExecution = nextExecution;
    // Before any timer that fell due meanwhile; and not now, since the session is not whole yet.
    if (isItself) this.#engine.atEndOfTick(() => this.#stopOverdue());
    // The clock may have been set back since: nobody gets more time by that than was left.
    const away = Math.max(0, Date.now() - takenAt);
    for (const each of executions) {
      // In a copy the request may come again, to be run; what was written before is the origin's, and time was not running.
      const record = isItself ? { ...each, elapsed: each.elapsed + away } : { ...each, digest: "", console: undefined };
      const execution = RunningExecution.resume(record, this.#open.get(record.parent), this.share);
      this.#admit(execution);
      // Nobody takes what it emits, so nothing of it is to wait.
      if (record.isStreaming) this.#allow(execution, NO_END_OF_CREDIT);
    }
    this.hostFunctions.restore(hostFunctions, isItself);
    for (const { callId, execution, result } of replies) this.reply(callId, execution, result);
    this.#loop.restore(
      loop,
      executions.map(({ number }) => number),
    );
  }

  #stopOverdue(): void {
    for (const execution of this.#open.all()) if (execution.timeLeft() === 0) execution.stop("TIMEOUT");
  }

  /** One that is open, by its id. */
  byId(executionId: string): Execution | undefined {
    return this.#open.byId(executionId);
  }

  /** Whether what names this one runs on behalf of one that is open. */
  isOnBehalf(executionId: string): boolean {
    return this.#open.parentOf(executionId) !== undefined;
  }

  /** Asks all that are open to end because the session is put back. @returns them */
  stopAll(): readonly RunningExecution[] {
    const ending = this.#open.all();
    // What runs on behalf of others ends first, and for the same reason.
    for (const execution of ending.reverse()) execution.stop("ROLLED_BACK");
    return ending;
  }

  /** Ends those of `stopAll` that have not ended. Nothing of the session may run. */
  endAll(ending: readonly RunningExecution[]): void {
    for (const execution of ending) if (this.#open.has(execution)) this.#endBetweenTurns(execution);
  }

  /** The session's memory is again as it was when this record was taken; no execution of then goes on. */
  goBack(record: SessionRecord): void {
    this.#replies.clear();
    this.#heldReleases.giveUp();
    const ended = record.executions.map(({ number }) => number);
    const loop = { ...record.loop, dropped: [...record.loop.dropped, ...ended] };
    const isNobodys = ({ execution }: { readonly execution: number }): boolean => !ended.includes(execution);
    this.#nextExecution = Math.max(this.#nextExecution, record.nextExecution);
    this.#loop.restore(loop, []);
    const { hostFunctions, replies } = record;
    this.hostFunctions.rollBack({ ...hostFunctions, calls: hostFunctions.calls.filter(isNobodys) });
    for (const { callId, result } of replies.filter(isNobodys)) this.reply(callId, 0, result);
    this.#exposeAgain();
  }

  /** The session has left memory, idle. */
  leave(): void {
    this.#loop.removeAll();
    this.hostFunctions.end();
    this.share.end();
  }

  /**
   * The session ends: whoever waits for anything of it is told. What runs is asked to end.
   *
   * @param whyOf what who waits for an execution is told
   */
  end(why: () => SessionError, whyOf: (execution: RunningExecution) => Error = why): void {
    this.#loop.removeAll();
    this.#loop.stop(() => true);
    this.#commits.end(why);
    this.#afterHold = [];
    this.#heldReleases.forget();
    this.#replies.clear();
    this.hostFunctions.end(why);
    for (const execution of this.#open.all()) this.#reject(execution, whyOf(execution));
    this.share.end();
    this.asks.end(why);
    // No turn may be on its way that would tell those who wait until nothing is.
    if (this.#loop.isStill) this.onStill();
  }

  /**
   * Gives an execution its turns when they come.
   *
   * @throws SessionError QUEUE_FULL, QUOTA_EXCEEDED, INVALID_REQUEST
   */
  begin(command: Command, options: CommandOptions): Execution {
    if (this.#life.ended !== undefined) throw this.#life.ended;
    this.#life.use();
    const limits = executionLimits(this.#session.limits, options.limits);
    if (this.#open.size > limits.queuedExecutions) {
      throw new SessionError(
        "QUEUE_FULL",
        `the session already has ${this.#open.size} executions in flight or waiting; wait for some of them, or raise limits.queued_executions`,
        { ids: { session_id: this.#session.sessionId }, retryAfter: QUEUE_RETRY },
      );
    }
    const parent = this.#open.parentOf(options.parentExecutionId);
    if (parent !== undefined && parent.depth >= DEEPEST_CALLS) {
      throw new SessionError(
        "QUOTA_EXCEEDED",
        `guest code and host functions call each other more than ${DEEPEST_CALLS} levels deep`,
        { ids: { session_id: this.#session.sessionId }, field: "parent_execution_id" },
      );
    }
    if (parent !== undefined && options.atomic) {
      throw invalid("atomic", "what runs on behalf of another execution is undone with that one, and not alone");
    }
    const { passed } = options;
    if (passed !== undefined) this.hostFunctions.pass(passed);
    const number = this.#nextExecution++;
    const execution = new RunningExecution(options, limits, number, this.#session.sessionId !== "", this.share, parent);
    const start = { isAtomic: execution.isAtomic, chain: execution.chain };
    const first = this.#turns.input(number, () => execution.begin(command), { start });
    this.#admit(execution, first);
    this.#replies.addLate();
    this.#loop.add(first);
    // What it was to run on behalf of was stopped, or undone: alone it would stand.
    if (parent === undefined && this.#open.isOver(options.parentExecutionId)) execution.cancel();
    return execution;
  }

  /** @param first what its first turn is for; undefined for one that had it */
  #admit(execution: RunningExecution, first?: Input): void {
    execution.onStop = () => this.#stop(execution, first);
    execution.onCredit = (credit) => this.#allow(execution, credit);
    execution.onConsole = (entry) => this.#watchers.console(execution.executionId, entry);
    this.#open.add(execution);
  }

  /** The caller of an execution takes more of its emitted values. */
  #allow(execution: RunningExecution, credit: number): void {
    const { number } = execution;
    if (this.#open.get(number) === undefined) return;
    this.#loop.add(this.#turns.input(number, { kind: "credit", execution: number, credit }));
  }

  /** Ends an execution wherever it is. */
  #stop(execution: RunningExecution, first: Input | undefined): void {
    const { number } = execution;
    if (this.#open.get(number) === undefined) return;
    if (first !== undefined && this.#loop.remove(first)) return this.#endBetweenTurns(execution);
    if (execution.isAtomic && this.#loop.isRunning) {
      // What runs in its hold ends with it; then the session is put back.
      this.#turns.stopFor(execution);
      this.#loop.stop(() => true);
      return;
    }
    // A turn of its own that has run may wait for one behind it, in which this one goes on.
    const isAsked = this.#loop.stop(({ owner }) => owner === number);
    if (this.#engine.runningExecution(this.#memory) === number && this.#engine.stopRunning(this.#memory)) {
      // Its timer, or a continuation of it in the turn of another: who has to answer is known when that turn has ended.
      if (!isAsked) this.#turns.stopFor(execution);
      return;
    }
    if (!isAsked) this.#endBetweenTurns(execution);
  }

  #endBetweenTurns(execution: RunningExecution): void {
    const unprovided = this.hostFunctions.unprovidedTo(execution.number);
    this.#settle(execution, execution.stoppedBetweenTurns(this.#session.memoryBytes, unprovided));
    if (execution.hasCommitted) this.#loop.drop(execution.number);
    if (this.#loop.isStill) this.onStill();
  }

  #settle(execution: RunningExecution, outcome: Outcome): void {
    const isRolledBack = outcome.result.kind !== "value" && this.#rollBack(execution);
    const isStopped = outcome.result.kind === "stopped";
    // Where it was undone the guest does not know of them; and of what was stopped nothing runs any more.
    if (isRolledBack || isStopped) this.hostFunctions.cancelOf(execution.number);
    const { passedFunctions } = execution;
    const notReceived = (): void => this.hostFunctions.notReceived(passedFunctions);
    if (isRolledBack || (isStopped && !execution.hasCommitted)) notReceived();
    else if (passedFunctions.length > 0)
      this.whenFinal(() => this.hostFunctions.received(passedFunctions), notReceived);
    const { wallTime, cpuTime, queueTime, hostTime, turns, hostCalls } = outcome.usage;
    this.#session.usage.wallTime += wallTime;
    this.#session.usage.cpuTime += cpuTime;
    this.#session.usage.queueTime += queueTime;
    this.#session.usage.hostTime += hostTime;
    this.#session.usage.turns += turns;
    this.#session.usage.hostCalls += hostCalls;
    const children = this.#open.childrenOf(execution);
    this.#close(execution);
    if (outcome.result.kind === "stopped") stopChildren(children, outcome.result.reason);
    // What was asked for on its behalf and has not begun would stand.
    else if (isRolledBack) stopChildren(children, "CANCELLED");
    if (outcome.undone || outcome.result.kind === "stopped") this.#open.noteOver(execution);
    const { requestId, digest } = execution;
    // One that goes on where it was copied to, or without a request id, has an id all the same.
    if (digest !== "") this.#session.answered(requestId, digest, outcome);
    const tell = (): void => {
      execution.settle(outcome);
      this.#watchers.finished(outcome, execution.encoding);
    };
    this.#commits.pass(tell, (error) => execution.reject(this.#session.lossOf(execution.executionId, error)));
  }

  #reject(execution: RunningExecution, error: Error): void {
    this.hostFunctions.notReceived(execution.passedFunctions);
    this.#close(execution);
    execution.reject(error);
  }

  #close(execution: RunningExecution): void {
    this.#open.delete(execution);
    execution.close();
    this.#loop.ended(execution.number);
    if (!this.#loop.isHeld) {
      for (const { final } of this.#afterHold.splice(0)) this.#commits.pass(final);
      this.#heldReleases.forget();
    }
    this.#replies.addLate();
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
      if (child !== undefined) this.#settle(child, child.stoppedBetweenTurns(this.#session.memoryBytes));
    }
    this.#open.noteUndone(execution);
    this.hostFunctions.cancelHeld(execution.number);
    for (const { undone } of this.#afterHold.splice(0)) undone();
    this.#heldReleases.repeat();
    this.#exposeAgain();
    return true;
  }

  /** What was provided meanwhile is unknown to the session as it was before. */
  #exposeAgain(): void {
    const { names } = this.hostFunctions;
    if (names.length > 0) this.#loop.add(this.#turns.input(0, { kind: "expose", names }));
  }

  // What the host functions ask.

  hasRoomFor(result: HostResult): boolean {
    return this.#replies.hasRoomFor(result);
  }

  reply(callId: string, execution: number, result: HostResult, holder = 0): void {
    if (this.#life.ended !== undefined) return;
    this.#life.change();
    const isOpen = this.#open.get(execution) !== undefined;
    const over = (): void => this.#replies.delete(callId);
    const lost = (): void => {
      if (result !== NOT_TAKEN) this.reply(callId, execution, NOT_TAKEN, holder);
    };
    const input = this.#turns.input(isOpen ? execution : 0, { kind: "hostResult", callId, result }, { over, lost });
    // What holds the session may wait for an answer that was asked for meanwhile, also by what has ended.
    const isHolders = holder !== 0 && holder === this.#loop.holder;
    this.#replies.add(callId, { input, execution, result }, isOpen || isHolders);
  }

  get sessionId(): string {
    return this.#session.sessionId;
  }

  /** What was sent before the store has it would be sent again by another key, had it to be made again. */
  whenKept(send: () => void): void {
    this.#commits.pass(send);
  }

  whenFinal(final: () => void, undone: () => void): void {
    if (this.#loop.isHeld) this.#afterHold.push({ final, undone });
    else this.#commits.pass(final);
  }

  get holder(): number {
    return this.#loop.holder;
  }

  callerOf(execution: number): RunningExecution | undefined {
    return this.#open.get(execution);
  }

  // What the event loop asks.

  get hasOpenExecutions(): boolean {
    return this.#open.size > 0;
  }

  get mayNeverSettle(): boolean {
    return this.#open.size > 0 && this.hostFunctions.openCalls === 0;
  }

  changed(): void {
    this.#commits.change();
  }

  get isCommitDue(): boolean {
    return this.#commits.isDue;
  }

  commit(): Promise<void> {
    return this.#session.commit();
  }

  timer(owner: number, over: () => void): Input {
    return this.#turns.input(0, { kind: "timer" }, { cpuTime: this.#open.get(owner)?.cpuTime, setBy: owner, over });
  }

  look(): Input {
    return this.#turns.input(0, { kind: "look" }, { cpuTime: LOOK_BUDGET });
  }

  onStill(): void {
    this.#life.lastUsedAt = Date.now();
    this.#heldReleases.onStill();
    if (!this.isIdle) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }
}

/** What runs on behalf of one that is stopped is stopped with it. */
function stopChildren(children: readonly RunningExecution[], reason: StopReason): void {
  const isOver = reason === "TIMEOUT" || reason === "ROLLED_BACK" ? reason : "CANCELLED";
  for (const child of children) child.stop(isOver);
}
