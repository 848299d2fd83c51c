/** One execution on the server's side: from its arrival through its turns to its outcome. */
import { randomUUID } from "node:crypto";
import { type ConsoleText, clock, type TurnResult } from "../engine/engine.js";
import type { Effect, TurnInput } from "../engine/kernel-protocol.js";
import type { HeapShare } from "../engine/main-heap.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import type { Limits } from "./limits.js";
import { LiveConsole } from "./live-console.js";
import { type ConsoleEntry, exceptionOf, type Outcome, type StopReason, valueFrom, type Warning } from "./outcome.js";
import type { ExecutionRecord } from "./session-record.js";

/** The server answers this part of the time left, or at most so many milliseconds, before the caller's deadline. */
const DEADLINE_MARGIN = { part: 0.1, most: 20 };
/** Node's timers count to 2 ** 31 - 1 milliseconds; deadlines beyond are none. */
const MAXIMUM_TIMER = 2 ** 31 - 1;
/** Emitted values that may be on their way to a client that has not said that it takes more. */
export const FIRST_CREDIT = 16;
/** Warnings that an execution carries; later ones are left out. */
const MAXIMUM_WARNINGS = 100;

interface Recorded {
  readonly record: ExecutionRecord;
  /** What its console was given. */
  readonly consoleRoom: number;
}

export class RunningExecution implements Execution {
  readonly executionId: string;
  readonly outcome: Promise<Outcome>;
  /** Within the session, from 1. */
  readonly number: number;
  /** Ends it wherever it is; set by the session that runs it. */
  onStop: (cause: StopReason) => void = () => undefined;
  /** Its caller takes more emitted values; set by the session that runs it. */
  onCredit: (credit: number) => void = () => undefined;
  /** It wrote to its console; set by the session that runs it. */
  onConsole: (entry: ConsoleEntry) => void = () => undefined;
  readonly #options: CommandOptions;
  readonly #limits: Limits;
  readonly #canHoldHandles: boolean;
  /** The execution on whose behalf this one runs; undefined for none. */
  readonly parent: RunningExecution | undefined;
  readonly #arrivedAt = clock();
  readonly #console: LiveConsole;
  readonly #warnings: Warning[] = [];
  #timer: NodeJS.Timeout | undefined;
  #resolve: (outcome: Outcome) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  /** Why it is being stopped; undefined while nobody asked for it. */
  #stopCause: StopReason | undefined;
  /** What it means when the budget of a turn of its own is over. */
  #overrun: StopReason = "CPU_TIME";
  #startedAt: number | undefined;
  /** What its first turn begins with; once that is on its way, what it is given more has turns of its own. */
  #credit = FIRST_CREDIT;
  #isToBegin = true;
  #goesOn = false;
  #hostCalls = 0;
  #openHostCalls = 0;
  #waitsSince = 0;
  #hostTime = 0;
  #cpuTime = 0;
  #turns = 0;
  /** What `record` gave last, while nothing has changed but the time. */
  #recorded: Recorded | undefined;

  /**
   * @param number its number within the session, from 1
   * @param share of what the main thread keeps, its session's
   */
  constructor(
    options: CommandOptions,
    limits: Limits,
    number: number,
    canHoldHandles: boolean,
    share: HeapShare,
    parent?: RunningExecution,
  ) {
    this.parent = parent;
    this.#options = options;
    this.#limits = limits;
    this.number = number;
    this.#canHoldHandles = canHoldHandles;
    const tell = options.listener?.console;
    const told = (entry: ConsoleEntry): void => {
      tell?.(entry);
      this.onConsole(entry);
    };
    this.#console = new LiveConsole(limits.consoleBytes, tell === undefined, share, told);
    this.executionId = options.requestId === "" ? randomUUID() : options.requestId;
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Waiting in the queue counts too: who is still there when the caller's deadline nears is answered.
    this.#armTimer();
  }

