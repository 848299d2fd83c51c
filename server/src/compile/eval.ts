/** Turns the text that guest code gave to `eval`, or to a constructor of functions, into what the engine is given. */
import MagicString from "magic-string";
import { parse } from "./javascript-parser.js";
import { maySuspend, refuseScopeName, rewriteForLocals } from "./locals-transform.js";
import { LANGUAGE, SourceError, syntaxErrorOf } from "./source-error.js";

/**
 * UTF-16 units of a text that is parsed: as many as a source can have that comes with a request. What the parser makes of a text is two
 * hundred times as large, and no part of the session's memory.
 */
const MOST_CODE = 4 << 20;

/** @returns what to evaluate instead, undefined where nothing has to change, or why the text must not run */
export function compileEval(code: string): string | undefined | SourceError {
  try {
    refuseScopeName(code);
    if (!maySuspend(code)) return undefined;
    if (code.length > MOST_CODE) {
      throw new SourceError(`a text that awaits or imports has ${MOST_CODE} characters at most`, {
        line: 1,
        column: 1,
      });
    }
    // Whether `super` and private names are right depends on the code around, which the engine knows.
    const program = parse(code, {
      ecmaVersion: LANGUAGE,
      sourceType: "script",
      allowSuperOutsideMethod: true,
      checkPrivateFields: false,
    });
    const text = new MagicString(code);
    rewriteForLocals(program, text, "sync");
    return text.hasChanged() ? text.toString() : undefined;
  } catch (error) {
    return error instanceof SourceError ? error : syntaxErrorOf(error, code);
  }
}
