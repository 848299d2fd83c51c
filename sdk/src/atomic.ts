import { GuestError } from "./errors.js";
import { type AtomicSequence, type RunningHostCall, runningHostCall } from "./host-function.js";
import type { ExecuteOptions } from "./options.js";
import type { Session } from "./session.js";

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
 * Runs a sequence as one atomic execution: that calls back, and what the callback runs in the session runs on its behalf. So
 * the server holds the session for it, and undoes it whole, whatever becomes of this process. A callback that goes on when the execution
 * has failed can run nothing in the session any more.
 */
export async function runAtomic<T>(
  session: Session,
  sequence: (session: AtomicSession) => T | Promise<T>,
  options: AtomicOptions,
): Promise<T> {
  let ended: { readonly value: T } | { readonly error: unknown } | undefined;
  const state: AtomicSequence = {};
  const run = async (): Promise<void> => {
    try {
      const running = runningHostCall.getStore() as RunningHostCall;
      ended = { value: await runningHostCall.run({ ...running, sequence: state }, () => sequence(session)) };
    } catch (error) {
      ended = { error };
      throw new Error("the sequence failed");
    }
  };
  try {
    await session.execute("await run()", { ...options, bindings: { run }, atomic: true, filename: "atomic.js" });
  } catch (thrown) {
    // What the sequence threw is what its caller knows; that it was undone follows from it.
    const isItsOwn = thrown instanceof GuestError && ended !== undefined && "error" in ended;
    const error = isItsOwn ? (ended as { readonly error: unknown }).error : thrown;
    state.failure = { error };
    throw error;
  }
  return (ended as { readonly value: T }).value;
}
