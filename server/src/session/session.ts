/**
 * One live session: its memory, and the queue of what wants to run in it. Turns of a session never overlap; one execution
 * is in flight at a time, the others wait in order.
 */
import { type Engine, MAXIMUM_TURNS, type Turn, type TurnResult, type TurnSpec } from "../engine/engine.js";
import type { Effect, InputValue, TurnInput } from "../engine/kernel-protocol.js";
import type { SessionMemory } from "../engine/session-memory.js";
import { SessionError } from "./errors.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import { executionLimits, type Limits } from "./limits.js";
import type { Outcome } from "./outcome.js";
import { RequestIds } from "./request-ids.js";
import { RunningExecution } from "./running-execution.js";

/** Milliseconds that a turn of the kernel's own (inspection, release) may take. */
const KERNEL_TURN_BUDGET = 1_000;
/** A full queue is worth another try about when some of it has run. */
const QUEUE_RETRY = 100;

export interface SessionInit {
  /** Empty for a session that lives for one execution; no handle can live in it. */
  readonly sessionId: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly limits: Limits;
  /** Milliseconds without use after which the session is deleted. */
  readonly idleTtl: number;
}

/** Something that wants a turn of the session. */
interface Job {
  /** Its turn, once it is posted. */
  turn?: Turn;
  /** What is to be run now. */
  begin(): Omit<TurnSpec, "done">;
  done(result: TurnResult): void;
  /** It will not run: the session ended, or, without an error, the caller gave up. */
  abandon(error: SessionError | undefined): void;
}

