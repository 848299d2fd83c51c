import { Exception, type HostResult } from "@livescope/proto";
import { GuestError } from "./errors.js";
import { encodeValue } from "./values.js";

type Outcome = HostResult["outcome"];

/** Causes of an error that are told. */
const CAUSES = 16;

/** What a host function returned. What cannot be sent is a TypeError for the guest. */
export function returnedOutcome(value: unknown, name: string): Outcome {
  try {
    return { $case: "value", value: encodeValue(value, `the result of ${name}`) };
  } catch (error) {
    return thrownOutcome(error);
  }
}

/** What a host function threw: an error by its name, message and causes, all else as a value. Whatever it is, this does not throw. */
export function thrownOutcome(thrown: unknown): Outcome {
  return { $case: "exception", value: exceptionOf(thrown, 0) };
}

function exceptionOf(thrown: unknown, depth: number): Exception {
  try {
    // What a function of the guest threw goes back as what it was; an error without a name, or what was not carried, as an Error.
    if (thrown instanceof GuestError) {
      const { thrown: value, message } = thrown;
      if (thrown.guestName === "" && (value !== undefined || message === "undefined")) return exceptionOf(value, depth);
      return errorOf(thrown.guestName, thrown.message, thrown.cause, depth);
    }
    if (thrown instanceof Error) return errorOf(nameOf(thrown), String(thrown.message), thrown.cause, depth);
    return Exception.fromPartial({ thrown: encodeValue(thrown, "what was thrown") });
  } catch {
    return Exception.fromPartial({ name: "Error", message: `a ${typeof thrown} was thrown, which cannot be copied` });
  }
}

/** The name that an error has, or if that is only the one that all errors inherit, that of its class. */
function nameOf(error: Error): string {
  const name = String(error.name);
  const className: unknown = error.constructor?.name;
  return name === "Error" && typeof className === "string" && className !== "" ? className : name;
}

function errorOf(name: string, message: string, cause: unknown, depth: number): Exception {
  const told = cause === undefined || depth === CAUSES ? undefined : exceptionOf(cause, depth + 1);
  return Exception.fromPartial({ name, message, ...(told && { cause: told }) });
}
