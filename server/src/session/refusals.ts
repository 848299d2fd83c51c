/** What the kernel refused, as the error that its caller gets. Nothing ran. */
import type { Effect } from "../engine/kernel-protocol.js";
import { invalid, SessionError } from "./errors.js";

export function refusalOf(effect: Effect & { kind: "refused" }, sessionId: string): SessionError {
  const field = effect.what;
  switch (effect.reason) {
    case "handleNotFound":
      return new SessionError(
        "HANDLE_NOT_FOUND",
        "the session holds no such handle: it was released, or is of another session",
        { ids: { ...(sessionId === "" ? {} : { session_id: sessionId }), handle_id: effect.what } },
      );
    case "templateNotFound":
      return new SessionError(
        "INVALID_REQUEST",
        "name: the session has no template of this name; send it in templates",
        {
          field: "name",
        },
      );
    case "moduleExists": {
      const message = `modules[${field}]: the session has another module of this name; give this one a name of its own`;
      return new SessionError("INVALID_REQUEST", message, { field: `modules[${field}]` });
    }
    case "nameFixed":
      return invalid("names", `guest code has made ${field} a name that nobody may change; choose another`);
    case "invalidJson":
      return invalid(field, "is not valid JSON text");
    case "invalidGraph": {
      const [graphField = "", why = ""] = field.split("\n");
      return invalid(graphField, `is not a valid graph: ${why}`);
    }
    default:
      return new SessionError("INVALID_REQUEST", "path: leads to nothing that can be inspected without running code", {
        field: "path",
      });
  }
}