  /**
   * One that was in flight in the session that this one is a copy of, or in this one before it came back. Its caller hears nothing
   * of it.
   */
  static resume(record: ExecutionRecord, parent: RunningExecution | undefined, share: HeapShare): RunningExecution {
    const { executionId: requestId, digest, encoding, number, limits } = record;
    const options = { requestId, digest, encoding, handleGroup: "", atomic: false, parentExecutionId: "" };
    const deadline = Number.POSITIVE_INFINITY;
    const execution = new RunningExecution({ ...options, deadline }, limits, number, true, share, parent);
    execution.#isToBegin = false;
    execution.#startedAt = clock() - record.elapsed;
    execution.#cpuTime = record.cpuTime;
    execution.#turns = record.turns;
    execution.#hostCalls = record.hostCalls;
    execution.#hostTime = record.hostTime;
    execution.#warnings.push(...record.warnings);
    if (record.console !== undefined) execution.#console.restore(record.console);
    execution.goesOn();
    // Nobody waits for the outcome, so nobody takes it that the session ends before.
    execution.outcome.catch(() => undefined);
    return execution;
  }

  /**
   * What a copy of the session has to know of it. It is the same object as before where nothing has changed but the time.
   *
   * @param consoleRoom bytes that entries of its console may take
   */
  record(consoleRoom: number): ExecutionRecord {
    if (this.#recorded === undefined || !this.#isRecordedFor(consoleRoom, this.#recorded)) {
      this.#recorded = { record: this.#newRecord(consoleRoom), consoleRoom };
    }
    return this.#recorded.record;
  }

