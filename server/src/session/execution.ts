/** One execution: a command on its way through its session, from arrival to outcome. */
import type { InputValue } from "../engine/kernel-protocol.js";
import type { Limits } from "./limits.js";
import type { Outcome } from "./outcome.js";

/** What is to be run. Everything in it was checked; value texts are passed on unread. */
export type Command =
  | {
      readonly kind: "execute";
      readonly code: string;
      readonly filename: string;
      readonly bindings: ReadonlyMap<string, InputValue>;
    }
  | {
      readonly kind: "call";
      readonly handleId: string | undefined;
      readonly path: string | undefined;
      readonly construct: boolean;
      readonly thisValue: InputValue | undefined;
      readonly args: readonly InputValue[];
    };

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
