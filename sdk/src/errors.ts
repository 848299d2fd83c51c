import type { status } from "@grpc/grpc-js";
import type { ExceptionPhase, ErrorReason as WireErrorReason, StopReason as WireStopReason } from "@livescope/proto";
import type { ConsoleEntry, ExecutionDetails, Frame, Usage, Warning } from "./execution.js";

/**
 * Whatever goes wrong with the service or with the guest's code is a LivescopeError: a {@link StatusError} is about the
 * service, a {@link GuestError} or {@link StoppedError} about the guest's code, a {@link DisposedError} about the use of what is closed
 * or disposed. Not among them: what is wrong with an argument is a TypeError or RangeError, and an aborted call rejects with the
 * reason of its signal.
 */
export class LivescopeError extends Error {
  override get name(): string {
    return "LivescopeError";
  }
}

/**
 * What was used is closed, disposed or released, or was so while the call was under way; whether that ran to its end is not known then.
 * The `cause` is an error whose stack leads to where that was done; for a call of an atomic sequence that is over, what ended it.
 */
export class DisposedError extends LivescopeError {
  override get name(): string {
    return "DisposedError";
  }
}

/** The name of a gRPC status code, such as "NOT_FOUND". */
export type StatusCode = keyof typeof status;

/** Why an RPC failed, such as "SESSION_NOT_FOUND": a name of the enum `ErrorReason`. */
export type ErrorReason = Exclude<keyof typeof WireErrorReason, "UNSPECIFIED" | "UNRECOGNIZED">;

/** A field of a request that the server refused. */
export interface FieldViolation {
  /** The path of the field in the request, such as "limits.timeout". */
  readonly field: string;
  /** What is wrong with it. */
  readonly description: string;
}

/** What a {@link StatusError} is made of. */
export interface StatusDetails {
  readonly code: StatusCode;
  readonly reason?: ErrorReason | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly retryDelay?: number | undefined;
  readonly fieldViolations?: readonly FieldViolation[] | undefined;
}

/** The service answered a call with an error, or could not be reached. Codes without a class of their own come as this one. */
export class StatusError extends LivescopeError {
  /** The gRPC status code. */
  readonly code: StatusCode;
  /** Why; undefined if the server did not say, or gave a reason that this version does not know. */
  readonly reason: ErrorReason | undefined;
  /** The ids involved, by the names that the protocol has for them: `session_id`, `handle_id`, … */
  readonly metadata: Readonly<Record<string, string>>;
  /** How long to wait before trying again, in milliseconds; undefined if the server did not say. */
  readonly retryDelay: number | undefined;
  /** What is wrong with the request; empty unless the code is INVALID_ARGUMENT. */
  readonly fieldViolations: readonly FieldViolation[];

  constructor(message: string, details: StatusDetails, options?: ErrorOptions) {
    super(message, options);
    this.code = details.code;
    this.reason = details.reason;
    this.metadata = details.metadata ?? {};
    this.retryDelay = details.retryDelay;
    this.fieldViolations = details.fieldViolations ?? [];
  }

  override get name(): string {
    return "StatusError";
  }
}

/** There is no such session, handle or snapshot (any more); `reason` and `metadata` say which. Nothing ran. */
export class NotFoundError extends StatusError {
  override get name(): string {
    return "NotFoundError";
  }
}

/** A session of the id that was asked for exists already; it is as it was. */
export class AlreadyExistsError extends StatusError {
  override get name(): string {
    return "AlreadyExistsError";
  }
}

/** The request cannot be right, whatever the state of the server; `fieldViolations` says what to change. Nothing ran. */
export class InvalidRequestError extends StatusError {
  override get name(): string {
    return "InvalidRequestError";
  }
}

/**
 * What was given as a snapshot is none, is incomplete or was changed, or comes from a server with another key: `reason` is
 * "SNAPSHOT_INVALID". Nothing was stored.
 */
export class InvalidSnapshotError extends InvalidRequestError {
  override get name(): string {
    return "InvalidSnapshotError";
  }
}

/** The snapshot, or the durable session, was made by another build of the engine, or in another format: use it with the server that made it. */
export class IncompatibleSnapshotError extends StatusError {
  override get name(): string {
    return "IncompatibleSnapshotError";
  }
}

/**
 * The session's queue is full or a quota is used up, and `retryDelay` says when to try again; or a request or its answer is
 * larger than the 4 MiB that a message may have, and `retryDelay` is undefined: keep the value in its session, by a handle.
 */
export class ResourceExhaustedError extends StatusError {
  override get name(): string {
    return "ResourceExhaustedError";
  }
}

/** The server cannot be reached or is shutting down, and the retries that were safe have failed as well. */
export class UnavailableError extends StatusError {
  override get name(): string {
    return "UnavailableError";
  }
}

/**
 * The connection broke while an execution was under way, and whether it ran to its end is not known: the server ends what it
 * still finds running, and what had run stands. A call with a `requestId` is sent again instead, which gives its first outcome. So it is
 * where the server ended a request without an answer, as one does that stops.
 */
export class ConnectionLostError extends UnavailableError {
  override get name(): string {
    return "ConnectionLostError";
  }
}

/** The session is known to be gone together with the process that held it. It does not come back: make another. */
export class SessionLostError extends StatusError {
  override get name(): string {
    return "SessionLostError";
  }
}

/**
 * For the end of a block, whose own error counts for more: that the server could not be told to let go of something, because it is gone
 * or the client closed.
 */
