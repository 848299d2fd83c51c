/** The kernel's side of templates: all they need is in a library, which comes with the first one. */
import { lazy, loadedLibrary } from "./libraries.js";

const NAME = "template-runtime";

export const templateRuntime = lazy<typeof import("./library/template-runtime.js")>(NAME);

/** A stack with the places of templates, not those of the code they became. */
export function withTemplatePlaces(stack: string): string {
  return loadedLibrary(NAME) === undefined ? stack : templateRuntime().withTemplatePlaces(stack);
}
