/** What it takes to keep an outcome, so that a repeat of its request gets it again. */
import type { Outcome, Value } from "./outcome.js";

/** In bytes, roughly. */
export function sizeOfOutcome(outcome: Outcome): number {
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
