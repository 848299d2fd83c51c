import { type ServiceError, status } from "@grpc/grpc-js";
import { type Any, BadRequest, ErrorInfo, RetryInfo, Status, ErrorReason as WireErrorReason } from "@livescope/proto";
import {
  AlreadyExistsError,
  ConnectionLostError,
  type ErrorReason,
  IncompatibleSnapshotError,
  InvalidRequestError,
  InvalidSnapshotError,
  LivescopeError,
  NotFoundError,
  ResourceExhaustedError,
  SessionLostError,
  type StatusCode,
  type StatusDetails,
  StatusError,
  UnavailableError,
} from "../errors.js";
import { readDuration } from "../limits.js";

const DOMAIN = "sandbox.v1";
const TYPE_PREFIX = "type.googleapis.com/google.rpc.";

const codeNames = new Map<number, StatusCode>(
  (Object.keys(status) as StatusCode[]).filter((name) => typeof status[name] === "number").map((n) => [status[n], n]),
);

/**
 * How gRPC tells of a call that the other side has reset without an answer, by itself or with its connection. Of one that was cancelled here
 * it says something else.
 */
const RESET = /^(?:Call cancelled$|Received RST_STREAM with code )/;

/** The one place where what gRPC reports becomes an error of this package. */
export function errorFrom(cause: unknown): LivescopeError {
  if (cause instanceof LivescopeError) return cause;
  if (!isServiceError(cause)) {
    return new LivescopeError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
  if (RESET.test(cause.details)) {
    const message = `the call was ended on the way, or by a server that stops (${cause.details})`;
    return new ConnectionLostError(message, { code: "UNAVAILABLE" });
  }
  const [encoded] = cause.metadata?.get("grpc-status-details-bin") ?? [];
  const details = readDetails(cause.code, () => (Buffer.isBuffer(encoded) ? Status.decode(encoded).details : []));
  // No cause: all that gRPC's error says is in this one, and its own stack leads nowhere.
  return new (errorClass(details))(plain(cause.details || cause.message), details);
}

/** Without what gRPC puts around the reason why it has no connection. */
function plain(message: string): string {
  return (
    message
      .replace(/^No connection established\. Last error: (?:Error: )?(?=.)/s, "")
      .replace(/\.? Resolution note: *$/, "")
      // Of a connection through a proxy gRPC keeps no reason.
      .replace(/^(?:undefined|null)$/, "No connection established")
  );
}

/** A status that came as a message. */
export function errorFromStatus({ code, message, details }: Status): StatusError {
  const read = readDetails(code, () => details);
  return new (errorClass(read))(message, read);
}

function errorClass(details: StatusDetails): typeof StatusError {
  switch (details.reason) {
    case "SESSION_LOST":
      return SessionLostError;
    case "SNAPSHOT_INVALID":
      return InvalidSnapshotError;
    case "SNAPSHOT_INCOMPATIBLE":
      return IncompatibleSnapshotError;
  }
  switch (details.code) {
    case "NOT_FOUND":
      return NotFoundError;
    case "ALREADY_EXISTS":
      return AlreadyExistsError;
    case "INVALID_ARGUMENT":
      return InvalidRequestError;
    case "RESOURCE_EXHAUSTED":
      return ResourceExhaustedError;
    case "UNAVAILABLE":
      return UnavailableError;
    default:
      return StatusError;
  }
}

function readDetails(code: number, read: () => readonly Any[]): StatusDetails {
  const details = { code: codeNames.get(code) ?? "UNKNOWN" };
  try {
    return Object.assign(details, ...read().map(readDetail));
  } catch {
    // A proxy that mangles the details leaves the code and the message, which are worth more than a parser's complaint.
    return details;
  }
}

function readDetail({ typeUrl, value }: Any): Partial<StatusDetails> {
  switch (typeUrl) {
    case `${TYPE_PREFIX}ErrorInfo`: {
      const { domain, reason, metadata } = ErrorInfo.decode(value);
      if (domain !== DOMAIN) return {};
      return { reason: isErrorReason(reason) ? reason : undefined, metadata: Object.fromEntries(metadata) };
    }
    case `${TYPE_PREFIX}BadRequest`:
      return {
        fieldViolations: BadRequest.decode(value).fieldViolations.map(({ field, description }) => ({
          field,
          description,
        })),
      };
    case `${TYPE_PREFIX}RetryInfo`:
      return { retryDelay: readDuration(RetryInfo.decode(value).retryDelay) };
    default:
      return {};
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}

function isErrorReason(reason: string): reason is ErrorReason {
  return Object.hasOwn(WireErrorReason, reason);
}