export class Session {
  readonly sessionId: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly limits: Limits;
  readonly idleTtl: number;
  readonly createdAt = Date.now();
  lastUsedAt = this.createdAt;
  readonly usage = { wallTime: 0, cpuTime: 0, queueTime: 0, turns: 0 };
  readonly #engine: Engine;
  readonly #memory: SessionMemory;
  readonly #requestIds = new RequestIds<Outcome>(sizeOfOutcome);
  readonly #executions = new Map<string, Execution>();
  #queue: Job[] = [];
  #running: readonly Job[] = [];
  #unfinished = 0;
  #isScheduled = false;
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
  }

  /** Heap in use, in bytes. */
  get memoryBytes(): number {
    return this.#memory.heapBytes;
  }

  get handleCount(): number {
    return this.#memory.handles;
  }

  get isIdle(): boolean {
    return this.#unfinished === 0 && this.#queue.length === 0;
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

  /** @throws SessionError INVALID_REQUEST when two texts have one name */
  async addModules(modules: ReadonlyMap<string, string>): Promise<void> {
    await this.#ask({ kind: "addModules", modules });
  }

  /** Ends the session: what runs or waits is answered with the error, and the memory goes back. */
  async end(error: SessionError): Promise<void> {
    if (this.#ended !== undefined) return this.settled();
    this.#ended = error;
    for (const job of this.#queue.splice(0)) job.abandon(error);
    for (const job of this.#running) job.turn?.stop();
    await this.settled();
    this.#engine.releaseMemory(this.#memory);
  }

  /** Resolves when nothing runs or waits any more. */
  settled(): Promise<void> {
    return this.isIdle ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  #enqueue(command: Command, options: CommandOptions): Execution {
    const limits = executionLimits(this.limits, options.limits);
    // One of them runs, the others wait.
    const waiting = Math.max(0, this.#queue.length + this.#unfinished - 1);
    if (this.#queue.length + this.#unfinished > limits.queuedExecutions) {
      throw new SessionError(
        "QUEUE_FULL",
        `the session already has ${waiting} executions waiting; wait for some of them, or raise limits.queued_executions`,
        { ids: { session_id: this.sessionId }, retryAfter: QUEUE_RETRY },
      );
    }
    const execution = new RunningExecution(command, options, limits, this.#nextExecution++, this.sessionId !== "");
    const { executionId } = execution;
    this.#executions.set(executionId, execution);
    const job: Job = {
      begin: () => execution.turn(),
      done: (result) => {
        this.#executions.delete(executionId);
        try {
          execution.account(result);
          this.#settle(execution, result);
        } catch (error) {
          // Texts of a session that broke its engine could be anything.
          execution.reject(error instanceof Error ? error : new Error(String(error)));
        }
      },
      abandon: (error) => {
        this.#executions.delete(executionId);
        if (error === undefined) execution.settle(execution.neverBegan(this.memoryBytes));
        else execution.reject(error);
      },
    };
    execution.onStop = () => {
      if (this.#dequeue(job)) job.abandon(undefined);
      else job.turn?.stop();
    };
    this.#add(job);
    return execution;
  }

  #settle(execution: RunningExecution, result: TurnResult): void {
    if (this.#ended !== undefined) return execution.reject(this.#ended);
    const outcome = execution.outcomeOf(result, this.memoryBytes);
    if (outcome !== undefined) {
      const { wallTime, cpuTime, queueTime, turns } = outcome.usage;
      this.usage.wallTime += wallTime;
      this.usage.cpuTime += cpuTime;
      this.usage.queueTime += queueTime;
      this.usage.turns += turns;
      return execution.settle(outcome);
    }
    execution.reject(
      refusalOf(result, this.sessionId) ?? new SessionError("INVALID_REQUEST", "the request was refused"),
    );
  }

  /** A turn of the kernel's own. */
  #ask(input: TurnInput): Promise<{ count: number; text: string }> {
    return new Promise((resolve, reject) => {
      this.#add({
        begin: () => ({ input, budget: KERNEL_TURN_BUDGET, consoleBytes: 0 }),
        done: (result) => {
          if (this.#ended !== undefined) return reject(this.#ended);
          if (result.kind === "undone") {
            const message = "the session has not the memory or the time left to answer this";
            return reject(new SessionError("QUOTA_EXCEEDED", message, { ids: { session_id: this.sessionId } }));
          }
          const refusal = refusalOf(result, this.sessionId);
          if (refusal !== undefined) return reject(refusal);
          resolve(result.effects.find((effect) => effect.kind === "answer") ?? { count: 0, text: "" });
        },
        abandon: (error) => reject(error),
      });
    });
  }

  #add(job: Job): void {
    if (this.#ended !== undefined) {
      job.abandon(this.#ended);
      return;
    }
    this.#queue.push(job);
    if (this.#unfinished > 0 || this.#isScheduled) return;
    // After all that came in this tick, so that it goes to the engine together.
    this.#isScheduled = true;
    this.#engine.atEndOfTick(() => {
      this.#isScheduled = false;
      this.#work();
    });
  }

  #dequeue(job: Job): boolean {
    const index = this.#queue.indexOf(job);
    if (index >= 0) this.#queue.splice(index, 1);
    return index >= 0;
  }

  /** What waits together goes to the engine together: quick turns then share a checkpoint and two messages. */
  #work(): void {
    this.lastUsedAt = Date.now();
    if (this.#queue.length === 0) {
      this.#running = [];
      for (const resolve of this.#whenIdle.splice(0)) resolve();
      return;
    }
    const jobs = this.#queue.splice(0, MAXIMUM_TURNS);
    this.#running = jobs;
    this.#unfinished = jobs.length;
    const turns = this.#engine.run(
      this.#memory,
      jobs.map((job) => ({ ...job.begin(), done: (result) => this.#finish(job, result) })),
    );
    for (const [i, job] of jobs.entries()) job.turn = turns[i] as Turn;
  }

  #finish(job: Job, result: TurnResult): void {
    job.done(result);
    if (--this.#unfinished === 0) this.#work();
  }
}

function refusalOf(result: TurnResult, sessionId: string): SessionError | undefined {
  if (result.kind === "undone") return undefined;
  const effect = result.effects.find(({ kind }) => kind === "refused") as (Effect & { kind: "refused" }) | undefined;
  if (effect === undefined) return undefined;
  const field = effect.what;
  switch (effect.reason) {
    case "handleNotFound":
      return new SessionError(
        "HANDLE_NOT_FOUND",
        "the session holds no such handle: it was released, or is of another session",
        { ids: { session_id: sessionId, handle_id: effect.what } },
      );
    case "moduleExists": {
      const message = `modules[${field}]: the session has another module of this name; give this one a name of its own`;
      return new SessionError("INVALID_REQUEST", message, { field: `modules[${field}]` });
    }
    case "invalidJson":
      return new SessionError("INVALID_REQUEST", `${field}: is not valid JSON text`, { field });
    default:
      return new SessionError("INVALID_REQUEST", "path: leads to nothing that can be inspected without running code", {
        field: "path",
      });
  }
}

/** What keeping an outcome for a repeat costs in bytes, roughly. */
function sizeOfOutcome(outcome: Outcome): number {
  const { result } = outcome;
  const text = result.kind === "value" && result.value.kind === "json" ? result.value.text.length : 0;
  const exception = result.kind === "exception" ? result.exception.stack.length + result.exception.message.length : 0;
  return 300 + text + exception + outcome.console.reduce((sum, entry) => sum + entry.text.length + 50, 0);
}
