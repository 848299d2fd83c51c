/** What a source that cannot be compiled tells its author. */
import { placeOf } from "./positions.js";

/** The edition whose syntax the engine knows; what is newer is an error here as there. */
export const LANGUAGE = 2025;

/** A place in the caller's text, counted from 1; columns in UTF-16 units. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A source that cannot be compiled; guest code meets it as a SyntaxError with this place. */
export class SourceError extends Error {
  override readonly name = "SourceError";

  constructor(
    message: string,
    readonly place: Place,
  ) {
    super(message);
  }
}

/** @param error what the parser threw, or a RangeError because something ran out of stack; any other is thrown again */
export function syntaxErrorOf(error: unknown, text: string): SourceError {
  if (error instanceof SyntaxError && "pos" in error && typeof error.pos === "number") {
    return new SourceError(error.message.replace(/ \(\d+:\d+\)$/, ""), placeOf(text, error.pos));
  }
  if (!(error instanceof RangeError)) throw error;
  return new SourceError("the source is nested too deeply", { line: 1, column: 1 });
}
