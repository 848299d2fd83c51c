import { randomUUID } from "node:crypto";
import { shown } from "./checks.js";
import { GuestError, LivescopeError, UnavailableError } from "./errors.js";
import { type AtomicSequence, type RunningHostCall, runningHostCall } from "./host-function.js";
import type { ExecuteOptions } from "./options.js";
import type { Session } from "./session.js";
import { withResolvers } from "./with-resolvers.js";

/** What of a session can be used within {@link Session.atomic}: what runs code, and what looks at values. */
export type AtomicSession = Pick<
  Session,
  | "id"
  | "execute"
  | "handle"
  | "call"
  | "fn"
  | "load"
  | "guest"
  | "stream"
  | "callStream"
  | "render"
  | "renderStream"
  | "templates"
  | "inspect"
>;

/** Options of {@link Session.atomic}. */
export type AtomicOptions = Pick<ExecuteOptions, "timeout" | "signal">;

/**
 * Calls back, and throws where the sequence did not end well. What promises do, and so `await`, the session's own code may have changed:
 * that nothing but the end of the callback ends the sequence shows by what only that tells.
 */
const SCRIPT = `if (await run() !== end) throw "the session's code ended the sequence before its callback did"`;

/**
 * Runs a sequence as one atomic execution: that calls back, and what the callback runs in the session runs on its behalf. So
 * the server holds the session for it, and undoes it whole, whatever becomes of this process. A callback that goes on when the execution
 * has failed can run nothing in the session any more. Should the server begin the execution again, as one that has been started since
 * does, what the callback still runs would be part of that: so it is undone too. Nothing of it is sent where the server does not say
 * that it waits for the callback: to one that has been started since, which does not know the execution yet, it would be a call of its own.
 */
export async function runAtomic<T>(
  session: Session,
  sequence: (session: AtomicSession) => T | Promise<T>,
  options: AtomicOptions,
): Promise<T> {
  if (typeof sequence !== "function") throw new TypeError(`the sequence is ${shown(sequence)}: give a function`);
  let ended: { readonly value: T } | { readonly error: unknown } | undefined;
  const { promise: failed, resolve: fail } = withResolvers<void>();
  const state: AtomicSequence = { failed };
  let hasBegun = false;
  const end = randomUUID();
  const run = async (): Promise<string> => {
    if (hasBegun) {
      state.failure = { error: undoneMeanwhile() };
      ended = state.failure;
      fail();
      throw new Error("the sequence began again");
    }
    hasBegun = true;
    try {
      const running = runningHostCall.getStore() as RunningHostCall;
      const value = await runningHostCall.run({ ...running, sequence: state }, () => sequence(session));
      ended ??= { value };
      return end;
    } catch (error) {
      ended ??= { error };
      throw new Error("the sequence failed");
    }
  };
  try {
    await session.execute(SCRIPT, { ...options, bindings: { run, end }, atomic: true, filename: "atomic.js" });
  } catch (thrown) {
    // What the sequence threw is what its caller knows; that it was undone follows from it.
    const isItsOwn = thrown instanceof GuestError && ended !== undefined && "error" in ended;
    const error = isItsOwn ? (ended as { readonly error: unknown }).error : thrown;
    state.failure = { error };
    fail();
    throw error;
  }
  if (ended === undefined || !("value" in ended)) {
    throw new LivescopeError("the answer came before the sequence had ended well: is the server newer?");
  }
  return ended.value;
}

function undoneMeanwhile(): UnavailableError {
  const message =
    "the server went away, or could not keep what the sequence did: all of it is undone, and it is not run twice; call atomic again";
  return new UnavailableError(message, { code: "UNAVAILABLE" });
}
