import {
  type ConsoleEntry as WireConsoleEntry,
  ConsoleLevel as WireConsoleLevel,
  type Frame as WireFrame,
  Usage as WireUsage,
  type Warning as WireWarning,
} from "@livescope/proto";
import { readDuration } from "./limits.js";

/** What the server tells about an execution, however it ended. */
export interface ExecutionDetails {
  /** The id by which the server knows the execution: the request id. */
  readonly executionId: string;
  /** What the guest wrote to its console, in order, at most `consoleBytes` of it. */
  readonly console: readonly ConsoleEntry[];
  /** True if console entries or parts of them were left out because of `consoleBytes`. */
  readonly consoleTruncated: boolean;
  /** What is no error but is seldom meant. */
  readonly warnings: readonly Warning[];
  /** What the execution cost. */
  readonly usage: Usage;
  /** True if its last turn was undone; earlier ones stand, except of an atomic execution. */
  readonly undone: boolean;
}

/** An execution that gave a value. */
export interface Execution<T> extends ExecutionDetails {
  /** The result. A {@link Handle} is one reference, which whoever asked for the execution releases. */
  readonly value: T;
}

/** One call of a console method by guest code. */
export interface ConsoleEntry {
  /** The method; those without a level of their own, such as `console.table`, are "log". */
  readonly level: ConsoleLevel;
  /** The whole entry as a console would print it, without a newline at its end. */
  readonly text: string;
  /** When the method was called. */
  readonly time: Date | undefined;
  /** Where it was called, if that is known. */
  readonly frame: Frame | undefined;
  /** True if the turn that wrote the entry was undone. */
  readonly undone: boolean;
}

/** A console method. */
export type ConsoleLevel = "debug" | "log" | "info" | "warn" | "error";

/** One place on a guest's stack. */
export interface Frame {
  /** Empty for code at top level and for functions without a name. */
  readonly functionName: string;
  /** The file name that the request gave, or one made by the server. Empty for built-in functions. */
  readonly filename: string;
  /** Counts from 1; 0 if it is not known. */
  readonly line: number;
  /** Counts UTF-16 code units from 1; 0 if it is not known. */
  readonly column: number;
}

/** Something in the guest's code that is allowed but is seldom meant. */
export interface Warning {
  /** What it is about, for people. */
  readonly message: string;
  /** Where it is, if it has one place. */
  readonly frame: Frame | undefined;
}

/** What an execution cost, or for a session what all its executions cost together. */
export interface Usage {
  /** From the first turn to the end, in milliseconds. */
  readonly wallTime: number;
  /** How long its turns held a worker, in milliseconds. */
  readonly cpuTime: number;
  /** From the arrival of the request to the first turn, in milliseconds. */
  readonly queueTime: number;
  /** How long at least one of its host calls was under way, in milliseconds; part of `wallTime`. */
  readonly hostTime: number;
  /** The most memory the session held after any of the turns, in bytes. */
  readonly memoryBytes: number;
  /** How many turns were run. */
  readonly turns: number;
  /** How many calls of host functions were made. */
  readonly hostCalls: number;
}

/**
 * The promise of an execution's value, as every execute and call gives it. Awaiting it gives the value alone; `execution()`
 * gives the value with the console, the usage and the rest:
 *
 *     const total = await session.execute("inc(5)");
 *     const { value, console, usage } = await session.execute("inc(5)").execution();
 *
 * Both ways tell of one and the same execution, and fail with the same error.
 */
export interface ExecutionPromise<T> extends Promise<T> {
  /** Gives the whole execution. It rejects as the promise itself does. */
  execution(): Promise<Execution<T>>;
}

/**
 * Makes an {@link ExecutionPromise} of the promise of a value. It stays the same promise: of another that follows it the engine
 * would not know, in every version, who awaits it.
 *
 * @param whole gives the execution that had this value; it is called once
 */
export function executionPromise<T>(value: Promise<T>, whole: (value: T) => Execution<T>): ExecutionPromise<T> {
  const promise = value as { -readonly [Key in keyof ExecutionPromise<T>]: ExecutionPromise<T>[Key] };
  let execution: Promise<Execution<T>> | undefined;
  promise.execution = () => {
    if (execution === undefined) {
      execution = value.then(whole);
      // Who takes the failure from the value need not take it from here as well, nor the other way round.
      execution.catch(() => undefined);
    }
    return execution;
  };
  return promise;
}

/** What cannot even be asked rejects, as what fails later does. */
export function attempt<T>(ask: () => ExecutionPromise<T>): ExecutionPromise<T> {
  try {
    return ask();
  } catch (error) {
    return executionPromise<T>(Promise.reject(error), () => {
      throw error;
    });
  }
}

export function readConsoleEntry(entry: WireConsoleEntry): ConsoleEntry {
  return {
    level: consoleLevels[entry.level] ?? "log",
    text: entry.text,
    time: entry.time,
    frame: entry.frame && readFrame(entry.frame),
    undone: entry.undone,
  };
}

export function readFrame({ functionName, filename, line, column }: WireFrame): Frame {
  return { functionName, filename, line, column };
}

export function readWarning(warning: WireWarning): Warning {
  return { message: warning.message, frame: warning.frame && readFrame(warning.frame) };
}

export function readUsage(usage: WireUsage = WireUsage.create()): Usage {
  return {
    wallTime: readDuration(usage.wallTime),
    cpuTime: readDuration(usage.cpuTime),
    queueTime: readDuration(usage.queueTime),
    hostTime: readDuration(usage.hostTime),
    memoryBytes: Number(usage.memoryBytes),
    turns: Number(usage.turns),
    hostCalls: Number(usage.hostCalls),
  };
}

const consoleLevels: Partial<Record<WireConsoleLevel, ConsoleLevel>> = {
  [WireConsoleLevel.DEBUG]: "debug",
  [WireConsoleLevel.LOG]: "log",
  [WireConsoleLevel.INFO]: "info",
  [WireConsoleLevel.WARN]: "warn",
  [WireConsoleLevel.ERROR]: "error",
};