  #isRecordedFor(consoleRoom: number, { record, consoleRoom: before }: Recorded): boolean {
    if (consoleRoom === before) return true;
    const { entries, bytes } = record.console ?? { entries: [], bytes: 0 };
    return entries.length === this.#console.entries.length && bytes <= consoleRoom;
  }

  #newRecord(consoleRoom: number): ExecutionRecord {
    const time = clock();
    return {
      number: this.number,
      executionId: this.executionId,
      digest: this.#options.digest,
      encoding: this.#options.encoding,
      limits: this.#limits,
      parent: this.parent?.number ?? 0,
      isStreaming: this.#options.listener?.emitted !== undefined,
      clock: time,
      isWaiting: this.#openHostCalls > 0,
      elapsed: time - (this.#startedAt ?? time),
      cpuTime: this.#cpuTime,
      turns: this.#turns,
      // Those that are open are counted again when they are made again.
      hostCalls: this.#hostCalls - this.#openHostCalls,
      hostTime: this.#hostTime + this.#openHostTime(time),
      warnings: [...this.#warnings],
      console: this.#console.record(consoleRoom),
    };
  }

  /** True once a turn of it has committed after which it goes on: the kernel then knows it. */
  get hasCommitted(): boolean {
    return this.#goesOn;
  }

  /** True when somebody asked for its end, or its time is up. */
  get isStopping(): boolean {
    return this.#stopCause !== undefined;
  }

  /** Of its values, as in the contract. */
  get encoding(): number {
    return this.#options.encoding;
  }

  /** Milliseconds that one turn of it may take. */
  get cpuTime(): number {
    return this.#limits.cpuTime;
  }

  /** Empty where its request has none. */
  get requestId(): string {
    return this.#options.requestId;
  }

  /** Names its request, where that has an id. */
  get digest(): string {
    return this.#options.digest;
  }

  /** Ids of the functions that came with its command as values. */
  get passedFunctions(): readonly string[] {
    return this.#options.passed?.ids ?? [];
  }

  get isAtomic(): boolean {
    return this.#options.atomic;
  }

  /** How many executions up it runs on behalf of others. */
  get depth(): number {
    return this.parent === undefined ? 0 : this.parent.depth + 1;
  }

  /** Numbers of it and of those on whose behalf it runs, directly or not, of which some may have ended. */
  get chain(): readonly number[] {
    return [this.number, ...(this.parent?.chain ?? [])];
  }

  cancel(): void {
    this.stop("CANCELLED");
  }

  allow(credit: number): void {
    // A turn for one that waits to begin would be taken for its first.
    if (this.#isToBegin) this.#credit += credit;
    else this.onCredit(credit);
  }

  /** Ends it wherever it is. Of several causes the first counts. */
  stop(cause: StopReason): void {
    this.#stopCause ??= cause;
    this.onStop(this.#stopCause);
  }

  /** Milliseconds since the epoch by which it has to be answered. */
  get answerBy(): number {
    const { deadline } = this.#options;
    const answerBy = deadline - Math.min(DEADLINE_MARGIN.most, (deadline - this.#arrivedAt) * DEADLINE_MARGIN.part);
    const parents = this.parent?.answerBy ?? Number.POSITIVE_INFINITY;
    const own = this.#startedAt === undefined ? Number.POSITIVE_INFINITY : this.#startedAt + this.#limits.timeout;
    return Math.min(answerBy, parents, own);
  }

  /** Milliseconds until it has to end. */
  timeLeft(): number {
    return Math.max(0, this.answerBy - clock());
  }

  hostCallBegan(): void {
    this.#recorded = undefined;
    this.#hostCalls++;
    if (this.#openHostCalls++ === 0) this.#waitsSince = clock();
  }

  hostCallEnded(): void {
    this.#recorded = undefined;
    if (--this.#openHostCalls === 0) this.#hostTime += clock() - this.#waitsSince;
  }

  #armTimer(): void {
    clearTimeout(this.#timer);
    const left = this.answerBy - clock();
    if (left < MAXIMUM_TIMER) this.#timer = setTimeout(() => this.stop("TIMEOUT"), Math.max(0, left));
  }

  /** Its first turn, to be run now: the input, milliseconds it may take, bytes of console it may write. */
  begin(command: Command): { input: TurnInput; budget: number; consoleBytes: number } {
    this.#isToBegin = false;
    const { timeout, valueBytes, handles, consoleBytes } = this.#limits;
    const handleGroup = this.#canHoldHandles ? this.#options.handleGroup : undefined;
    const execution = {
      number: this.number,
      encoding: this.#options.encoding,
      handleGroup,
      valueBytes,
      handles,
      credit: this.#options.listener?.emitted === undefined ? undefined : this.#credit,
      locals: this.#options.locals,
    };
    return {
      input: { kind: "run", command, execution },
      budget: this.#budget(Math.min(timeout, this.answerBy - clock())),
      consoleBytes,
    };
  }

  /** Milliseconds that a later turn of it, to be run now, may take. */
  nextBudget(): number {
    return this.#budget(this.answerBy - clock());
  }

  #budget(left: number): number {
    const { cpuTime } = this.#limits;
    this.#overrun = cpuTime < left ? "CPU_TIME" : "TIMEOUT";
    return Math.max(0, Math.min(cpuTime, left));
  }

  /** Takes what a turn cost that was run for it. */
  account({ startedAt, cpuTime }: Pick<TurnResult, "startedAt" | "cpuTime">): void {
    this.#recorded = undefined;
    this.#startedAt ??= startedAt;
    this.#cpuTime += cpuTime;
    this.#turns++;
  }

  /** It goes on in later turns: from now on its time is watched here. */
  goesOn(): void {
    if (this.#goesOn) return;
    this.#goesOn = true;
    this.#armTimer();
  }

  /** Takes a console entry of it from a turn that has ended. @param wasLive it was taken when the turn ran */
  log(entry: ConsoleText, undone: boolean, wasLive: boolean): void {
    this.#recorded = undefined;
    this.#console.add(entry, undone, wasLive);
  }

  /** Takes a console entry of it from a turn that runs. */
  logLive(entry: ConsoleText): void {
    // What is left of console_bytes is recorded too.
    this.#recorded = undefined;
    this.#console.addLive(entry);
  }

  /** It is answered, or will never be. */
  close(): void {
    this.#console.close();
  }

  /** The turn that runs is undone, and it is not the one that answers for it. */
  forgetLive(): void {
    this.#console.forgetLive();
  }

  warn(warning: Warning): void {
    this.#recorded = undefined;
    if (this.#warnings.length < MAXIMUM_WARNINGS) this.#warnings.push(warning);
  }

  emit(effect: Effect & { kind: "emitted" }): void {
    this.#options.listener?.emitted?.(valueFrom(effect));
  }

  /** The outcome that the kernel gave it. */
  outcomeOf(effect: Effect & { kind: "value" | "exception" }, memoryBytes: number): Outcome {
    if (effect.kind === "value") return this.#ended({ kind: "value", value: valueFrom(effect) }, memoryBytes, false);
    return this.#ended({ kind: "exception", exception: exceptionOf(effect) }, memoryBytes, this.isAtomic);
  }

  /** The outcome when a turn had to be undone that it answers for. @param isOwner the turn was its own */
  undone(result: TurnResult & { kind: "undone" }, isOwner: boolean, memoryBytes: number): Outcome {
    const overrun = isOwner ? this.#overrun : "CPU_TIME";
    const reason = result.reason === "budget" ? overrun : REASON_OF_UNDO[result.reason];
    const detail = result.reason === "serverMemory" ? SERVER_MEMORY : result.reason === "trap" ? result.message : "";
    return this.#ended(stopped(this.#stopCause ?? reason, detail), memoryBytes, true);
  }

  /**
   * The outcome when it was stopped while nothing of it ran: its turns so far stand.
   * @param unprovided the name of a host function that it waits for and no client provides
   */
  stoppedBetweenTurns(memoryBytes: number, unprovided?: string): Outcome {
    const detail = unprovided === undefined ? "" : unprovidedMessage(unprovided);
    return this.#ended(
      stopped(this.#stopCause ?? "CANCELLED", detail),
      memoryBytes,
      this.isAtomic && this.hasCommitted,
    );
  }

  #ended(result: Outcome["result"], memoryBytes: number, undone: boolean): Outcome {
    const time = clock();
    const startedAt = this.#startedAt ?? time;
    return {
      executionId: this.executionId,
      result,
      console:
        undone && this.isAtomic ? this.#console.entries.map((entry) => ({ ...entry, undone })) : this.#console.entries,
      consoleTruncated: this.#console.isTruncated,
      warnings: this.#warnings,
      usage: {
        wallTime: Math.max(0, time - startedAt),
        cpuTime: this.#cpuTime,
        queueTime: Math.max(0, startedAt - this.#arrivedAt),
        hostTime: this.#hostTime + this.#openHostTime(time),
        memoryBytes,
        turns: this.#turns,
        hostCalls: this.#hostCalls,
      },
      undone,
    };
  }

  #openHostTime(time: number): number {
    return this.#openHostCalls > 0 ? time - this.#waitsSince : 0;
  }

  settle(outcome: Outcome): void {
    clearTimeout(this.#timer);
    this.#resolve(outcome);
  }

  reject(error: Error): void {
    clearTimeout(this.#timer);
    this.#reject(error);
  }
}

const REASON_OF_UNDO = {
  stopped: "CANCELLED",
  memory: "MEMORY",
  serverMemory: "MEMORY",
  valueSize: "VALUE_SIZE",
  handles: "HANDLES",
  trap: "ENGINE_TRAP",
} as const;

const STOP_MESSAGE: Readonly<Record<StopReason, string>> = {
  TIMEOUT: "the execution ran into its time limit; raise limits.timeout or the deadline of the call if it needs longer",
  CPU_TIME: "a turn of the execution ran into the CPU time limit; raise limits.cpu_time if it needs longer",
  MEMORY: "the session ran out of memory; create it with a larger limits.memory_bytes if it needs more",
  VALUE_SIZE: "the result is larger than limits.value_bytes and its encoding allows no handle; ask for a part of it",
  HANDLES: "the session holds as many handles as limits.handles allows; release some",
  ENGINE_TRAP: "the engine failed while running this code",
  CANCELLED: "the execution was cancelled",
  ROLLED_BACK: "the session was put back to a snapshot while the execution was in flight",
};

const SERVER_MEMORY =
  "the sessions of this server together hold all the memory that they may; delete some, or start it with a larger --max-memory";

function unprovidedMessage(name: string): string {
  const known = name === "" ? "a host function" : `the host function ${name}`;
  return `the execution ran into its time limit while it waited for ${known}, which no client provides now; expose it to this session`;
}

function stopped(reason: StopReason, detail: string): Outcome["result"] {
  if (reason === "TIMEOUT" && detail !== "") return { kind: "stopped", reason, message: detail };
  if (reason === "MEMORY" && detail !== "") return { kind: "stopped", reason, message: detail };
  const message =
    reason === "ENGINE_TRAP" && detail !== "" ? `${STOP_MESSAGE[reason]}: ${detail}` : STOP_MESSAGE[reason];
  return { kind: "stopped", reason, message };
}
