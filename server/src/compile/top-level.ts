/**
 * The rewrite that makes a script behave like a modern console: `let`, `const` and `class` at top level persist and may be
 * declared again, and bindings are visible to one source alone.
 */
import type { Program, Statement, VariableDeclaration, VariableDeclarator } from "acorn";
import { base, recursive } from "acorn-walk";
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

/** An assignment that takes the place of a declaration: a declaration of its own, because that changes no completion value. */
const BEGIN = `{const ${SCOPE_NAME}d=`;
const END = "}";

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
  rewrite.functionsInBlocks(program);
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
  /** All names of `let`, `const` and `class`, those of bindings included. */
  readonly #lexical = new Set<string>();
  /** Names of `var` that are declared together with a binding; the declaration itself becomes an assignment. */
  readonly #hoisted = new Set<string>();

  constructor(text: MagicString, bound: ReadonlySet<string>) {
    this.#text = text;
    this.#bound = bound;
  }

  declared(): Declared {
    return {
      variables: [...this.#variables],
      constants: [...this.#constants],
      vars: [...this.#vars, ...this.#hoisted],
      boundConstants: [...this.#boundConstants],
    };
  }

  /** A statement directly in the program. Replaced keywords are padded, so that columns stay. */
  statement(statement: Statement): void {
    if (statement.type === "VariableDeclaration") this.#declaration(statement);
    else if (statement.type === "ClassDeclaration") {
      const { name } = statement.id;
      this.#lexical.add(name);
      if (this.#bound.has(name)) return this.#enclose(statement, `${BEGIN}${name} = `, END);
      this.#variables.add(name);
      this.#enclose(statement, `var ${name} = `, ";");
    } else if (statement.type === "FunctionDeclaration") {
      const { name } = statement.id;
      if (this.#bound.has(name)) this.#enclose(statement, `${BEGIN}${name} = `, END);
      else this.#functions.push(name);
    }
  }

  #enclose({ start, end }: Statement, before: string, behind: string): void {
    this.#text.appendLeft(start, before);
    // Before all else that stands here: it was put in before what follows, and that may begin right here.
    this.#text.prependLeft(end, behind);
  }

  #declaration(declaration: VariableDeclaration): void {
    const { kind } = declaration;
    const names = declaration.declarations.flatMap((declarator) => namesOf(declarator.id));
    if (kind !== "var") for (const name of names) this.#lexical.add(name);
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
      if (!this.#bound.has(name)) this.#declareBeside(declaration, name);
      else if (declaration.kind === "const") this.#boundConstants.add(name);
    }
    this.#text.overwrite(declaration.start, declaration.start + declaration.kind.length, `${BEGIN}(`);
    for (const declarator of declaration.declarations) {
      if (declarator.init) continue;
      const [name = ""] = namesOf(declarator.id);
      // A binding begins with the bound value, and a `var` keeps the value that it has.
      const isKept = this.#bound.has(name) || declaration.kind === "var";
      this.#text.overwrite(declarator.start, declarator.end, isKept ? "0" : `${name} = void 0`);
    }
    const last = declaration.declarations.at(-1) as VariableDeclarator;
    if (last.end === declaration.end) this.#text.appendLeft(last.end, `)${END}`);
    else {
      this.#text.appendLeft(last.end, ")");
      // In place of its semicolon: before an `else` there is room for one statement. What others put in behind it stays.
      this.#text.update(declaration.end - 1, declaration.end, END);
    }
  }

  /** A name that is declared together with a binding, and is none. */
  #declareBeside({ kind }: VariableDeclaration, name: string): void {
    if (kind === "var") this.#hoisted.add(name);
    else (kind === "const" ? this.#constants : this.#variables).add(name);
  }

  /**
   * Sloppy code assigns a function of a block to the `var` of its name, unless a `let` or the like of that name stands around. The source's
   * own have become `var`, so one that nobody sees is put around the block.
   */
  functionsInBlocks(program: Program): void {
    if (this.#lexical.size === 0) return;
    recursive(program, undefined, {
      Function: () => undefined,
      StaticBlock: () => undefined,
      BlockStatement: (node, state, visit) => {
        const names = this.#hidden(node.body);
        if (names.length > 0) {
          // Inside: what is a block of a `try` has to stay one.
          this.#text.appendLeft(node.start + 1, `let ${names};{`);
          this.#text.appendRight(node.end - 1, END);
        }
        base.BlockStatement?.(node, state, visit);
      },
      IfStatement: (node, state, visit) => {
        for (const branch of [node.consequent, node.alternate]) {
          const names = branch ? this.#hidden([branch]) : [];
          if (branch && names.length > 0) this.#enclose(branch, `{let ${names};{`, "}}");
        }
        base.IfStatement?.(node, state, visit);
      },
      SwitchStatement: (node, state, visit) => {
        const names = this.#hidden(node.cases.flatMap(({ consequent }) => consequent));
        // What is switched on would find it as well: then it is left out.
        const given = this.#text.original.slice(node.discriminant.start, node.discriminant.end);
        if (names.length > 0 && !names.some((name) => given.includes(name))) this.#enclose(node, `{let ${names};`, END);
        base.SwitchStatement?.(node, state, visit);
      },
    });
  }

  /** Names of functions among the statements of a block that the source declares otherwise at top level. */
  #hidden(statements: readonly Statement[]): string[] {
    const names = new Set<string>();
    for (const statement of statements) {
      if (statement.type !== "FunctionDeclaration" || statement.async || statement.generator) continue;
      if (this.#lexical.has(statement.id.name)) names.add(statement.id.name);
    }
    return [...names];
  }

  /** `var` inside blocks and loop heads reaches the top level too. */
  nestedVars(program: Program): void {
    const topLevel = new Set<unknown>(program.body);
    const heads = new Set<unknown>();
    const moved = new Set<unknown>();
    recursive(program, undefined, {
      Function: () => undefined,
      StaticBlock: () => undefined,
      ForStatement: (node, state, visit) => {
        heads.add(node.init);
        base.ForStatement?.(node, state, visit);
      },
      ForInStatement: (node, state, visit) => {
        heads.add(node.left);
        base.ForInStatement?.(node, state, visit);
      },
      ForOfStatement: (node, state, visit) => {
        heads.add(node.left);
        if (node.await) moved.add(node.left);
        base.ForOfStatement?.(node, state, visit);
      },
      VariableDeclaration: (node, _state, visit) => {
        for (const declarator of node.declarations) if (declarator.init) visit(declarator.init, undefined);
        if (node.kind !== "var" || topLevel.has(node)) return;
        const names = node.declarations.flatMap((declarator) => namesOf(declarator.id));
        // The rewrite for locals has moved the pattern of a loop that awaits into its body. There `var` finds the binding by itself.
        const isMoved = moved.has(node) && node.declarations[0]?.id.type !== "Identifier";
        if (isMoved || !names.some((name) => this.#bound.has(name))) for (const name of names) this.#vars.add(name);
        else if (heads.has(node)) this.#assignInHead(node, names);
        else this.#assignInstead(node, names);
      },
    });
  }

  /** In the head of a loop what is declared can be what is assigned, or an expression. */
  #assignInHead(node: VariableDeclaration, names: readonly string[]): void {
    for (const name of names) if (!this.#bound.has(name)) this.#declareBeside(node, name);
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
    const vars = this.#hoisted.size === 0 ? "" : `var ${[...this.#hoisted].join(",")};`;
    const hoisted = functions === "" ? vars : `${vars}${SCOPE_NAME}.declareFunctions({${functions}});`;
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
