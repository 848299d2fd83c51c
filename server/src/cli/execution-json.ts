/** Executions as JSON documents. docs/cli.md tells their members. */
import {
  type Execution,
  type ExecutionDetails,
  type ExecutionError,
  GuestError,
  type StoppedError,
} from "@livescope/sdk";
import { valueAsJson } from "./values.js";

/** One that gave a value. */
export function executionAsJson({ value, ...details }: Execution<unknown>): object {
  return { outcome: "value", ...valueAsJson(value), ...detailsOf(details) };
}

/** One that was ended by what its code threw, or from outside. */
export function failureAsJson(error: ExecutionError): object {
  if (error instanceof GuestError)
    return { outcome: "exception", exception: exceptionAsJson(error), ...detailsOf(error) };
  const { reason, message } = error as StoppedError;
  return { outcome: "stopped", stopped: { reason, message }, ...detailsOf(error) };
}

function detailsOf(details: ExecutionDetails): ExecutionDetails {
  const { executionId, console, consoleTruncated, warnings, usage, undone } = details;
  return { executionId, console, consoleTruncated, warnings, usage, undone };
}

function exceptionAsJson(error: GuestError): object {
  const { guestName, message, guestStack, frames, phase, cause, errors } = error;
  return {
    name: guestName,
    message,
    phase,
    stack: guestStack,
    frames,
    ...(guestName === "" ? { thrown: valueAsJson(error.thrown) } : {}),
    ...(cause === undefined ? {} : { cause: exceptionAsJson(cause) }),
    ...(errors.length === 0 ? {} : { errors: errors.map(exceptionAsJson) }),
  };
}
