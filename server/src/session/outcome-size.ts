/** What it takes to keep an answer, so that a repeat of its request gets it again. */
import type { Outcome, Value } from "./outcome.js";
import type { CopyIds } from "./session-record.js";

/** Of what is kept for the repeat of a request, in bytes, roughly. */
export function sizeOfAnswer(answer: Outcome | CopyIds): number {
  return "result" in answer ? sizeOfOutcome(answer) : answer.reduce((sum, id) => sum + id.length, 0);
}

/** In bytes, roughly. */
function sizeOfOutcome(outcome: Outcome): number {
  const { result } = outcome;
  const text = result.kind === "value" ? sizeOfValue(result.value) : 0;
  const exception = result.kind === "exception" ? result.exception.stack.length + result.exception.message.length : 0;
  return 300 + text + exception + outcome.console.reduce((sum, entry) => sum + entry.text.length + 50, 0);
}

function sizeOfValue(value: Value): number {
  switch (value.kind) {
    case "json":
    case "graph":
      return value.text.length;
    case "bytes":
      return value.bytes.length;
    default:
      return 0;
  }
}
