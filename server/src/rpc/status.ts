/** The one place where errors become gRPC statuses, with the details that programs read. */
import { toUSVString } from "node:util";
import { status as Code, Metadata, type ServiceError } from "@grpc/grpc-js";
import { type Any, BadRequest, ErrorInfo, encoded, QuotaFailure, RetryInfo, Status } from "@livescope/proto";
import type { Logger } from "pino";
import { type ErrorReason, SessionError, StoreError } from "../session/errors.js";
import { durationOf } from "./time.js";

const DOMAIN = "sandbox.v1";
const MORE = "…";
const DETAILS_KEY = "grpc-status-details-bin";

/** The store's own message names paths, which are for the log. */
const STORE_FULL =
  "the server has no room to keep this; nothing was changed: try again when its operator has freed some";
const DAMAGED = "what the server has stored of this is damaged; delete it, or ask its operator, whose log says more";
/** Milliseconds. */
const STORE_FULL_RETRY = 10_000;

const CODES: Readonly<Record<ErrorReason, Code>> = {
  SESSION_NOT_FOUND: Code.NOT_FOUND,
  SESSION_DELETED: Code.NOT_FOUND,
  SESSION_EXPIRED: Code.NOT_FOUND,
  SESSION_LOST: Code.DATA_LOSS,
  SESSION_ALREADY_EXISTS: Code.ALREADY_EXISTS,
  HANDLE_NOT_FOUND: Code.NOT_FOUND,
  SNAPSHOT_NOT_FOUND: Code.NOT_FOUND,
  SNAPSHOT_INVALID: Code.INVALID_ARGUMENT,
  SNAPSHOT_INCOMPATIBLE: Code.FAILED_PRECONDITION,
  REQUEST_ID_REUSED: Code.INVALID_ARGUMENT,
  OUTCOME_EXPIRED: Code.FAILED_PRECONDITION,
  QUEUE_FULL: Code.RESOURCE_EXHAUSTED,
  QUOTA_EXCEEDED: Code.RESOURCE_EXHAUSTED,
  NO_STORE: Code.FAILED_PRECONDITION,
  STORE_FULL: Code.RESOURCE_EXHAUSTED,
  STORE_FAILED: Code.UNAVAILABLE,
  HOST_FUNCTION_TAKEN: Code.ALREADY_EXISTS,
  READER_TOO_SLOW: Code.RESOURCE_EXHAUSTED,
  DRAINING: Code.UNAVAILABLE,
  DEADLINE_PASSED: Code.DEADLINE_EXCEEDED,
  INVALID_REQUEST: Code.INVALID_ARGUMENT,
  SESSION_DELETED_MEANWHILE: Code.ABORTED,
};

/**
 * Bytes of UTF-8 that a status has of each text. A message stands in it three times, as percent-encoding and in base64, and clients
 * refuse headers of more than 8 KiB, or of 16: some of them stop reading the connection.
 */
const MOST = { message: 1_024, field: 256, id: 256 };

const WITHOUT_REASON: ReadonlySet<ErrorReason> = new Set(["DEADLINE_PASSED", "STORE_FAILED", "NO_STORE"]);

/** The reason as the contract names it; empty for statuses that need none. */
function publicReason(reason: ErrorReason): string {
  if (reason === "SESSION_DELETED_MEANWHILE") return "SESSION_DELETED";
  if (reason === "READER_TOO_SLOW" || reason === "STORE_FULL") return "QUOTA_EXCEEDED";
  return WITHOUT_REASON.has(reason) ? "" : reason;
}

/** What a handler's failure looks like on the wire. */
export function toServiceError(error: unknown, logger: Logger): ServiceError {
  const status = toStatus(error, logger);
  const metadata = new Metadata();
  if (status.details.length > 0) metadata.set(DETAILS_KEY, encoded(Status, status));
  return Object.assign(new Error(status.message), { code: status.code, details: status.message, metadata });
}

/** A failure as data, where it is no status of an RPC. What is no SessionError is a fault of ours: logged, not told. */
export function toStatus(error: unknown, logger: Logger): Status {
  if (error instanceof StoreError && error.kind === "full") {
    logger.error({ err: error }, "the store is full");
    return toStatus(new SessionError("STORE_FULL", STORE_FULL, { retryAfter: STORE_FULL_RETRY }), logger);
  }
  if (error instanceof StoreError && error.kind === "damaged") {
    logger.error({ err: error }, "something in the store is damaged");
    return { code: Code.DATA_LOSS, message: DAMAGED, details: [] };
  }
  if (!(error instanceof SessionError)) {
    logger.error({ err: error }, "a request failed inside the server");
    const message = "the server failed to handle this request; its log says more";
    return { code: Code.INTERNAL, message, details: [] };
  }
  const code = CODES[error.reason];
  const details: Any[] = [];
  const reason = publicReason(error.reason);
  if (reason !== "") {
    const ids = Object.entries(error.details.ids ?? {});
    const metadata = new Map(ids.map(([name, id]) => [name, shortened(id, MOST.id)]));
    details.push(pack("ErrorInfo", ErrorInfo.encode({ reason, domain: DOMAIN, metadata }).finish()));
  }
  const message = shortened(error.message, MOST.message);
  const { field, retryAfter } = error.details;
  if (field !== undefined) {
    const violation = {
      field: shortened(field, MOST.field),
      description: message,
      reason: "",
      localizedMessage: undefined,
    };
    details.push(pack("BadRequest", BadRequest.encode({ fieldViolations: [violation] }).finish()));
  }
  if (error.reason === "QUOTA_EXCEEDED") {
    const subject = error.details.ids?.session_id === undefined ? "server" : "session";
    const violation = QuotaFailure.fromPartial({ violations: [{ subject, description: message }] });
    details.push(pack("QuotaFailure", QuotaFailure.encode(violation).finish()));
  }
  if (retryAfter !== undefined) {
    details.push(pack("RetryInfo", RetryInfo.encode({ retryDelay: durationOf(retryAfter) }).finish()));
  }
  return { code, message, details };
}

/**
 * The beginning of a text that is longer. Well-formed: at a lone surrogate grpc-js throws where nobody catches.
 *
 * @param most bytes
 */
function shortened(given: string, most: number): string {
  const text = toUSVString(given);
  if (Buffer.byteLength(text) <= most) return text;
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(most - Buffer.byteLength(MORE)));
  return text.slice(0, read) + MORE;
}

function pack(type: string, value: Uint8Array): Any {
  return { typeUrl: `type.googleapis.com/google.rpc.${type}`, value: Buffer.from(value) };
}
