/**
 * Turns the text of a script into what the engine is given, so that a session behaves like a modern console: `let`,
 * `const` and `class` at top level persist and may be declared again, and bindings are visible to one source alone.
 *
 * A pure function of its arguments. Sources that need none of this are not parsed at all.
 */
import { type Program, parse, type Statement, type VariableDeclaration } from "acorn";
import { recursive } from "acorn-walk";
import MagicString from "magic-string";
import { maySuspend, rewriteForLocals, SCOPE_NAME, usesScopeName } from "./locals-transform.js";

export interface CompiledScript {
  readonly source: string;
  /**
   * Names that must be configurable properties of the global object before the source runs: the engine would otherwise
   * make them permanent. Names of constants begin anew as constants.
   */
  readonly variables: readonly string[];
  readonly constants: readonly string[];
  /** Why a source must not run as it is that the engine might accept: it could not be rewritten, or must not be. */
  readonly refusal?: string;
}

const NEEDS_PARSING = /\b(?:let|const|class)\b/;

export function compileScript(code: string, bindings: readonly string[]): CompiledScript {
  const unchanged: CompiledScript = { source: code, variables: [], constants: [] };
  if (usesScopeName(code)) return { ...unchanged, refusal: `the name ${SCOPE_NAME} is reserved` };
  const suspends = maySuspend(code);
  if (bindings.length === 0 && !suspends && !NEEDS_PARSING.test(code)) return unchanged;
  try {
    const program = parse(code, { ecmaVersion: "latest", sourceType: "script", allowAwaitOutsideFunction: true });
    const text = new MagicString(code);
    if (suspends) rewriteForLocals(program, text, "async");
    const script = new ScriptRewriter(text, new Set(bindings));
    for (const statement of program.body) script.rewrite(statement as Statement);
    if (bindings.length > 0) script.rewriteNestedVars(program);
    return script.result(program);
  } catch {
    // The engine words its own syntax errors, and with them nothing is declared. Should it accept what acorn does not, a
    // source that needs none of this runs as it is.
    if (bindings.length === 0 && !suspends) return unchanged;
    return { ...unchanged, refusal: "this source cannot be compiled" };
  }
}

/**
 * Turns the text that guest code gave to `eval` or to a constructor of functions into what the engine is given.
 *
 * @returns undefined where it is left as it is
 */
export function compileEval(code: string): { readonly source: string } | { readonly refusal: string } | undefined {
  if (usesScopeName(code)) return { refusal: `the name ${SCOPE_NAME} is reserved` };
  if (!maySuspend(code)) return undefined;
  try {
    // Whether `super` and private names are right depends on the code around, which the engine knows.
    const program = parse(code, {
      ecmaVersion: "latest",
      sourceType: "script",
      allowSuperOutsideMethod: true,
      checkPrivateFields: false,
    });
    const text = new MagicString(code);
    rewriteForLocals(program, text, "sync");
    return text.hasChanged() ? { source: text.toString() } : undefined;
  } catch {
    return { refusal: "this source cannot be compiled" };
  }
}

class ScriptRewriter {
  readonly #text: MagicString;
  readonly #bound: ReadonlySet<string>;
  readonly #variables = new Set<string>();
  readonly #constants = new Set<string>();
  readonly #functions: string[] = [];

  constructor(text: MagicString, bound: ReadonlySet<string>) {
    this.#text = text;
    this.#bound = bound;
  }

