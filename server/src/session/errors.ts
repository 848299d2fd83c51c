/** What can be wrong with a request, as the domain says it; rpc/status.ts turns it into a gRPC status. */

/** A failure of the store passes through here as it is. */
export { StoreError } from "../store/store.js";

export type ErrorReason =
  | "SESSION_NOT_FOUND"
  | "SESSION_DELETED"
  | "SESSION_EXPIRED"
  | "SESSION_LOST"
  | "SESSION_ALREADY_EXISTS"
  | "HANDLE_NOT_FOUND"
  | "SNAPSHOT_NOT_FOUND"
  | "SNAPSHOT_INVALID"
  | "SNAPSHOT_INCOMPATIBLE"
  | "REQUEST_ID_REUSED"
  | "OUTCOME_EXPIRED"
  | "QUEUE_FULL"
  | "HOST_FUNCTION_TAKEN"
  | "QUOTA_EXCEEDED"
  /** What the server was started with has no place for it. */
  | "NO_STORE"
  | "STORE_FULL"
  /** What a durable session did is not known to be kept. */
  | "STORE_FAILED"
  /** The client does not read what it is told; what is kept for it is bounded. */
  | "READER_TOO_SLOW"
  | "DRAINING"
  /** The caller's deadline was over before its request was looked at. */
  | "DEADLINE_PASSED"
  | "INVALID_REQUEST"
  /** The running call's own session was deleted under it. */
  | "SESSION_DELETED_MEANWHILE";

export interface ErrorDetails {
  /** The ids involved, by field name. */
  readonly ids?: Readonly<Record<string, string>>;
  /** Path of the request field that is wrong. */
  readonly field?: string;
  /** Milliseconds after which trying again makes sense. */
  readonly retryAfter?: number;
}

export class SessionError extends Error {
  override readonly name = "SessionError";
  readonly reason: ErrorReason;
  readonly details: ErrorDetails;

  /** @param message says what is wrong and what to do about it */
  constructor(reason: ErrorReason, message: string, details: ErrorDetails = {}) {
    super(message);
    this.reason = reason;
    this.details = details;
  }
}

/** The session was deleted meanwhile. */
export function isDeletion(error: unknown): boolean {
  return error instanceof SessionError && error.reason === "SESSION_DELETED_MEANWHILE";
}

export function invalid(field: string, message: string): SessionError {
  return new SessionError("INVALID_REQUEST", `${field}: ${message}`, { field });
}
