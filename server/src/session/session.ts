/**
 * One live session: its memory, and the queue of what wants to run in it. Turns of a session never overlap; one execution
 * is in flight, the others wait in order.
 */
import type { Engine, Turn, TurnResult } from "../engine/engine.js";
import type { Effect, InputValue, TurnInput } from "../engine/kernel-protocol.js";
import type { SessionMemory } from "../engine/session-memory.js";
import { SessionError } from "./errors.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import { executionLimits, type Limits } from "./limits.js";
import { type ConsoleEntry, exceptionOf, type Outcome, resultOf, type StopReason } from "./outcome.js";
import { RequestIds } from "./request-ids.js";

/** Milliseconds that a turn of the kernel's own (inspection, release) may take. */
const KERNEL_TURN_BUDGET = 1_000;
/** The server answers this part of the time left, or at most so many milliseconds, before the caller's deadline. */
const DEADLINE_MARGIN = { part: 0.1, most: 20 };
/** A full queue is worth another try about when some of it has run. */
const QUEUE_RETRY = 100;

export interface SessionInit {
  readonly sessionId: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly limits: Limits;
  /** Milliseconds without use after which the session is deleted. */
  readonly idleTtl: number;
}

/** Something that wants the session's memory for a while. */
interface Job {
  /** Runs with the memory to itself; never rejects. */
  run(): Promise<void>;
  /** The session ends, or the caller gave up, before it ran. */
  abandon(error: SessionError | undefined): void;
}

export class Session {
  readonly sessionId: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly limits: Limits;
  readonly idleTtl: number;
  readonly createdAt = Date.now();
  lastUsedAt = this.createdAt;
  handleCount = 0;
  readonly usage = { wallTime: 0, cpuTime: 0, queueTime: 0, turns: 0 };
  readonly #engine: Engine;
  readonly #memory: SessionMemory;
  readonly #requestIds = new RequestIds<Outcome>(sizeOfOutcome);
  readonly #executions = new Map<string, Execution>();
  #queue: Job[] = [];
  #busy: Promise<void> | undefined;
  #turn: Turn | undefined;
  #ended: SessionError | undefined;
  #nextExecution = 1;

  constructor(engine: Engine, init: SessionInit) {
    this.sessionId = init.sessionId;
    this.labels = init.labels;
    this.limits = init.limits;
    this.idleTtl = init.idleTtl;
    this.#engine = engine;
    this.#memory = engine.createMemory(init.limits.memoryBytes);
  }

  /** Heap in use, in bytes. */
  get memoryBytes(): number {
    return this.#memory.heapBytes;
  }

