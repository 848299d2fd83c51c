/** One execution: a command on its way through its session, from arrival to outcome. */

export type { Command } from "../engine/kernel-protocol.js";

import type { InputValue } from "../engine/kernel-protocol.js";
import type { PassedFunctions } from "./lending.js";
import type { Limits } from "./limits.js";
import type { ConsoleEntry, Outcome, Value } from "./outcome.js";

/** Who takes what an execution brings out before it ends. */
export interface ExecutionListener {
  /** Guest code wrote to its console; the turn that did may still be undone. Absent: entries come with the outcome. */
  readonly console?: ((entry: ConsoleEntry) => void) | undefined;
  /**
   * A value left: it was given to `emit`, or a generator yielded it. Absent: what is emitted is dropped, and a generator is a
   * value like any other.
   */
  readonly emitted?: ((value: Value) => void) | undefined;
}

export interface CommandOptions {
  readonly limits?: Partial<Limits> | undefined;
  /** As in the contract's Encoding. */
  readonly encoding: number;
  /** What guest code finds in `locals`; absent for nothing. */
  readonly locals?: ReadonlyMap<string, InputValue>;
  readonly handleGroup: string;
  /** Empty, or the id by which a repeat of the request is recognised. */
  readonly requestId: string;
  /** Names the request for `requestId`; unused without one. */
  readonly digest: string;
  /** All its turns stand together or are undone together; it holds the session alone. */
  readonly atomic: boolean;
  /** Id of the execution on whose behalf it runs; empty for none. */
  readonly parentExecutionId: string;
  /** By which the caller wants an answer, as `deadlineAt` gives it; Infinity for none. */
  readonly deadline: number;
  readonly listener?: ExecutionListener | undefined;
  /** Functions of the client that the command carries as values. */
  readonly passed?: PassedFunctions | undefined;
}

export interface Execution {
  readonly executionId: string;
  /** Rejects with a SessionError when it was refused or its session went away; what the guest does never rejects it. */
  readonly outcome: Promise<Outcome>;
  /** Ends it: removed from the queue, or stopped and undone. Nothing happens to one that has ended. */
  cancel(): void;
  /** The caller takes so many more emitted values. */
  allow(credit: number): void;
}
