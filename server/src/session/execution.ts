/** One execution: a command on its way through its session, from arrival to outcome. */

export type { Command } from "../engine/kernel-protocol.js";

import type { Limits } from "./limits.js";
import type { Outcome } from "./outcome.js";

export interface CommandOptions {
  readonly limits?: Partial<Limits> | undefined;
  /** As in the contract's Encoding. */
  readonly encoding: number;
  readonly handleGroup: string;
  /** Empty, or the id by which a repeat of the request is recognised. */
  readonly requestId: string;
  /** Names the request for `requestId`; unused without one. */
  readonly digest: string;
  /** Milliseconds since the epoch by which the caller wants an answer; Infinity for none. */
  readonly deadline: number;
}

export interface Execution {
  readonly executionId: string;
  /** Rejects with a SessionError when it was refused or its session went away; what the guest does never rejects it. */
  readonly outcome: Promise<Outcome>;
  /** Ends it: removed from the queue, or stopped and undone. Nothing happens to one that has ended. */
  cancel(): void;
}
