/** Tells input that goes on in the next line from input that can be run, or refused, as it is. */
import { type Options, parse } from "acorn";

const SCRIPT: Options = { ecmaVersion: "latest", sourceType: "script", allowAwaitOutsideFunction: true };

/** What acorn says of something that was opened and whose end is not there, wherever it begins. */
const UNTERMINATED = /^Unterminated (?:template|comment)/;
const UNTERMINATED_STRING = /^Unterminated string constant/;

/** Says whether more lines could make a program of the text, and nothing else can. */
export function isUnfinished(text: string): boolean {
  const problem = problemOf(text);
  if (problem === undefined) return false;
  if (UNTERMINATED.test(problem.message)) return true;
  // A string goes on in the next line after a backslash alone.
  if (UNTERMINATED_STRING.test(problem.message)) return text.endsWith("\\");
  return problem.position >= text.length;
}

/**
 * Gives the text that is to be run. What looks like a block to the language, and like an object to people, is an object:
 * `{ a: 1 }`.
 */
export function asTyped(text: string): string {
  if (!/^\s*\{/.test(text) || /;\s*$/.test(text)) return text;
  const wrapped = `(${text}\n)`;
  return problemOf(wrapped) === undefined ? wrapped : text;
}

function problemOf(text: string): { readonly message: string; readonly position: number } | undefined {
  try {
    parse(text, SCRIPT);
    return undefined;
  } catch (error) {
    // What is nested too deeply for the parser is the engine's to refuse: it is finished.
    if (!(error instanceof SyntaxError) || !("pos" in error)) return undefined;
    return { message: error.message, position: Number(error.pos) };
  }
}
