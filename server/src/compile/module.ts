/**
 * Turns the text of a module into what the engine is given, and finds what it imports: the host looks all modules up before
 * the engine links one, because a module that is missing in the middle of that would leave the others half linked.
 */
import type { Program } from "acorn";
import { simple } from "acorn-walk";
import MagicString from "magic-string";
import { parse } from "./javascript-parser.js";
import { maySuspend, refuseScopeName, rewriteForLocals } from "./locals-transform.js";
import { type Positions, placesOf, positionsOf } from "./positions.js";
import { LANGUAGE, type Place, syntaxErrorOf } from "./source-error.js";
import { SCOPE_NAME } from "./top-level.js";
import { stripTypes } from "./typescript.js";

export interface CompiledModule {
  readonly source: string;
  readonly positions: Positions | undefined;
  /** What it imports statically, as written, each with its place. */
  readonly imports: readonly ImportedName[];
}

export interface ImportedName {
  readonly specifier: string;
  readonly place: Place;
}

const MENTIONS_IMPORTS = /\b(?:import|from)\b/;

/**
 * @param name what `import.meta.url` gives
 * @throws SourceError where it does not parse
 */
export function compileModule(code: string, name: string, isTypeScript: boolean): CompiledModule {
  const text = isTypeScript ? stripTypes(code) : code;
  refuseScopeName(text);
  if (!MENTIONS_IMPORTS.test(text) && !maySuspend(text))
    return { source: text, positions: positionsOf(text), imports: [] };
  let program: Program;
  try {
    program = parse(text, { ecmaVersion: LANGUAGE, sourceType: "module", allowHashBang: true });
  } catch (error) {
    throw syntaxErrorOf(error, text);
  }
  const placeOf = placesOf(text);
  const imports = program.body.flatMap((statement): ImportedName[] => {
    if (!("source" in statement) || typeof statement.source?.value !== "string") return [];
    return [{ specifier: statement.source.value, place: placeOf(statement.source.start) }];
  });
  const rewritten = new MagicString(text);
  rewriteForLocals(program, rewritten, "async");
  if (usesMeta(program)) begin(rewritten, program, `import.meta.url=${JSON.stringify(name)};`);
  if (imports.length > 0) begin(rewritten, program, `${SCOPE_NAME}.i().beginModule(${JSON.stringify(name)});`);
  if (!rewritten.hasChanged()) return { source: text, positions: positionsOf(text), imports };
  const source = rewritten.toString();
  return { source, positions: positionsOf(source, rewritten), imports };
}

/** What other rewrites put in front of the first statement stays with that. */
function begin(text: MagicString, program: Program, code: string): void {
  text.prependLeft(program.body[0]?.start ?? 0, code);
}

/** The engine's `import.meta` is an empty object. */
function usesMeta(program: Program): boolean {
  let found = false;
  simple(program, {
    MetaProperty: (node) => {
      found ||= node.meta.name === "import";
    },
  });
  return found;
}
