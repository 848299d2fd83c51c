import type { Command, ConsoleEntry, Execution, Value } from "@livescope/proto";
import { checkMilliseconds } from "../checks.js";
import { StatusError } from "../errors.js";

/** What is to be run: source text, a call or a template. */
export type AnyCommand = NonNullable<Command["command"]>;

/** Takes what a command tells before its end. What it has no use for it leaves out. */
export interface CommandListener {
  /** Left out: the entries come with the execution. */
  readonly console?: ((entry: ConsoleEntry) => void) | undefined;
  /**
   * Takes emitted values: FIRST_CREDIT of them, and then as many as `allow` said. Left out: they are dropped, and a generator is
   * a value like any other.
   */
  readonly emitted?: ((value: Value) => void) | undefined;
}

/** What is sent, and who takes what it tells before its end. */
export interface Sending {
  readonly command: AnyCommand;
  /** Left out: nobody. */
  readonly listener?: CommandListener | undefined;
}

/** How a command is run. */
export interface CommandOptions {
  /** How long an answer is waited for, in milliseconds; the execution's own timeout is in the command. */
  readonly timeout?: number | undefined;
  /** Ends the execution when aborted. */
  readonly signal?: AbortSignal | undefined;
  /** It carries functions of the client, which only a Connect stream can. */
  readonly hasFunctions?: boolean | undefined;
}

/** A command on its way. */
export interface StartedCommand {
  /**
   * How it ended. It rejects with a StatusError if the server refuses it, cannot be reached or does not answer in time, and
   * with the reason of the signal when that is aborted.
   */
  readonly finished: Promise<Execution>;
  /** False as long as it cannot have reached the server. */
  readonly wasSent: boolean;
  /** Takes so many more emitted values. */
  allow(credit: number): void;
  /** Ends the execution; `finished` tells how. */
  cancel(): void;
  /**
   * Nobody waits for it any more: `finished` rejects with the error, unless it has settled. The execution is to end, but for one
   * with a request id, whose outcome can be asked for again.
   * @param endsAnyway the server ends it without being told so
   */
  giveUp(error: unknown, endsAnyway?: boolean): void;
}

/** One of the two ways in which commands travel. */
export interface CommandTransport {
  /**
   * Sends a command; what is sent in one tick may travel together. As a function it keeps its place in the order, and is asked once what
   * to send: when all that the running code does at once is done, or later.
   * @throws {DisposedError} if the client is closed
   * @throws {RangeError} if the timeout is no positive number
   * @throws the signal's reason if it is aborted already
   */
  start(sending: Sending | (() => Sending), options: CommandOptions): StartedCommand;
  /** Takes no more commands. Those under way are given up already. */
  close(): void;
}

/** Emitted values that come before `allow` says that more may. */
export const FIRST_CREDIT = 16;

/**
 * @throws {TypeError} if the timeout is no number
 * @throws {RangeError} if it is not above zero
 */
export function checkTimeout(timeout: number | undefined, name = "timeout"): void {
  if (timeout !== undefined) checkMilliseconds(name, timeout);
}

/** What a command rejects with whose answer was waited for so many milliseconds. */
export function noAnswerWithin(timeout: number | undefined): StatusError {
  return new StatusError(`no answer came within ${timeout} ms`, { code: "DEADLINE_EXCEEDED" });
}
