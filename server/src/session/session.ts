/**
 * One live session: its memory, its event loop, and the executions that are open in it. They take their turns in the order they
 * came, and go on as functions do on any event loop: one may begin while another waits for a timer.
 */
import type { ConsoleText, Engine, TurnResult } from "../engine/engine.js";
import type { Effect, HostResult, InputValue, TurnInput } from "../engine/kernel-protocol.js";
import type { SessionMemory } from "../engine/session-memory.js";
import { invalid, SessionError } from "./errors.js";
import { EventLoop, type Input, KERNEL_TURN_BUDGET } from "./event-loop.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import { type ExposeOptions, HostFunctions, type HostFunctionsHost, type HostLink } from "./host-functions.js";
import { executionLimits, type Limits } from "./limits.js";
import { OpenExecutions } from "./open-executions.js";
import { type Outcome, templateWarning } from "./outcome.js";
import { sizeOfOutcome } from "./outcome-size.js";
import { refusalOf } from "./refusals.js";
import { RequestIds } from "./request-ids.js";
import { RunningExecution } from "./running-execution.js";
import { type Watcher, Watchers } from "./watchers.js";

/** A full queue is worth another try about when some of it has run. */
const QUEUE_RETRY = 100;

/** Executions that run on behalf of each other: guest code calls a host function, which calls guest code. */
const DEEPEST_CALLS = 16;

export interface SessionInit {
  /** Empty for a session that lives for one execution; no handle can live in it. */
  readonly sessionId: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly limits: Limits;
  /** Milliseconds without use after which the session is deleted. */
  readonly idleTtl: number;
}

export class Session implements HostFunctionsHost {
  readonly sessionId: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly limits: Limits;
  readonly idleTtl: number;
  readonly createdAt = Date.now();
  lastUsedAt = this.createdAt;
  readonly usage = { wallTime: 0, cpuTime: 0, queueTime: 0, hostTime: 0, turns: 0, hostCalls: 0 };
  readonly #engine: Engine;
  readonly #memory: SessionMemory;
  readonly #loop: EventLoop;
  /** Functions that clients lend to this session. */
  readonly hostFunctions = new HostFunctions(this);
  /** Replies that wait for an execution: without one no guest code runs. */
  #lateReplies: Input[] = [];
  readonly #requestIds = new RequestIds<Outcome>(sizeOfOutcome);
  readonly #asks = new Set<(error: SessionError) => void>();
  readonly #watchers = new Watchers();
  /** Executions without an outcome. */
  readonly #open = new OpenExecutions(this.#watchers);
  /** One that is being stopped in a turn that is not its own: it answers for that turn. */
  #stopping: RunningExecution | undefined;
  #whenIdle: (() => void)[] = [];
  #ended: SessionError | undefined;
  #nextExecution = 1;

  constructor(engine: Engine, init: SessionInit) {
    this.sessionId = init.sessionId;
    this.labels = init.labels;
    this.limits = init.limits;
    this.idleTtl = init.idleTtl;
    this.#engine = engine;
    this.#memory = engine.createMemory(init.limits.memoryBytes);
    this.#loop = new EventLoop(engine, this.#memory, this);
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

  /** When it is deleted unless it is used before, in milliseconds since the epoch. */
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
    const outcome = this.#requestIds.once(requestId, options.digest, () => {
      started = this.#begin(command, options);
      return started.outcome;
    });
    if (started !== undefined) return started;
    return { executionId: requestId, outcome, cancel: () => this.cancel(requestId), allow: () => undefined };
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
    const isOpen = this.#open.get(execution) !== undefined;
    const input = this.#input(isOpen ? execution : 0, { kind: "hostResult", callId, result });
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

  #begin(command: Command, options: CommandOptions): Execution {
    if (this.#ended !== undefined) throw this.#ended;
    this.lastUsedAt = Date.now();
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
    const execution = new RunningExecution(command, options, limits, number, this.sessionId !== "", parent);
    this.#open.add(execution);
    if (this.#takesLateReplies) this.#addLateReplies();
    const start = { isAtomic: execution.isAtomic, root: execution.root };
    const first = this.#input(number, () => execution.begin(), { start });
    execution.onStop = () => this.#stop(execution, first);
    execution.onCredit = (credit) => this.#allow(execution, credit);
    execution.onConsole = (entry) => this.#watchers.console(execution.executionId, entry);
    this.#loop.add(first);
    return execution;
  }

  /** The caller of an execution takes more of its emitted values. */
  #allow(execution: RunningExecution, credit: number): void {
    const { number } = execution;
    if (this.#open.get(number) === undefined) return;
    this.#loop.add(this.#input(number, { kind: "credit", execution: number, credit }));
  }

  /** Ends an execution wherever it is. */
  #stop(execution: RunningExecution, first: Input): void {
    const { number } = execution;
    if (this.#open.get(number) === undefined) return;
    if (this.#loop.remove(first)) return this.#endBetweenTurns(execution);
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
        if (result.kind === "committed") return this.#committed(owner, result);
        const again = this.#undone(owner, result, isRetry);
        isRetry = true;
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
    const { names } = this.hostFunctions;
    // What was provided meanwhile is unknown to the session as it was before.
    if (names.length > 0) this.#loop.add(this.#input(0, { kind: "expose", names }));
    return true;
  }

  /** A turn of the kernel's own. */
  #ask(input: TurnInput): Promise<{ count: number; text: string }> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.lastUsedAt = Date.now();
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
