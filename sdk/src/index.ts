/**
 * The typed client of livescope: live JavaScript sessions on a server, over gRPC.
 */

// What one begins with:

export { Livescope } from "./client.js";
export { Handle, Preview } from "./handle.js";
export { Exposure, hostCall } from "./host-function.js";
export { Session } from "./session.js";

// What can go wrong:

export {
  AlreadyExistsError,
  ConnectionLostError,
  DisposedError,
  type ErrorReason,
  ExecutionError,
  type FieldViolation,
  GuestError,
  type GuestErrorPhase,
  IncompatibleSnapshotError,
  InvalidRequestError,
  InvalidSnapshotError,
  LivescopeError,
  NotFoundError,
  ResourceExhaustedError,
  SessionLostError,
  type StatusCode,
  StatusError,
  StoppedError,
  type StopReason,
  UnavailableError,
} from "./errors.js";

// What goes in and comes out:

export type { AtomicOptions, AtomicSession } from "./atomic.js";
export type { AttachOptions, ConnectOptions, CreateSessionOptions, ListSessionsOptions, ServerInfo } from "./client.js";
export type {
  ConsoleEntry,
  ConsoleLevel,
  Execution,
  ExecutionDetails,
  ExecutionPromise,
  Frame,
  Usage,
  Warning,
} from "./execution.js";
export type { ExecutionStream } from "./execution-stream.js";
export type { Copied, Guest, GuestCall, GuestMember, GuestOperations, GuestResult, Sent } from "./guest-types.js";
export type { ExposeOptions, HostCallContext, HostFunction } from "./host-function.js";
export type { Inspection, Property } from "./inspection.js";
export type { AllLimits, ExecutionLimits, Limits } from "./limits.js";
export type {
  CallOptions,
  ExecuteOptions,
  InspectOptions,
  LoadOptions,
  RenderContext,
  RenderOptions,
  RequestOptions,
  Template,
} from "./options.js";
export type { ForkOptions, RollbackOptions, SessionUpdate } from "./session-changes.js";
export type { Durability, IdleAction, SessionInfo, SessionState } from "./session-info.js";
export type { SessionEvent, WatchOptions } from "./session-watch.js";
export type { ListSnapshotsOptions, Snapshot, SnapshotOptions } from "./snapshots.js";
