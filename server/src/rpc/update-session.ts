/** UpdateSession: which fields of a session a request changes, and to what. */
import type { UpdateSessionRequest } from "@livescope/proto";
import { invalid, SessionError } from "../session/errors.js";
import type { Limits } from "../session/limits.js";
import type { SessionChanges, SessionInfo } from "../session/session-info.js";
import type { Sessions } from "../session/sessions.js";
import { requestedLimits } from "./commands.js";
import { checkedLabels } from "./labels.js";
import { checkedIdleAction } from "./session-message.js";
import { millisecondsOf } from "./time.js";

const LIMITS: ReadonlyMap<string, keyof Limits> = new Map([
  ["limits.memory_bytes", "memoryBytes"],
  ["limits.timeout", "timeout"],
  ["limits.cpu_time", "cpuTime"],
  ["limits.console_bytes", "consoleBytes"],
  ["limits.value_bytes", "valueBytes"],
  ["limits.handles", "handles"],
  ["limits.queued_executions", "queuedExecutions"],
]);

const CHANGEABLE = "labels, limits, one of the limits such as limits.timeout, idle_ttl, idle_action";

/** @throws SessionError */
export async function updateSession(
  sessions: Sessions,
  { session, updateMask = [] }: UpdateSessionRequest,
): Promise<SessionInfo> {
  if (session === undefined) throw invalid("session", "must be set: it has the id and the new values");
  if (updateMask.length === 0) throw invalid("update_mask", `must name what to change: ${CHANGEABLE}`);
  const { labels, limits, idleTtl, idleAction, sessionId } = session;
  let options: SessionChanges = {};
  const namesLimits = updateMask.some((path) => path === "limits" || LIMITS.has(path));
  const wanted = namesLimits ? (requestedLimits(limits, "session.limits") ?? {}) : {};
  for (const path of updateMask) {
    const limit = LIMITS.get(path);
    if (limit !== undefined) options = { ...options, limits: { ...options.limits, [limit]: wanted[limit] ?? 0 } };
    else if (path === "labels") options = { ...options, labels: checkedLabels(labels, "session.labels") };
    else if (path === "idle_ttl") options = { ...options, idleTtl: millisecondsOf(idleTtl, "session.idle_ttl") };
    else if (path === "idle_action")
      options = { ...options, idleAction: checkedIdleAction(idleAction, "session.idle_action") };
    else if (path === "limits") {
      const all = [...LIMITS.values()].map((name) => [name, wanted[name] ?? 0]);
      options = { ...options, limits: Object.fromEntries(all) as Limits };
    } else {
      const unknown = JSON.stringify(path.slice(0, 100));
      throw invalid("update_mask", `names ${unknown}, which cannot be changed; there are ${CHANGEABLE}`);
    }
  }
  try {
    return await sessions.update(sessionId, options);
  } catch (error) {
    throw namedAsAsked(error);
  }
}

/** What is looked at further down is named there as in requests that have these fields themselves. */
function namedAsAsked(error: unknown): unknown {
  if (!(error instanceof SessionError) || error.reason !== "INVALID_REQUEST") return error;
  const { message, details } = error;
  return new SessionError(error.reason, `session.${message}`, { ...details, field: `session.${details.field}` });
}
