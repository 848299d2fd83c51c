/**
 * The contract as TypeScript: messages, enums, service definitions and clients of sandbox.v1, with what its statuses carry
 * and the health service. The code is generated from the .proto files of this package; importing this module also makes
 * every protobuf string of the process strict UTF-8.
 */
import "./text-encoding.js";

export { Any } from "../gen/google/protobuf/any.js";
export { Duration } from "../gen/google/protobuf/duration.js";
export { Code } from "../gen/google/rpc/code.js";
export {
  BadRequest,
  BadRequest_FieldViolation,
  ErrorInfo,
  QuotaFailure,
  QuotaFailure_Violation,
  RetryInfo,
} from "../gen/google/rpc/error_details.js";
export { Status } from "../gen/google/rpc/status.js";
export {
  HealthCheckRequest,
  HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  HealthClient,
  type HealthServer,
  HealthService,
} from "../gen/grpc/health/v1/health.js";
export * from "../gen/index.sandbox.v1.js";
export { encoded } from "./encoder.js";
export { InvalidData, MAX_DATA_BYTES, MAX_DATA_DEPTH, StructLimitError } from "./struct-codec.js";