export function throwUnlessOutOfReach(error: unknown): void {
  const isStatus = error instanceof StatusError && (error.code === "UNAVAILABLE" || error.code === "DEADLINE_EXCEEDED");
  if (!isStatus && !(error instanceof DisposedError)) throw error;
}

/** An execution gave no value: {@link GuestError} or {@link StoppedError}. The session goes on. */
export abstract class ExecutionError extends LivescopeError implements ExecutionDetails {
  readonly executionId: string;
  readonly console: readonly ConsoleEntry[];
  readonly consoleTruncated: boolean;
  readonly warnings: readonly Warning[];
  readonly usage: Usage;
  readonly undone: boolean;

  constructor(message: string, details: ExecutionDetails, options?: ErrorOptions) {
    super(message, options);
    this.executionId = details.executionId;
    this.console = details.console;
    this.consoleTruncated = details.consoleTruncated;
    this.warnings = details.warnings;
    this.usage = details.usage;
    this.undone = details.undone;
  }
}

/**
 * What was being done when the guest's code failed: it was parsed (PARSE), it ran (EVALUATE), the promise it returned was
 * rejected (REJECTION) or can never settle (DEADLOCK), or its result was encoded (ENCODE).
 */
export type GuestErrorPhase = Exclude<keyof typeof ExceptionPhase, "UNSPECIFIED" | "UNRECOGNIZED">;

/** What a {@link GuestError} says beyond the execution it ended. */
export interface GuestErrorDetails {
  readonly guestName: string;
  readonly guestStack: string;
  readonly frames: readonly Frame[];
  readonly phase?: GuestErrorPhase | undefined;
  readonly thrown?: unknown;
  readonly cause?: GuestError | undefined;
  readonly errors?: readonly GuestError[];
}

/**
 * The guest's code threw and nobody caught it, or it did not parse. `message` is the guest's own; `stack` shows the guest's
 * frames first, then those of the caller.
 */
export class GuestError extends ExecutionError {
  /** The `name` of the guest's error, such as "TypeError". Empty if what was thrown is no Error. */
  readonly guestName: string;
  /** The stack as the guest's engine wrote it. Empty if the error has none. */
  readonly guestStack: string;
  /** The stack as data, innermost first; of code that does not parse the position. Empty if the error has none. */
  readonly frames: readonly Frame[];
  /** What was being done. Undefined for a cause. */
  readonly phase: GuestErrorPhase | undefined;
  /**
   * What was thrown if it is no Error; `message` is a preview of it. A {@link Handle} is one reference, which whoever catches
   * the error releases. Undefined also where this version cannot read the value.
   */
  readonly thrown: unknown;
  /** The `cause` of the guest's error, if it has one. */
  declare readonly cause: GuestError | undefined;
  /** The `errors` of the guest's AggregateError, the first of many; empty for all other errors. */
  readonly errors: readonly GuestError[];

  constructor(message: string, execution: ExecutionDetails, details: GuestErrorDetails) {
    super(message, execution, details.cause === undefined ? undefined : { cause: details.cause });
    this.guestName = details.guestName;
    this.guestStack = details.guestStack;
    this.frames = details.frames;
    this.phase = details.phase;
    this.thrown = details.thrown;
    this.errors = details.errors ?? [];
  }

  override get name(): string {
    return "GuestError";
  }

  /** As the guest's own error, with its name: "RangeError: nope". */
  override toString(): string {
    return headOf(this);
  }
}

/** What ended an execution from outside. "UNSPECIFIED" stands for a reason that this version does not know. */
export type StopReason = Exclude<keyof typeof WireStopReason, "UNRECOGNIZED">;

/**
 * The execution was ended from outside: by a limit, a cancellation or a failure of the engine. `message` says which limit it
 * was and what to do about it. None of its code runs again, finally blocks included.
 */
export class StoppedError extends ExecutionError {
  /** What ended the execution. */
  readonly reason: StopReason;

  constructor(message: string, execution: ExecutionDetails, reason: StopReason) {
    super(message, execution);
    this.reason = reason;
  }

  override get name(): string {
    return "StoppedError";
  }
}

/** Of so many calls in so many milliseconds it is noted where they are made: that takes half as long as all else that is done for one. */
const NOTED = { calls: 50, window: 100 };
let window = 0;
let noted = 0;

/** An error whose stack leads to the running code; undefined where there were many in a short time. */
export function calledHere(): Error | undefined {
  const now = Math.floor(performance.now() / NOTED.window);
  if (now !== window) {
    window = now;
    noted = 0;
  }
  return noted++ < NOTED.calls ? new Error("called here") : undefined;
}

/**
 * Gives an error the guest's frames, if it has any, and then those of `caller`: an error is made when the answer has come, and
 * says nothing by itself about who asked.
 */
export function traceToCaller(error: LivescopeError, caller: Error): void {
  const guest = error instanceof GuestError ? error : undefined;
  const lines = [headOf(error), ...(guest?.frames ?? []).map(frameLine)];
  const callerStack = caller.stack ?? "";
  const callerFrames = callerStack.indexOf("\n    at ");
  if (callerFrames >= 0) lines.push(callerStack.slice(callerFrames + 1));
  error.stack = lines.join("\n");
}

/** What the text of an error and its stack begin with. */
function headOf(error: LivescopeError): string {
  const name = (error instanceof GuestError && error.guestName) || error.name;
  return error.message === "" ? name : `${name}: ${error.message}`;
}

function frameLine({ functionName, filename, line, column }: Frame): string {
  const position = [filename || "native", ...(line ? [line] : []), ...(line && column ? [column] : [])].join(":");
  return functionName ? `    at ${functionName} (${position})` : `    at ${position}`;
}
