import {
  type Exception,
  ExceptionPhase,
  type Execution as WireExecution,
  StopReason as WireStopReason,
  type Value as WireValue,
} from "@livescope/proto";
import { GuestError, type GuestErrorPhase, LivescopeError, StoppedError, type StopReason } from "./errors.js";
import {
  type Execution,
  type ExecutionDetails,
  readConsoleEntry,
  readFrame,
  readUsage,
  readWarning,
} from "./execution.js";
import { type Handle, Preview } from "./handle.js";
import type { SessionHandles } from "./session-handles.js";
import { decodeValue } from "./values.js";

/**
 * Gives the execution if its outcome is a value, as `readResult` does.
 * @throws as `readResult`
 */
export function readOutcome<T>(execution: WireExecution | undefined): Execution<T> {
  const value = readResult<T>(execution);
  return { ...readDetails(execution as WireExecution), value };
}

/**
 * Gives the value of an execution if that is its outcome, once: each handle in it becomes a reference. Without `handles` it had no
 * session of its user's, and what would be a handle is a {@link Preview}.
 * @throws {GuestError} if the guest's code threw
 * @throws {StoppedError} if it was ended from outside
 * @throws {LivescopeError} if the value came in a form that this version does not read
 */
export function readResult<T>(execution: WireExecution | undefined, handles?: SessionHandles, wrap?: WrapHandle): T {
  if (execution?.outcome === undefined) throw new LivescopeError("the answer carries no outcome: is the server newer?");
  for (const entry of execution.console) for (const arg of entry.args) dropValue(arg, handles);
  const { outcome } = execution;
  switch (outcome.$case) {
    case "value":
      return readValue(outcome.value, handles, wrap) as T;
    case "exception":
      throw new ExceptionReader(readDetails(execution), handles).guestError(outcome.value);
    case "stopped":
      throw new StoppedError(outcome.value.message, readDetails(execution), stopReason(outcome.value.reason));
  }
}

/** What an execution tells beside its outcome. */
export function readDetails(execution: WireExecution): ExecutionDetails {
  return {
    executionId: execution.executionId,
    console: execution.console.map(readConsoleEntry),
    consoleTruncated: execution.consoleTruncated,
    warnings: execution.warnings.map(readWarning),
    usage: readUsage(execution.usage),
    undone: execution.undone,
  };
}

/** Reads the exception of one execution, once: each handle in it becomes a reference. */
class ExceptionReader {
  readonly #details: ExecutionDetails;
  readonly #handles: SessionHandles | undefined;

  constructor(details: ExecutionDetails, handles: SessionHandles | undefined) {
    this.#details = details;
    this.#handles = handles;
  }

  guestError(exception: Exception): GuestError {
    return new GuestError(exception.message, this.#details, {
      guestName: exception.name,
      guestStack: exception.stack,
      frames: exception.frames.map(readFrame),
      phase: phase(exception.phase),
      thrown: this.#thrown(exception),
      cause: exception.cause && this.guestError(exception.cause),
      errors: exception.errors.map((error) => this.guestError(error)),
    });
  }

  /** What an Error was is in the fields of the exception; only of what is none the value itself is of use. */
  #thrown({ name, thrown }: Exception): unknown {
    if (name !== "") {
      dropValue(thrown, this.#handles);
      return undefined;
    }
    try {
      return readValue(thrown, this.#handles);
    } catch {
      // That it was thrown, and its message, are worth more than why it cannot be read here.
      return undefined;
    }
  }
}

/** Makes what stands for a handle in a value, and takes its reference over. */
export type WrapHandle = (handle: Handle) => unknown;

/**
 * Gives a value of an execution, once: each handle in it becomes a reference, or without `handles` a {@link Preview}. `wrap` makes
 * what stands for it; left out, the handle itself does.
 * @throws {LivescopeError} if it came in a form that this version does not read
 */
export function readValue(
  value: WireValue | undefined,
  handles: SessionHandles | undefined,
  wrap: WrapHandle = (handle) => handle,
): unknown {
  return decodeValue(value, (description) =>
    handles && description.handleId !== "" ? wrap(handles.retain(description)) : new Preview(description),
  );
}

/** Gives back at once what the caller does not get to see, or nobody ever would. Its call has to be under way still. */
function dropValue(value: WireValue | undefined, handles: SessionHandles | undefined): void {
  if (value?.kind?.$case !== "handle" || value.kind.value.handleId === "") return;
  // The call is still under way, so this sends nothing that could fail.
  void handles?.release(handles.retain(value.kind.value));
}

function stopReason(reason: WireStopReason): StopReason {
  const name = WireStopReason[reason] as keyof typeof WireStopReason | undefined;
  return name === undefined || name === "UNRECOGNIZED" ? "UNSPECIFIED" : name;
}

function phase(value: ExceptionPhase): GuestErrorPhase | undefined {
  const name = ExceptionPhase[value] as keyof typeof ExceptionPhase | undefined;
  return name === "UNSPECIFIED" || name === "UNRECOGNIZED" ? undefined : name;
}
