/** The parser of JavaScript, as everything uses it that compiles sources: acorn, which here knows in what generators `yield` stands. */
import * as acorn from "acorn";

/** What acorn's types do not tell. */
interface Context {
  readonly generator: boolean;
}
interface Tokens {
  curContext(): Context;
  overrideContext(context: Context): void;
  inGeneratorContext(): boolean;
  readonly inGenerator: boolean;
  currentVarScope(): { readonly flags: number };
}
/** The flag of the scope of a method: acorn's SCOPE_SUPER. */
const METHOD = 64;
const { tokContexts } = acorn as unknown as { readonly tokContexts: Record<"f_expr" | "f_expr_gen", Context> };

/**
 * What a `/` behind `yield` is depends on the function around. Of that acorn (8.19) forgets a `*` that it has read behind `async function`
 * within an expression, and does not look at those of methods: it took `/a/` for divisions there.
 */
function rememberGenerators(Base: typeof acorn.Parser): typeof acorn.Parser {
  const Known = Base as unknown as new (...args: unknown[]) => Tokens;
  class Remembering extends Known {
    override overrideContext(context: Context): void {
      const isForgotten = context === tokContexts.f_expr && this.curContext().generator;
      super.overrideContext(isForgotten ? tokContexts.f_expr_gen : context);
    }

    override inGeneratorContext(): boolean {
      const isMethod = (this.currentVarScope().flags & METHOD) !== 0;
      return super.inGeneratorContext() || (isMethod && this.inGenerator);
    }
  }
  return Remembering as unknown as typeof acorn.Parser;
}

const JavaScript = acorn.Parser.extend(rememberGenerators);

/** As acorn's own. @throws SyntaxError as acorn does, with `pos` and `loc` */
export const parse: typeof acorn.Parser.parse = (input, options) => JavaScript.parse(input, options);

/** As acorn's own. @throws SyntaxError as acorn does, with `pos` and `loc` */
export const parseExpressionAt: typeof acorn.Parser.parseExpressionAt = (input, pos, options) =>
  JavaScript.parseExpressionAt(input, pos, options);