  /** A statement directly in the program. Replaced keywords are padded, so that columns stay. */
  rewrite(statement: Statement): void {
    if (statement.type === "VariableDeclaration") this.#rewriteDeclaration(statement);
    else if (statement.type === "ClassDeclaration") {
      const { name } = statement.id;
      if (!this.#bound.has(name)) this.#variables.add(name);
      this.#text.appendLeft(statement.start, this.#bound.has(name) ? `${name} = ` : `var ${name} = `);
      this.#text.appendRight(statement.end, ";");
    } else if (statement.type === "FunctionDeclaration") {
      const { name } = statement.id;
      if (this.#bound.has(name)) {
        this.#text.appendLeft(statement.start, `${name} = `);
        this.#text.appendRight(statement.end, ";");
      } else this.#functions.push(name);
    }
  }

  #rewriteDeclaration(declaration: VariableDeclaration): void {
    const { kind } = declaration;
    const names = declaration.declarations.flatMap((declarator) => namesOf(declarator.id));
    const isBound = names.some((name) => this.#bound.has(name));
    if (isBound) return this.#assignInstead(declaration, names);
    if (kind === "var") return;
    if (kind !== "let" && kind !== "const") return;
    for (const name of names) (kind === "const" ? this.#constants : this.#variables).add(name);
    this.#text.overwrite(declaration.start, declaration.start + kind.length, kind === "const" ? "var  " : "var");
    for (const declarator of declaration.declarations) {
      if (!declarator.init) this.#text.appendLeft(declarator.end, " = void 0");
    }
  }

  /** A declaration that names a binding becomes an assignment, which finds the binding first. */
  #assignInstead(declaration: VariableDeclaration, names: readonly string[]): void {
    for (const name of names) if (!this.#bound.has(name)) this.#variables.add(name);
    this.#text.overwrite(declaration.start, declaration.start + declaration.kind.length, "void(");
    const last = declaration.declarations.at(-1);
    for (const declarator of declaration.declarations) {
      if (declarator.init) continue;
      // It begins with the bound value.
      this.#text.overwrite(declarator.start, declarator.end, "0");
    }
    this.#text.appendLeft(last?.end ?? declaration.end, ")");
  }

  /** `var` inside blocks and loop heads reaches the top level too. */
  rewriteNestedVars(program: Program): void {
    const topLevel = new Set<unknown>(program.body);
    recursive(program, undefined, {
      Function: () => undefined,
      VariableDeclaration: (node, _state, visit) => {
        for (const declarator of node.declarations) if (declarator.init) visit(declarator.init, undefined);
        if (node.kind !== "var" || topLevel.has(node)) return;
        const names = node.declarations.flatMap((declarator) => namesOf(declarator.id));
        if (names.some((name) => this.#bound.has(name))) this.#nestedAssignment(node, names);
      },
    });
  }

  #nestedAssignment(node: VariableDeclaration, names: readonly string[]): void {
    for (const name of names) if (!this.#bound.has(name)) this.#variables.add(name);
    this.#text.overwrite(node.start, node.start + node.kind.length, "   ");
  }

  result(program: Program): CompiledScript {
    const declared = { variables: [...this.#variables], constants: [...this.#constants] };
    if (this.#bound.size === 0) return { source: this.#text.toString(), ...declared };
    const directives = program.body.filter(
      (statement) => "directive" in statement && statement.directive === "use strict",
    );
    // Sloppy code alone may use `with`; a strict source loses its directive.
    for (const directive of directives)
      this.#text.overwrite(directive.start, directive.end, " ".repeat(directive.end - directive.start));
    return { source: withBindings(this.#text.toString(), this.#functions), ...declared };
  }
}

/**
 * Runs a source inside the scope object of its bindings. Function declarations would stay inside the block, so they are
 * handed to the global object as well. The prefix stays on the first line: line numbers hold.
 */
function withBindings(code: string, functions: readonly string[]): string {
  const hoisted = functions.length === 0 ? "" : `${SCOPE_NAME}.declareFunctions({${functions.join(",")}});`;
  return `with(${SCOPE_NAME}.takeBindings()){${hoisted}${code}\n}`;
}

type Pattern = VariableDeclaration["declarations"][number]["id"];

function namesOf(pattern: Pattern | null): string[] {
  if (pattern === null) return [];
  switch (pattern.type) {
    case "Identifier":
      return [pattern.name];
    case "ObjectPattern":
      return pattern.properties.flatMap((property) =>
        namesOf(property.type === "RestElement" ? property.argument : property.value),
      );
    case "ArrayPattern":
      return pattern.elements.flatMap(namesOf);
    case "RestElement":
      return namesOf(pattern.argument);
    case "AssignmentPattern":
      return namesOf(pattern.left);
    default:
      return [];
  }
}
