/** The parser of JavaScript, as everything uses it that compiles sources: acorn, which here knows a division from a regular expression. */
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

const JavaScript = acorn.Parser.extend(knowOperands);

/** As acorn's own. @throws SyntaxError as acorn does, with `pos` and `loc` */
export const parse: typeof acorn.Parser.parse = (input, options) => JavaScript.parse(input, options);

/** As acorn's own. @throws SyntaxError as acorn does, with `pos` and `loc` */
export const parseExpressionAt: typeof acorn.Parser.parseExpressionAt = (input, pos, options) =>
  JavaScript.parseExpressionAt(input, pos, options);
