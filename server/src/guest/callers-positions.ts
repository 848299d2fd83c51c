/** Frees what leaves the session of the marks that sources run under, and of the places of what templates became. */
import { indexOf } from "./intrinsics.js";
import { loadedLibrary } from "./loaded-library.js";
import { MARK, positions } from "./positions.js";
import { templateRuntime } from "./templates.js";

/** A text, such as a stack, with the caller's file names and positions. */
export function withCallersPositions(text: string): string {
  const places = withTemplatePlaces(text);
  return indexOf(places, MARK) < 0 ? places : positions().unmarked(places);
}

/** A stack with the places of templates, not those of the code they became. */
export function withTemplatePlaces(stack: string): string {
  return loadedLibrary("template-runtime") === undefined ? stack : templateRuntime().withTemplatePlaces(stack);
}
