/** How clients lend functions to a session: the end of a stream by which it calls them, and what is told by it. */
import type { HostResult } from "../engine/kernel-protocol.js";
import type { SessionError } from "./errors.js";
import type { Value } from "./outcome.js";

/** The client's end of a stream. One serves all sessions of its stream, and remembers those that it was given to. */
export interface HostLink {
  /** False once the stream has ended, or the client has said its last: it answers no calls then. */
  readonly isOpen: boolean;
  /** A session may call it from now on, until `ended`, and wants to be told when the stream ends: `functions.detach`. */
  attached(functions: CalledBack): void;
  /** The session is gone, or knows the client by another stream. */
  ended(functions: CalledBack): void;
  /** A session has left memory. @param why set where it does not know any more what the client exposes to it: the client is told */
  sessionLeft(sessionId: string, why: SessionError | undefined): void;
  /** Another client has taken names from this one. @param names all that are left to it */
  namesLeft(sessionId: string, connectionId: string, names: readonly string[]): void;
  /** Asks the client to run a function; the answer goes to `functions.result`. */
  call(call: HostCall, functions: CalledBack): void;
  /** Nobody waits for a call any more. */
  cancelled(callId: string): void;
  /** Another stream of the client is asked from now on, until this one may be again. */
  passedOn(callId: string): void;
  /** The guest does not hold a function any more that was passed as a value. */
  released(hostFunctionId: string): void;
}

export interface HostCall {
  /** Stays the same however often the call is sent. */
  readonly callId: string;
  /** Empty in a session that lives for one execution. */
  readonly sessionId: string;
  /** Empty where no execution owns the call. */
  readonly executionId: string;
  readonly name: string;
  /** Of a function that was passed as a value; empty for an exposed one. */
  readonly hostFunctionId: string;
  /** As in the contract's Encoding: how the execution asked for its values. */
  readonly encoding: number;
  readonly args: readonly Value[];
  /** Those of the execution where it calls. */
  readonly locals: ReadonlyMap<string, Value>;
  /** Milliseconds that the execution has left; undefined where none owns the call. */
  readonly remainingTime: number | undefined;
}

export interface ExposeOptions {
  /** Names the client to this session, also after a reconnect. */
  readonly connectionId: string;
  /** Empty: only the client is named, so that what it passes as values finds it again. */
  readonly names: readonly string[];
  /** Takes names from the connection that has them. */
  readonly takeOver: boolean;
  /** Milliseconds that calls wait for the client when its stream has ended. */
  readonly reconnectWindow: number;
}

/** What an `expose` has changed, until it is known whether the session can define its names: one of these has to be called then. */
export interface Exposing {
  /** It can. @returns all names that the client provides now */
  keep(): string[];
  /** It cannot: each name is with whom it was, unless it was exposed again since. */
  undo(): void;
}

/** Functions that a command brings with it as values. */
export interface PassedFunctions {
  readonly ids: readonly string[];
  readonly link: HostLink;
}

/** What answers and ends of streams are told to. */
export interface CalledBack {
  /** The client answered. One for a call that is not open, or not its, is ignored. */
  result(link: HostLink, callId: string, result: HostResult): void;
  /** A client keeps a function no more that it passed. */
  forget(link: HostLink, hostFunctionId: string): void;
  /** The stream of a client has ended. */
  detach(link: HostLink): void;
}
