import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { type Any, BadRequest, ErrorInfo, RetryInfo, Status } from "@livescope/proto";
import { describe, expect, it } from "vitest";
import {
  AlreadyExistsError,
  ConnectionLostError,
  IncompatibleSnapshotError,
  InvalidRequestError,
  InvalidSnapshotError,
  LivescopeError,
  NotFoundError,
  ResourceExhaustedError,
  SessionLostError,
  StatusError,
  UnavailableError,
} from "../errors.js";
import { errorFrom } from "./status.js";

function serviceError(code: status, details: Any[] | Buffer = []): ServiceError {
  const metadata = new Metadata();
  const encoded = Buffer.isBuffer(details)
    ? details
    : Buffer.from(Status.encode({ code, message: "it failed", details }).finish());
  metadata.set("grpc-status-details-bin", encoded);
  return Object.assign(new Error(`${code} ${status[code]}: it failed`), { code, details: "it failed", metadata });
}

function detail(type: string, bytes: Uint8Array): Any {
  return { typeUrl: `type.googleapis.com/google.rpc.${type}`, value: Buffer.from(bytes) };
}

const errorInfo = (reason: string, metadata: Record<string, string> = {}, domain = "sandbox.v1") =>
  detail("ErrorInfo", ErrorInfo.encode({ reason, domain, metadata: new Map(Object.entries(metadata)) }).finish());

describe("a status", () => {
  it.each([
    [status.NOT_FOUND, "SESSION_NOT_FOUND", NotFoundError],
    [status.NOT_FOUND, "HANDLE_NOT_FOUND", NotFoundError],
    [status.ALREADY_EXISTS, "SESSION_ALREADY_EXISTS", AlreadyExistsError],
    [status.INVALID_ARGUMENT, "INVALID_REQUEST", InvalidRequestError],
    [status.RESOURCE_EXHAUSTED, "QUEUE_FULL", ResourceExhaustedError],
    [status.UNAVAILABLE, "DRAINING", UnavailableError],
    [status.DATA_LOSS, "SESSION_LOST", SessionLostError],
    [status.ABORTED, "SESSION_DELETED", StatusError],
    [status.FAILED_PRECONDITION, "OUTCOME_EXPIRED", StatusError],
    [status.NOT_FOUND, "SNAPSHOT_NOT_FOUND", NotFoundError],
    [status.INVALID_ARGUMENT, "SNAPSHOT_INVALID", InvalidSnapshotError],
    [status.FAILED_PRECONDITION, "SNAPSHOT_INCOMPATIBLE", IncompatibleSnapshotError],
  ])("%s %s has a class, a code and a reason", (code, reason, expected) => {
    const error = errorFrom(serviceError(code, [errorInfo(reason, { session_id: "s" })]));
    expect(error.constructor).toBe(expected);
    expect(error).toMatchObject({ code: status[code], reason, metadata: { session_id: "s" }, message: "it failed" });
    expect(error.name).toBe(expected.name);
    expect(error.stack).toMatch(new RegExp(`^${expected.name}: it failed\n`));
  });

  it("names the fields that are wrong", () => {
    const violations = { field: "limits.timeout", description: "is negative" };
    const bad = BadRequest.encode(BadRequest.fromPartial({ fieldViolations: [violations] })).finish();
    const error = errorFrom(serviceError(status.INVALID_ARGUMENT, [detail("BadRequest", bad)]));
    expect(error).toMatchObject({ fieldViolations: [violations], reason: undefined, metadata: {} });
  });

  it("says in milliseconds when to try again", () => {
    const retry = RetryInfo.encode({ retryDelay: { seconds: 1n, nanos: 500_000_000 } }).finish();
    const error = errorFrom(
      serviceError(status.RESOURCE_EXHAUSTED, [errorInfo("QUEUE_FULL"), detail("RetryInfo", retry)]),
    );
    expect(error).toMatchObject({ retryDelay: 1500, reason: "QUEUE_FULL" });
  });

  it("keeps its code where details are missing, foreign, unknown or broken", () => {
    const bare = Object.assign(new Error("5 NOT_FOUND: x"), { code: 5, details: "x", metadata: new Metadata() });
    expect(errorFrom(bare)).toBeInstanceOf(NotFoundError);
    expect(
      errorFrom(serviceError(status.NOT_FOUND, [errorInfo("SESSION_NOT_FOUND", {}, "proxy.example")])),
    ).toMatchObject({
      code: "NOT_FOUND",
      reason: undefined,
    });
    expect(errorFrom(serviceError(status.ABORTED, [errorInfo("OF_ANOTHER_AGE")]))).toMatchObject({ reason: undefined });
    expect(errorFrom(serviceError(status.NOT_FOUND, Buffer.from([0xff, 0xff])))).toBeInstanceOf(NotFoundError);
    expect(errorFrom(serviceError(99 as status))).toMatchObject({ code: "UNKNOWN" });
  });

  it("of a call that the other side has reset says that there was none, and of one that was cancelled here that", () => {
    const cancelled = (details: string) =>
      Object.assign(new Error(`1 CANCELLED: ${details}`), {
        code: status.CANCELLED,
        details,
        metadata: new Metadata(),
      });
    const reset = errorFrom(cancelled("Call cancelled"));
    expect(reset).toBeInstanceOf(ConnectionLostError);
    expect(reset).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("ended on the way") });
    expect(errorFrom(cancelled("Cancelled on client"))).toMatchObject({ name: "StatusError", code: "CANCELLED" });
  });

  it("is told from other failures, which are wrapped, and from what is an error of ours already", () => {
    const closed = new Error("Channel has been shut down");
    expect(errorFrom(closed)).toMatchObject({ message: closed.message, cause: closed });
    expect(errorFrom(closed)).not.toBeInstanceOf(StatusError);
    const ours = new LivescopeError("ours");
    expect(errorFrom(ours)).toBe(ours);
  });
});
