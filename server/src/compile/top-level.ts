/**
 * The rewrite that makes a script behave like a modern console: `let`, `const` and `class` at top level persist and may be
 * declared again, and bindings are visible to one source alone.
 */
import type { Program, Statement, VariableDeclaration, VariableDeclarator } from "acorn";
import { recursive } from "acorn-walk";
import type MagicString from "magic-string";

/** Top-level names that the kernel prepares before the source runs: the engine would otherwise make them permanent. */
export interface Declared {
  readonly variables: readonly string[];
  /** They begin anew as constants. */
  readonly constants: readonly string[];
  /** Names of `var`, which must not meet a constant of an earlier source. */
  readonly vars: readonly string[];
  /** Bound names that the source declares as constants. */
  readonly boundConstants: readonly string[];
}

export const NOTHING_DECLARED: Declared = { variables: [], constants: [], vars: [], boundConstants: [] };

/** The global lexical constant through which compiled sources reach the kernel's scope functions. */
export const SCOPE_NAME = "$livescope$";

/**
 * Rewrites a program in place.
 *
 * @param bound names of the bindings
 * @param meetsConstants names of `var` are wanted
 */
export function rewriteTopLevel(
  program: Program,
  text: MagicString,
  bound: ReadonlySet<string>,
  meetsConstants: boolean,
): Declared {
  const rewrite = new TopLevelRewrite(text, bound);
  for (const statement of program.body) rewrite.statement(statement as Statement);
  if (bound.size > 0 || meetsConstants) rewrite.nestedVars(program);
  if (bound.size > 0) rewrite.wrap(program);
  return rewrite.declared();
}

class TopLevelRewrite {
  readonly #text: MagicString;
  readonly #bound: ReadonlySet<string>;
  readonly #variables = new Set<string>();
  readonly #constants = new Set<string>();
  readonly #vars = new Set<string>();
  readonly #boundConstants = new Set<string>();
  readonly #functions: string[] = [];

  constructor(text: MagicString, bound: ReadonlySet<string>) {
    this.#text = text;
    this.#bound = bound;
  }

  declared(): Declared {
    return {
      variables: [...this.#variables],
      constants: [...this.#constants],
      vars: [...this.#vars],
      boundConstants: [...this.#boundConstants],
    };
  }

  /** A statement directly in the program. Replaced keywords are padded, so that columns stay. */
  statement(statement: Statement): void {
    if (statement.type === "VariableDeclaration") this.#declaration(statement);
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

  #declaration(declaration: VariableDeclaration): void {
    const { kind } = declaration;
    const names = declaration.declarations.flatMap((declarator) => namesOf(declarator.id));
    const isBound = names.some((name) => this.#bound.has(name));
    if (isBound) return this.#assignInstead(declaration, names);
    if (kind === "var") {
      for (const name of names) this.#vars.add(name);
      return;
    }
    if (kind !== "let" && kind !== "const") return;
    for (const name of names) (kind === "const" ? this.#constants : this.#variables).add(name);
    this.#text.overwrite(declaration.start, declaration.start + kind.length, kind === "const" ? "var  " : "var");
    for (const declarator of declaration.declarations) {
      if (!declarator.init) this.#text.appendLeft(declarator.end, ` = void 0${endOf(declaration, declarator)}`);
    }
  }

  /** A declaration that names a binding becomes an assignment, which finds the binding first. */
  #assignInstead(declaration: VariableDeclaration, names: readonly string[]): void {
    for (const name of names) {
      if (!this.#bound.has(name)) this.#variables.add(name);
      else if (declaration.kind === "const") this.#boundConstants.add(name);
    }
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
  nestedVars(program: Program): void {
    const topLevel = new Set<unknown>(program.body);
    recursive(program, undefined, {
      Function: () => undefined,
      VariableDeclaration: (node, _state, visit) => {
        for (const declarator of node.declarations) if (declarator.init) visit(declarator.init, undefined);
        if (node.kind !== "var" || topLevel.has(node)) return;
        const names = node.declarations.flatMap((declarator) => namesOf(declarator.id));
        if (names.some((name) => this.#bound.has(name))) this.#nestedAssignment(node, names);
        else for (const name of names) this.#vars.add(name);
      },
    });
  }

  #nestedAssignment(node: VariableDeclaration, names: readonly string[]): void {
    for (const name of names) if (!this.#bound.has(name)) this.#variables.add(name);
    this.#text.overwrite(node.start, node.start + node.kind.length, "   ");
  }

  /**
   * Runs the source inside the scope object of its bindings. Function declarations would stay inside the block, so they are
   * handed to the global object as well.
   */
  wrap(program: Program): void {
    for (const statement of program.body) {
      // Sloppy code alone may use `with`; a strict source loses its directive.
      if (!("directive" in statement) || statement.directive !== "use strict") continue;
      this.#text.overwrite(statement.start, statement.end, " ".repeat(statement.end - statement.start));
    }
    const functions = this.#functions.join(",");
    const hoisted = functions === "" ? "" : `${SCOPE_NAME}.declareFunctions({${functions}});`;
    const { start } = program.body[0] ?? program;
    // Behind whatever stands in front of the first statement, so that a `#!` stays the first line.
    this.#text.prependLeft(start, `with(${SCOPE_NAME}.takeBindings()){${hoisted}`);
    this.#text.append("\n}");
  }
}

/**
 * What ends a declaration whose text is changed at its end: a line break that ended it need not do so any more. Nothing where
 * it has a semicolon of its own.
 */
function endOf(declaration: VariableDeclaration, { end }: VariableDeclarator): string {
  return end === declaration.end ? ";" : "";
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
