/** What it takes to keep an answer, so that a repeat of its request gets it again. */
import type { ConsoleEntry, Frame, GuestException, Outcome, Value, Warning } from "./outcome.js";
import type { CopyIds } from "./session-record.js";

/** Of an outcome without any text. */
const OUTCOME_BYTES = 300;
/** Of each of its parts beside its texts: an error, a frame, an entry, a warning, a handle. */
const PART_BYTES = 50;

/** Of what is kept for the repeat of a request, in bytes, roughly. */
export function sizeOfAnswer(answer: Outcome | CopyIds): number {
  return "result" in answer ? sizeOfOutcome(answer) : answer.reduce((sum, id) => sum + id.length, 0);
}

/** In bytes, roughly. */
function sizeOfOutcome({ result, console, warnings }: Outcome): number {
  return OUTCOME_BYTES + sizeOfResult(result) + sumOf(console, sizeOfEntry) + sumOf(warnings, sizeOfWarning);
}

function sizeOfResult(result: Outcome["result"]): number {
  switch (result.kind) {
    case "value":
      return sizeOfValue(result.value);
    case "exception":
      return sizeOfException(result.exception);
    case "stopped":
      return result.message.length;
  }
}

function sizeOfValue(value: Value): number {
  switch (value.kind) {
    case "json":
    case "graph":
      return value.text.length;
    case "bytes":
      return value.bytes.length;
    case "handle": {
      const { handleId, type, className, preview } = value.handle;
      return PART_BYTES + handleId.length + type.length + className.length + preview.length;
    }
    case "undefined":
      return 0;
  }
}

/** The guest's kernel bounds how many errors one leads to, and how deep. */
function sizeOfException({ name, message, stack, frames, cause, errors, thrown, value }: GuestException): number {
  const texts = name.length + message.length + stack.length + (thrown?.length ?? 0);
  const others = (cause === undefined ? 0 : sizeOfException(cause)) + sumOf(errors, sizeOfException);
  return PART_BYTES + texts + sumOf(frames, sizeOfFrame) + others + (value === undefined ? 0 : sizeOfValue(value));
}

function sizeOfEntry({ text, frame }: ConsoleEntry): number {
  return PART_BYTES + text.length + sizeOfFrame(frame);
}

function sizeOfWarning({ message, frame }: Warning): number {
  return PART_BYTES + message.length + sizeOfFrame(frame);
}

function sizeOfFrame(frame: Frame | undefined): number {
  return frame === undefined ? 0 : PART_BYTES + frame.functionName.length + frame.filename.length;
}

function sumOf<T>(parts: readonly T[], sizeOf: (part: T) => number): number {
  return parts.reduce((sum, part) => sum + sizeOf(part), 0);
}
