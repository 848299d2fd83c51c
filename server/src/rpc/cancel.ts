/** Ending an execution by its id, over CancelExecution and over Connect. */
import type { CancelExecutionRequest } from "@livescope/proto";
import { invalid } from "../session/errors.js";
import type { Sessions } from "../session/sessions.js";
import { checkedText } from "./values.js";

/** @throws SessionError INVALID_REQUEST, SESSION_NOT_FOUND and the like; that there is no such execution is no error */
export async function cancelExecution(
  sessions: Sessions,
  { sessionId, executionId }: CancelExecutionRequest,
): Promise<void> {
  checkedText(executionId, "execution_id");
  if (executionId === "") throw invalid("execution_id", "must not be empty");
  if (sessionId === "") sessions.cancelAlone(executionId);
  else await sessions.cancel(sessionId, executionId);
}
