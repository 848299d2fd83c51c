/** Frees what leaves the session of the marks that sources run under, and of the places of what templates became. */
import { indexOf } from "./intrinsics.js";
import { loadedLibrary } from "./loaded-library.js";
import { MARK, positions } from "./positions.js";
import { templateRuntime } from "./templates.js";

/** A text, such as a stack, with the caller's file names and positions. */
export function withCallersPositions(text: string): string {
  return withoutMarks(withTemplatePlaces(text));
}

/** A text that names files, such as the message of an error of the engine's about a module. */
export function withoutMarks(text: string): string {
  return indexOf(text, MARK) < 0 ? text : positions().unmarked(text);
}

/** A stack with the places of templates, not those of the code they became. */
export function withTemplatePlaces(stack: string): string {
  return loadedLibrary("template-runtime") === undefined ? stack : templateRuntime().withTemplatePlaces(stack);
}
