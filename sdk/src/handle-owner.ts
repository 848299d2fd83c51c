import { Encoding } from "@livescope/proto";
import type { Executor } from "./executor.js";
import { guestOf } from "./guest.js";
import type { HandleOwner } from "./handle.js";
import { inspectValue } from "./inspection.js";
import type { SessionHandles } from "./session-handles.js";
import type { Channel } from "./transport/channel.js";

/**
 * What the handles of a session object ask of it.
 * @param executor gives the session object's own, which there is once a handle asks
 * @param handles as `executor`
 */
export function handleOwner(
  executor: () => Executor,
  handles: () => SessionHandles,
  channel: Channel,
  sessionId: string,
): HandleOwner {
  return {
    execute: (code, options) => executor().execute(code, options),
    call: (handle, path, args, options) => executor().call({ handle, path }, args, options),
    stream: (handle, path, args, options) => executor().streamCall({ handle, path }, args, options),
    construct: (handle, args, options) =>
      executor().call({ handle, path: "", construct: true }, args, options, Encoding.HANDLE),
    inspect: (handle, path, options) => inspectValue(channel, sessionId, { handle, path }, options),
    guest: (handle) => guestOf(executor(), handle),
    holds: (handle) => handles().holds(handle),
    whereReleased: (handle) => handles().whereReleased(handle),
    release: (handle) => handles().release(handle),
  };
}
