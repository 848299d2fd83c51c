/**
 * Gives the text of a function as its author wrote it: compiling puts marked pieces into sources (compile/locals-transform.ts).
 * A piece begins with a comment, its name followed by how long the piece is, and after a hyphen by what it stands for.
 */
import { indexOf, slice } from "../intrinsics.js";

export const MARK = "/*$livescope$";

/** @param text of a function, as the engine keeps it */
export function originalText(text: string): string {
  let original = "";
  let at = 0;
  for (;;) {
    const mark = indexOf(text, MARK, at);
    if (mark < 0) return original + slice(text, at);
    original += slice(text, at, mark);
    const start = mark + MARK.length;
    const end = indexOf(text, "*/", start);
    const hyphen = indexOf(text, "-", start);
    const isReplaced = hyphen >= 0 && hyphen < end;
    const length = +slice(text, start, isReplaced ? hyphen : end);
    if (isReplaced) original += unescaped(slice(text, hyphen + 1, end));
    at = end + 2 + length;
  }
}

/** A backslash stands before what the comment could not have had. */
function unescaped(text: string): string {
  let plain = "";
  let at = 0;
  for (;;) {
    const backslash = indexOf(text, "\\", at);
    if (backslash < 0) return plain + slice(text, at);
    plain += slice(text, at, backslash) + slice(text, backslash + 1, backslash + 2);
    at = backslash + 2;
  }
}
