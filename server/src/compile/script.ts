/**
 * Turns the text of a script into what the engine is given: one parse, and one text that all rewrites share, so that one map
 * leads back to the caller's positions.
 *
 * A pure function of its arguments. Sources that need no rewrite are not parsed at all.
 */
import type { Options, Program } from "acorn";
import { base, recursive } from "acorn-walk";
import MagicString from "magic-string";
import { rewriteBoundCalls } from "./bound-calls.js";
import { parse } from "./javascript-parser.js";
import { maySuspend, refuseScopeName, rewriteForLocals } from "./locals-transform.js";
import { type Positions, positionsOf } from "./positions.js";
import { LANGUAGE, SourceError, syntaxErrorOf } from "./source-error.js";
import { type Declared, NOTHING_DECLARED, rewriteTopLevel } from "./top-level.js";
import { stripTypes } from "./typescript.js";

export interface ScriptSource {
  readonly code: string;
  readonly isTypeScript: boolean;
  /** Names that are bound for this source alone. */
  readonly bindings: readonly string[];
  /** The session has constants, which a `var` of this source may replace. */
  readonly meetsConstants: boolean;
}

export interface CompiledScript {
  readonly source: string;
  readonly positions: Positions | undefined;
  readonly declared: Declared;
  /** It awaits at top level, or may: one that could not be parsed. */
  readonly awaits: boolean;
  /**
   * Of a source that must not run as it is, and could not be parsed to be rewritten. The engine's own error goes before it:
   * it is the one that sources which are not parsed here give.
   */
  readonly unparsed: SourceError | undefined;
}

const DECLARES = /\b(?:let|const|class)\b/;
const AWAITS = /\bawait\b/;
const HAS_VAR = /\bvar\b/;
/**
 * How a statement begins that only a module may have. A line is a begin of its own, so white space is looked through within one: through
 * all that follows, it would be looked through again from each line of it.
 */
const MODULE_STATEMENT = /(?:^|[;}])[^\S\n\r\u2028\u2029]*(?:import\s*[\w$*{"']|export\b)/m;

const SCRIPT: Options = {
  ecmaVersion: LANGUAGE,
  sourceType: "script",
  allowAwaitOutsideFunction: true,
  allowHashBang: true,
};

/** @throws SourceError where types cannot be taken out, for a module, and for a source that names what is the kernel's */
export function compileScript({ code, isTypeScript, bindings, meetsConstants }: ScriptSource): CompiledScript {
  const text = isTypeScript ? stripTypes(code) : code;
  refuseScopeName(text);
  const needsRewrite =
    bindings.length > 0 || maySuspend(text) || DECLARES.test(text) || (meetsConstants && HAS_VAR.test(text));
  const unchanged = { source: text, declared: NOTHING_DECLARED, awaits: AWAITS.test(text), unparsed: undefined };
  if (MODULE_STATEMENT.test(text)) refuseModule(text);
  if (!needsRewrite) return { ...unchanged, positions: positionsOf(text) };
  try {
    return rewritten(text, new Set(bindings), meetsConstants);
  } catch (error) {
    return { ...unchanged, positions: positionsOf(text), unparsed: syntaxErrorOf(error, text) };
  }
}

/** The engine's own words for `import` and `export` in a script help nobody. */
function refuseModule(text: string): void {
  try {
    parse(text, SCRIPT);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("'import' and 'export' may appear only")) return;
    const { place } = syntaxErrorOf(error, text);
    throw new SourceError(
      "import and export statements are for modules: source_type MODULE. A script has import()",
      place,
    );
  }
}

function rewritten(text: string, bound: ReadonlySet<string>, meetsConstants: boolean): CompiledScript {
  const program = parse(text, SCRIPT);
  const edited = new MagicString(text);
  if (bound.size > 0) rewriteBoundCalls(program, edited, bound);
  if (maySuspend(text)) rewriteForLocals(program, edited, "async");
  const declared = rewriteTopLevel(program, edited, bound, meetsConstants);
  const source = edited.toString();
  const awaits = AWAITS.test(text) && awaitsAtTopLevel(program);
  return { source, positions: positionsOf(source, edited), declared, awaits, unparsed: undefined };
}

/** The engine takes `await` for no name in all of a source that it is told awaits, so it is told of those alone that do. */
function awaitsAtTopLevel(program: Program): boolean {
  let found = false;
  recursive(program, undefined, {
    Function: () => undefined,
    AwaitExpression: () => {
      found = true;
    },
    ForOfStatement: (node, state, visit) => {
      found ||= node.await;
      base.ForOfStatement?.(node, state, visit);
    },
  });
  return found;
}