  get isIdle(): boolean {
    return this.#busy === undefined;
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
    if (requestId === "") return this.#enqueue(command, options);
    let started: Execution | undefined;
    const outcome = this.#requestIds.once(requestId, options.digest, () => {
      started = this.#enqueue(command, options);
      return started.outcome;
    });
    return started ?? { executionId: requestId, outcome, cancel: () => undefined };
  }

  /** Ends an execution by its id; one that has ended or is not known is no error. */
  cancel(executionId: string): void {
    this.#executions.get(executionId)?.cancel();
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

  /** Ends the session: what runs or waits is answered with the error, and the memory goes back. */
  async end(error: SessionError): Promise<void> {
    if (this.#ended !== undefined) return this.#busy;
    this.#ended = error;
    for (const job of this.#queue.splice(0)) job.abandon(error);
    this.#turn?.stop();
    await this.#busy;
    this.#engine.releaseMemory(this.#memory);
  }

  /** Resolves when nothing runs or waits any more. */
  async settled(): Promise<void> {
    await this.#busy;
  }

  #enqueue(command: Command, options: CommandOptions): Execution {
    const limits = executionLimits(this.limits, options.limits);
    if (this.#queue.length >= limits.queuedExecutions) {
      throw new SessionError(
        "QUEUE_FULL",
        `the session already has ${this.#queue.length} executions waiting; wait for some of them, or raise limits.queued_executions`,
        { ids: { session_id: this.sessionId }, retryAfter: QUEUE_RETRY },
      );
    }
    const running = new RunningExecution(command, options, limits, this.#nextExecution++, this.sessionId);
    this.#executions.set(running.executionId, running);
    const job: Job = {
      run: () => this.#runExecution(running),
      abandon: (error) => {
        this.#executions.delete(running.executionId);
        if (error === undefined)
          running.settle(this.#outcomeOf(running, stopped(running.stopCause ?? "CANCELLED"), false));
        else running.reject(error);
      },
    };
    running.onStop = () => {
      if (this.#dequeue(job)) job.abandon(undefined);
      else running.turn?.stop();
    };
    this.#add(job);
    return running;
  }

  async #runExecution(running: RunningExecution): Promise<void> {
    running.begin();
    const { reason, milliseconds } = running.budget();
    const result = await this.#runTurn(running.input(), milliseconds, running.consoleBytesLeft, (turn) => {
      running.turn = turn;
    });
    running.turn = undefined;
    running.account(result);
    this.#executions.delete(running.executionId);
    if (this.#ended !== undefined) return running.reject(this.#ended);
    if (result.kind === "undone") {
      const why = result.reason === "budget" ? reason : (running.stopCause ?? REASON_OF_UNDO[result.reason]);
      return running.settle(this.#outcomeOf(running, stopped(why, result.message), true));
    }
    for (const effect of result.effects) {
      if (effect.kind === "refused") return running.reject(refusal(effect, this.sessionId));
      if (effect.kind === "value") {
        running.settle(this.#outcomeOf(running, { kind: "value", value: resultOf(effect) }, false));
      } else if (effect.kind === "exception") {
        running.settle(this.#outcomeOf(running, { kind: "exception", exception: exceptionOf(effect) }, false));
      }
    }
  }

  #outcomeOf(running: RunningExecution, result: Outcome["result"], undone: boolean): Outcome {
    const usage = running.usage(this.#memory.heapBytes);
    this.usage.wallTime += usage.wallTime;
    this.usage.cpuTime += usage.cpuTime;
    this.usage.queueTime += usage.queueTime;
    this.usage.turns += usage.turns;
    const { executionId, console, consoleTruncated } = running;
    return { executionId, result, console, consoleTruncated, usage, undone };
  }

  #ask(input: TurnInput): Promise<{ count: number; text: string }> {
    return new Promise((resolve, reject) => {
      this.#add({
        run: async () => {
          const result = await this.#runTurn(input, KERNEL_TURN_BUDGET, 0, () => undefined);
          if (this.#ended !== undefined) return reject(this.#ended);
          if (result.kind === "undone") return reject(new Error(`a turn of the kernel was undone: ${result.message}`));
          const refused = result.effects.find((effect) => effect.kind === "refused");
          if (refused !== undefined) return reject(refusal(refused, this.sessionId));
          resolve(result.effects.find((effect) => effect.kind === "answer") ?? { count: 0, text: "" });
        },
        abandon: (error) => reject(error),
      });
    });
  }

  async #runTurn(
    input: TurnInput,
    budget: number,
    consoleBytes: number,
    onTurn: (turn: Turn) => void,
  ): Promise<TurnResult> {
    const turn = this.#engine.run(this.#memory, input, budget, consoleBytes);
    this.#turn = turn;
    onTurn(turn);
    const result = await turn.result;
    this.#turn = undefined;
    if (result.kind === "committed") {
      for (const effect of result.effects) if (effect.kind === "counts") this.handleCount = effect.handles;
    }
    return result;
  }

  #add(job: Job): void {
    if (this.#ended !== undefined) {
      job.abandon(this.#ended);
      return;
    }
    this.#queue.push(job);
    this.#busy ??= this.#work();
  }

  #dequeue(job: Job): boolean {
    const index = this.#queue.indexOf(job);
    if (index >= 0) this.#queue.splice(index, 1);
    return index >= 0;
  }

  async #work(): Promise<void> {
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) {
      this.lastUsedAt = Date.now();
      await job.run();
    }
    this.lastUsedAt = Date.now();
    this.#busy = undefined;
  }
}

const REASON_OF_UNDO = {
  stopped: "CANCELLED",
  memory: "MEMORY",
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
};

function stopped(reason: StopReason, detail = ""): Outcome["result"] {
  const message =
    reason === "ENGINE_TRAP" && detail !== "" ? `${STOP_MESSAGE[reason]}: ${detail}` : STOP_MESSAGE[reason];
  return { kind: "stopped", reason, message };
}

function refusal(effect: Effect & { kind: "refused" }, sessionId: string): SessionError {
  if (effect.reason === "handleNotFound") {
    return new SessionError(
      "HANDLE_NOT_FOUND",
      "the session holds no such handle: it was released, or is of another session",
      {
        ids: { session_id: sessionId, handle_id: effect.what },
      },
    );
  }
  const field = effect.what;
  return effect.reason === "invalidJson"
    ? new SessionError("INVALID_REQUEST", `${field}: is not valid JSON text`, { field })
    : new SessionError("INVALID_REQUEST", "path: leads to nothing that can be inspected without running code", {
        field: "path",
      });
}

