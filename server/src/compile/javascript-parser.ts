/**
 * The parser of JavaScript, as everything uses it that compiles sources: acorn, which here knows a division from a regular expression, and
 * which names a scope has.
 */
import * as acorn from "acorn";

/** What acorn's types do not tell. */
interface Tokens {
  /** What comes next is an operand: a `/` begins a regular expression. */
  exprAllowed: boolean;
  readonly type: acorn.TokenType;
  updateContext(before: acorn.TokenType): void;
  inGeneratorContext(): boolean;
  parseYield(...args: unknown[]): acorn.Node;
  parseAwait(...args: unknown[]): acorn.Node;
}
interface Scopes {
  enterScope(flags: number): void;
  currentScope(): Scope;
}
interface Scope {
  var: Variables;
  lexical: Names;
  functions: Names;
}
/** The flags of scopes that a `var` does not leave: acorn's SCOPE_VAR. */
const FUNCTION = 1 | 2 | 256;

/**
 * acorn (8.19) tells by the tokens before whether what comes next is an operand, and guesses where `yield` and `await` are operators: in
 * methods and behind arrow functions it took `/a/` for divisions. And it looks at no `?.` when it takes a word for one of the language's:
 * in `a?.in / 2` the division began a regular expression.
 */
function knowOperands(Base: typeof acorn.Parser): typeof acorn.Parser {
  const Guessing = Base as unknown as new (...args: unknown[]) => Tokens;
  class Knowing extends Guessing {
    override updateContext(before: acorn.TokenType): void {
      super.updateContext(before);
      const isWord = this.type === acorn.tokTypes.name || this.type.keyword !== undefined;
      if (before === acorn.tokTypes.questionDot && isWord) this.exprAllowed = false;
    }

    override inGeneratorContext(): boolean {
      return false;
    }

    override parseYield(...args: unknown[]): acorn.Node {
      this.exprAllowed = true;
      return super.parseYield(...args);
    }

    override parseAwait(...args: unknown[]): acorn.Node {
      this.exprAllowed = true;
      return super.parseAwait(...args);
    }
  }
  return Knowing as unknown as typeof acorn.Parser;
}

/** Names that a scope declares: as much of an array as acorn asks for. An array it would look through for each name. */
class Names {
  /** The first. */
  0?: string;
  #known: Set<string> | undefined;

  push(name: string): void {
    this[0] ??= name;
    this.#known ??= new Set();
    this.#known.add(name);
  }

  indexOf(name: string): number {
    return this.#known?.has(name) === true ? 0 : -1;
  }
}

/** The same for `var`, which declares a name in all blocks that it stands in: the function has it, and a block what came since it began. */
class Variables {
  readonly #function: Variables;
  readonly #begin: number;
  /** How many were there before the last of a name. */
  #known: Map<string, number> | undefined;
  #count = 0;

  /** @param around those of the scope around a block */
  constructor(around: Variables | undefined) {
    this.#function = around === undefined ? this : around.#function;
    this.#begin = this.#function.#count;
  }

  push(name: string): void {
    if (this.#function !== this) return;
    this.#known ??= new Map();
    this.#known.set(name, this.#count++);
  }

  indexOf(name: string): number {
    const last = this.#function.#known?.get(name) ?? -1;
    return last < this.#begin ? -1 : last;
  }
}

function knowNames(Base: typeof acorn.Parser): typeof acorn.Parser {
  const Known = Base as unknown as new (...args: unknown[]) => Scopes;
  class Knowing extends Known {
    override enterScope(flags: number): void {
      const around = (flags & FUNCTION) === 0 ? this.currentScope().var : undefined;
      super.enterScope(flags);
      const known: Scope = { var: new Variables(around), lexical: new Names(), functions: new Names() };
      Object.assign(this.currentScope(), known);
    }
  }
  return Knowing as unknown as typeof acorn.Parser;
}

const JavaScript = acorn.Parser.extend(knowOperands, knowNames);

/** As acorn's own. @throws SyntaxError as acorn does, with `pos` and `loc` */
export const parse: typeof acorn.Parser.parse = (input, options) => JavaScript.parse(input, options);

/** As acorn's own. @throws SyntaxError as acorn does, with `pos` and `loc` */
export const parseExpressionAt: typeof acorn.Parser.parseExpressionAt = (input, pos, options) =>
  JavaScript.parseExpressionAt(input, pos, options);
