/** Names of templates. One that begins with a slash has no folder: it is taken as it is, and so are the names in its template. */
import { posix } from "node:path";

/** The name of a template that a caller gives: `./a` is `a`, and `a//b` is `a/b`. */
export function templateName(given: string): string {
  return given.startsWith("/") ? given : posix.normalize(given);
}

/** What a name in a template means: names are relative to the folder of the template that says them. */
export function resolvedName(name: string, from: string): string {
  if (name.startsWith("/") || from.startsWith("/")) return templateName(name);
  return templateName(posix.join(posix.dirname(from), name));
}
