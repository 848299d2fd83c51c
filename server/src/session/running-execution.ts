/** One execution on the server's side: from its arrival through the queue and its turns to its outcome. */
import { randomUUID } from "node:crypto";
import type { TurnResult } from "../engine/engine.js";
import type { TurnInput } from "../engine/kernel-protocol.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import type { Limits } from "./limits.js";
import {
  type ConsoleEntry,
  consoleEntryOf,
  exceptionOf,
  type Outcome,
  resultOf,
  type StopReason,
  type Warning,
} from "./outcome.js";
import { type NameOfExecution, warningsOf } from "./warnings.js";

/** The server answers this part of the time left, or at most so many milliseconds, before the caller's deadline. */
const DEADLINE_MARGIN = { part: 0.1, most: 20 };
/** Node's timers count to 2 ** 31 - 1 milliseconds; deadlines beyond are none. */
const MAXIMUM_TIMER = 2 ** 31 - 1;
/** Warnings that an execution carries; later ones are left out. */
const MAXIMUM_WARNINGS = 100;

export class RunningExecution implements Execution {
  readonly executionId: string;
  readonly outcome: Promise<Outcome>;
  /** Ends it wherever it is; set by the session that runs it. */
  onStop: () => void = () => undefined;
  readonly #command: Command;
  readonly #options: CommandOptions;
  readonly #limits: Limits;
  readonly #number: number;
  readonly #canHoldHandles: boolean;
  readonly #arrivedAt = now();
  readonly #console: ConsoleEntry[] = [];
  readonly #warnings: Warning[] = [];
  readonly #deadline: NodeJS.Timeout | undefined;
  #resolve: (outcome: Outcome) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  /** Why it is being stopped; undefined while nobody asked for it. */
  #stopCause: StopReason | undefined;
  /** What it means when the budget of its turn is over. */
  #overrun: StopReason = "TIMEOUT";
  #startedAt: number | undefined;
  #cpuTime = 0;
  #turns = 0;
  #consoleTruncated = false;

  /** @param number its number within the session, from 1 */
  constructor(command: Command, options: CommandOptions, limits: Limits, number: number, canHoldHandles: boolean) {
    this.#command = command;
    this.#options = options;
    this.#limits = limits;
    this.#number = number;
    this.#canHoldHandles = canHoldHandles;
    this.executionId = options.requestId === "" ? randomUUID() : options.requestId;
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Waiting in the queue counts too: who is still there when the caller's deadline nears is answered.
    const left = this.#answerBy - this.#arrivedAt;
    if (left < MAXIMUM_TIMER) this.#deadline = setTimeout(() => this.#stop("TIMEOUT"), Math.max(0, left));
  }

  cancel(): void {
    this.#stop("CANCELLED");
  }

  #stop(cause: StopReason): void {
    this.#stopCause ??= cause;
    this.onStop();
  }

  get #answerBy(): number {
    const { deadline } = this.#options;
    return deadline - Math.min(DEADLINE_MARGIN.most, (deadline - this.#arrivedAt) * DEADLINE_MARGIN.part);
  }

  /** Its next turn, to be run now: the input, milliseconds it may take, bytes of console it may write. */
  turn(): { input: TurnInput; budget: number; consoleBytes: number } {
    const { timeout, cpuTime, valueBytes, handles, consoleBytes } = this.#limits;
    const time = now();
    const left = Math.max(0, Math.min((this.#startedAt ?? time) + timeout, this.#answerBy) - time);
    this.#overrun = cpuTime < left ? "CPU_TIME" : "TIMEOUT";
    const handleGroup = this.#canHoldHandles ? this.#options.handleGroup : undefined;
    const execution = { number: this.#number, encoding: this.#options.encoding, handleGroup, valueBytes, handles };
    return {
      input: { kind: "run", command: this.#command, execution },
      budget: Math.min(cpuTime, left),
      consoleBytes,
    };
  }

  /** Takes what a turn of it brought. */
  account(result: TurnResult, nameOf: NameOfExecution): void {
    if (result.kind === "undone" && !result.began) return;
    this.#startedAt ??= result.startedAt;
    this.#cpuTime += result.cpuTime;
    this.#turns++;
    this.#consoleTruncated ||= result.consoleTruncated;
    for (const text of result.console) {
      this.#console.push(consoleEntryOf(text, result.kind === "undone"));
    }
    if (result.consoleTruncated) this.#cutConsole();
    if (result.kind === "undone") return;
    this.#warnings.push(...warningsOf(result.effects, this.#number, nameOf));
    this.#warnings.splice(MAXIMUM_WARNINGS);
  }

  /** The entry that passed the limit is cut to fit, with a mark. */
  #cutConsole(): void {
    const last = this.#console.pop();
    if (last === undefined) return;
    const used = this.#console.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
    const room = Math.max(0, this.#limits.consoleBytes - used);
    const text = Buffer.from(last.text)
      .subarray(0, room)
      .toString()
      .replace(/\ufffd$/, "");
    this.#console.push({ ...last, text: `${text}…` });
  }

  /** The outcome that a turn's result gives; undefined where the kernel refused the request. */
  outcomeOf(result: TurnResult, memoryBytes: number): Outcome | undefined {
    if (result.kind === "undone") {
      if (!result.began) return this.neverBegan(memoryBytes);
      const reason = result.reason === "budget" ? this.#overrun : REASON_OF_UNDO[result.reason];
      return this.#ended(stopped(this.#stopCause ?? reason, result.message), memoryBytes, true);
    }
    for (const effect of result.effects) {
      if (!("execution" in effect) || effect.execution !== this.#number) continue;
      if (effect.kind === "value") return this.#ended({ kind: "value", value: resultOf(effect) }, memoryBytes, false);
      if (effect.kind === "exception") {
        return this.#ended({ kind: "exception", exception: exceptionOf(effect) }, memoryBytes, false);
      }
    }
    return undefined;
  }

  /** The outcome of one that was stopped before it began. */
  neverBegan(memoryBytes: number): Outcome {
    return this.#ended(stopped(this.#stopCause ?? "CANCELLED", "it had not begun"), memoryBytes, false);
  }

  #ended(result: Outcome["result"], memoryBytes: number, undone: boolean): Outcome {
    const time = now();
    const startedAt = this.#startedAt ?? time;
    return {
      executionId: this.executionId,
      result,
      console: this.#console,
      consoleTruncated: this.#consoleTruncated,
      warnings: this.#warnings,
      usage: {
        wallTime: Math.max(0, time - startedAt),
        cpuTime: this.#cpuTime,
        queueTime: Math.max(0, startedAt - this.#arrivedAt),
        memoryBytes,
        turns: this.#turns,
      },
      undone,
    };
  }

  settle(outcome: Outcome): void {
    clearTimeout(this.#deadline);
    this.#resolve(outcome);
  }

  reject(error: Error): void {
    clearTimeout(this.#deadline);
    this.#reject(error);
  }
}

/** Milliseconds since the epoch, with their fractions. */
function now(): number {
  return performance.timeOrigin + performance.now();
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

function stopped(reason: StopReason, detail: string): Outcome["result"] {
  const message =
    reason === "ENGINE_TRAP" && detail !== "" ? `${STOP_MESSAGE[reason]}: ${detail}` : STOP_MESSAGE[reason];
  return { kind: "stopped", reason, message };
}