/** What keeping an outcome for a repeat costs, roughly. */
function sizeOfOutcome(outcome: Outcome): number {
  const { result } = outcome;
  const text = result.kind === "value" && result.value.kind === "json" ? result.value.text.length : 0;
  const exception = result.kind === "exception" ? result.exception.stack.length + result.exception.message.length : 0;
  return 300 + text + exception + outcome.console.reduce((sum, entry) => sum + entry.text.length + 50, 0);
}

/** The life of one execution on the server's side. */
class RunningExecution implements Execution {
  readonly executionId: string;
  readonly outcome: Promise<Outcome>;
  readonly console: ConsoleEntry[] = [];
  consoleTruncated = false;
  readonly #command: Command;
  readonly #options: CommandOptions;
  readonly #limits: Limits;
  readonly #number: number;
  readonly #hasSession: boolean;
  readonly #arrivedAt = Date.now();
  #startedAt = 0;
  #cpuTime = 0;
  #turns = 0;
  #consoleBytes = 0;
  #deadline: NodeJS.Timeout | undefined;
  settle: (outcome: Outcome) => void = () => undefined;
  reject: (error: SessionError) => void = () => undefined;
  /** Why it is being stopped; undefined while nobody asked for it. */
  stopCause: StopReason | undefined;
  onStop: () => void = () => undefined;
  turn: Turn | undefined;

  constructor(command: Command, options: CommandOptions, limits: Limits, number: number, sessionId: string) {
    this.#command = command;
    this.#options = options;
    this.#limits = limits;
    this.#number = number;
    this.#hasSession = sessionId !== "";
    this.executionId = options.requestId === "" ? `execution-${number}` : options.requestId;
    this.outcome = new Promise((resolve, reject) => {
      this.settle = (outcome) => {
        clearTimeout(this.#deadline);
        resolve(outcome);
      };
      this.reject = (error) => {
        clearTimeout(this.#deadline);
        reject(error);
      };
    });
    this.#watchDeadline(options.deadline);
  }

  cancel(): void {
    this.#stop("CANCELLED");
  }

  #stop(cause: StopReason): void {
    this.stopCause ??= cause;
    this.onStop();
  }

  /** Waiting in the queue counts too: who is still there when the caller's deadline nears is answered. */
  #watchDeadline(deadline: number): void {
    const left = answerBy(deadline, this.#arrivedAt) - this.#arrivedAt;
    if (left < MAXIMUM_TIMER) this.#deadline = setTimeout(() => this.#stop("TIMEOUT"), Math.max(0, left));
  }

  begin(): void {
    this.#startedAt = Date.now();
  }

  /** Milliseconds the next turn may take, and what it means when they are over. */
  budget(): { milliseconds: number; reason: StopReason } {
    const now = Date.now();
    const left = Math.min(
      this.#startedAt + this.#limits.timeout - now,
      answerBy(this.#options.deadline, this.#arrivedAt) - now,
    );
    const { cpuTime } = this.#limits;
    return cpuTime < left
      ? { milliseconds: cpuTime, reason: "CPU_TIME" }
      : { milliseconds: Math.max(0, left), reason: "TIMEOUT" };
  }

  input(): TurnInput {
    return {
      ...this.#command,
      execution: this.#number,
      encoding: this.#options.encoding,
      handleGroup: this.#hasSession ? this.#options.handleGroup : undefined,
      valueBytes: this.#limits.valueBytes,
      handles: this.#limits.handles,
    };
  }

  account(result: TurnResult): void {
    this.#cpuTime += result.cpuTime;
    this.#turns++;
    this.consoleTruncated ||= result.consoleTruncated;
    for (const text of result.console) {
      const { level, time, text: line } = JSON.parse(text) as ConsoleEntry;
      const room = Math.max(0, this.consoleBytesLeft);
      this.#consoleBytes += Buffer.byteLength(line);
      // Cut by characters: the whole of it would pass the limit anyhow.
      this.console.push({
        level,
        time,
        text: this.consoleBytesLeft < 0 ? `${line.slice(0, room)}… (cut)` : line,
        undone: result.kind === "undone",
      });
    }
  }

  get consoleBytesLeft(): number {
    return this.#limits.consoleBytes - this.#consoleBytes;
  }

  usage(memoryBytes: number): Outcome["usage"] {
    const now = Date.now();
    const started = this.#startedAt || now;
    return {
      wallTime: now - started,
      cpuTime: this.#cpuTime,
      queueTime: started - this.#arrivedAt,
      memoryBytes,
      turns: this.#turns,
    };
  }
}

/** Node's timers count to 2 ** 31 - 1 milliseconds; deadlines beyond are none. */
const MAXIMUM_TIMER = 2 ** 31 - 1;

function answerBy(deadline: number, arrivedAt: number): number {
  return deadline - Math.min(DEADLINE_MARGIN.most, (deadline - arrivedAt) * DEADLINE_MARGIN.part);
}
