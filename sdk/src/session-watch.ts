import { SessionServiceService, type WatchSessionResponse, Handle as WireHandle } from "@livescope/proto";
import { ExecutionError } from "./errors.js";
import { type ConsoleEntry, type Execution, readConsoleEntry } from "./execution.js";
import { Preview } from "./handle.js";
import { readDetails, readOutcome } from "./outcome.js";
import { readSession, type SessionInfo } from "./session-info.js";
import type { Channel } from "./transport/channel.js";
import { sendAndListen } from "./transport/streams.js";

/** Options of {@link Session.watch}. */
export interface WatchOptions {
  /** Ends the watch when aborted, which then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Something that happened in a session, whoever asked for it. */
export type SessionEvent =
  /** The session as it is: the first event, and another whenever its state, labels, limits or idle time change. */
  | { readonly kind: "session"; readonly session: SessionInfo }
  /** Guest code wrote to its console. `executionId` is empty for what no execution owns, such as a timer that was left behind. */
  | { readonly kind: "console"; readonly executionId: string; readonly entry: ConsoleEntry }
  /** An execution gave a value. What cannot be copied, or not be read here, is a {@link Preview}; its console came before. */
  | { readonly kind: "finished"; readonly executionId: string; readonly execution: Execution<unknown> }
  /** An execution ended without one. */
  | { readonly kind: "failed"; readonly executionId: string; readonly error: ExecutionError };

/** Gives what happens in a session from when the first event is asked for. */
export async function* watchSession(
  channel: Channel,
  sessionId: string,
  options: WatchOptions,
): AsyncGenerator<SessionEvent, void, void> {
  for await (const response of sendAndListen(channel, SessionServiceService.watchSession, { sessionId }, options)) {
    const event = readEvent(response);
    if (event !== undefined) yield event;
  }
}

/** Undefined for what this version does not know. */
function readEvent({ update }: WatchSessionResponse): SessionEvent | undefined {
  if (update?.$case === "session") return { kind: "session", session: readSession(update.value) };
  if (update?.$case !== "event") return undefined;
  const { executionId, event } = update.value;
  if (event?.$case === "console") return { kind: "console", executionId, entry: readConsoleEntry(event.value) };
  if (event?.$case !== "finished") return undefined;
  try {
    // Its handles are those of whoever asked for it.
    return { kind: "finished", executionId, execution: readOutcome(event.value) };
  } catch (error) {
    if (error instanceof ExecutionError) return { kind: "failed", executionId, error };
    if (event.value.outcome?.$case !== "value") throw error;
    // Who chose the value is not who watches: the watch goes on.
    const value = new Preview(WireHandle.create({ type: "object", preview: messageOf(error) }));
    return { kind: "finished", executionId, execution: { ...readDetails(event.value), value } };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
