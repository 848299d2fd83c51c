/**
 * Takes the types out of TypeScript. What is taken out becomes white space, so that every position stays; what would have to
 * become code (enums, namespaces with values, parameter properties) is refused.
 *
 * The compiler is a wasm module of several megabytes; it is loaded when the first source needs it.
 */
import { createRequire } from "node:module";
import { placeOf } from "./positions.js";
import { SourceError } from "./source-error.js";

interface Compiler {
  transformSync(code: string, options: { readonly mode: "strip-only" }): { readonly code: string };
}

/** What the compiler throws about a source; anything else is a failure of its own. */
interface Complaint {
  readonly code: "InvalidSyntax" | "UnsupportedSyntax";
  readonly message: string;
  readonly startLine?: number;
  readonly startColumn?: number;
}

let require = createRequire(import.meta.url);
const PACKAGE = "amaro";

/** Loads the compiler, if it is not loaded yet. */
export function loadTypeScript(): Compiler {
  return require(PACKAGE) as Compiler;
}

/** @throws SourceError where it does not parse, or needs more than its types taken out */
export function stripTypes(code: string): string {
  try {
    return loadTypeScript().transformSync(code, { mode: "strip-only" }).code;
  } catch (error) {
    if (isComplaint(error)) {
      throw new SourceError(error.message, placeOf(code, offsetOf(code, error.startLine ?? 1, error.startColumn ?? 0)));
    }
    // A stack overflow leaves the compiler's memory in a state that nobody knows.
    unload();
    throw new SourceError("the source is nested too deeply to take its types out", { line: 1, column: 1 });
  }
}

function isComplaint(error: unknown): error is Complaint {
  return typeof error === "object" && error !== null && "startLine" in error && "message" in error;
}

const LINE_BREAK = /\r\n|\r|\n/g;
const NO_WIDTH = /[\p{M}\p{Cf}\p{Cc}]/u;
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
const TAB_WIDTH = 4;

/** The compiler counts UTF-16 units, but tabs as four, wide characters as one more, and what has no width as one less. */
function offsetOf(code: string, line: number, column: number): number {
  let offset = 0;
  for (const lineBreak of code.matchAll(LINE_BREAK)) {
    if (--line < 1) break;
    offset = lineBreak.index + lineBreak[0].length;
  }
  let width = 0;
  for (const character of code.slice(offset)) {
    if (width >= column) break;
    width += widthOf(character);
    offset += character.length;
  }
  return offset;
}

function widthOf(character: string): number {
  if (character === "\t") return TAB_WIDTH;
  return character.length + (NO_WIDTH.test(character) ? -1 : WIDE.test(character) ? 1 : 0);
}

function unload(): void {
  const main = require.cache[require.resolve(PACKAGE)];
  for (const child of main?.children ?? []) delete require.cache[child.id];
  if (main !== undefined) delete require.cache[main.id];
  // This one keeps all that it ever loaded.
  require = createRequire(import.meta.url);
}
