/**
 * The rewrite by which an execution is followed through its awaits. The engine's own `await` asks nobody when it goes on, so
 * sources say it themselves: each expression that suspends notes the context that it runs in and, when it goes on, hands it to
 * the kernel. guest/continuations.ts and guest/iterations.ts have the functions that
 * the rewritten source calls:
 *
 * - `c()` gives the current context;
 * - `s(context, value)` makes it the current one if the job that runs has none yet, and gives the value;
 * - `y(context, value)` does the same, and gives the context that is then current; `k()` then gives the value;
 * - `r(value)` gives what is awaited instead of a value: for a thenable, one that is asked in the current context;
 * - `a(iterable)` gives what is iterated instead, for the thenables that an ordinary iterator gives; `i(iterable)` too, for a
 *   loop, whose body then begins with `b(context, loop, value)`, and of which `o(loop)` tells whether its iterator has to be waited
 *   for, and `w(loop)` for what;
 * - `m(specifier)` notes the context of an import.
 *
 * | source | becomes |
 * |---|---|
 * | `await e` | `s(c(), await r(e))`: `c()` is evaluated before the await |
 * | `return e`, and the expression body of an arrow function | `return r(e)` |
 * | `yield e` in an async generator | `k(context = y(c(), yield r(e)))`: as for `await`, and noted for the whole generator |
 * | `yield* e` in an async generator | `k(context = y(context = a(e), yield* context))` |
 * | `try`, where it suspends | the context is noted before, and restored first thing in `catch` and `finally`; `catch (p)` is bound behind that |
 * | `for await (p of e) B` | of `i(e)`; noted before; restored first thing in the body, and whichever way the loop is left, when the iterator is closed |
 * | `import(e)` | `import(m(e))` |
 * | `for (p of e) B`, where it suspends | restored whichever way the body is left, before the iterator is closed |
 *
 * What is put in is marked, so that `toString` of a function can give the text that its author wrote: guest/function-text.ts.
 */
import type * as acorn from "acorn";
import { type RecursiveVisitors, recursive, type WalkerCallback } from "acorn-walk";
import type MagicString from "magic-string";
import { placeOf } from "./positions.js";
import { SourceError } from "./source-error.js";
import { SCOPE_NAME } from "./top-level.js";

const CONTEXT = `${SCOPE_NAME}c`;
const LOOP = `${SCOPE_NAME}i`;
const VALUE = `${SCOPE_NAME}v`;
const RESTORED = `${SCOPE_NAME}x`;

/** How a name begins, or a word of the language. */
const NAME = /^[\p{ID_Start}$_\\]/u;

const SUSPENDS = /\b(?:await|async|import)\b/;

/** False for a source that has nothing to rewrite, and need not be parsed for this. */
export function maySuspend(code: string): boolean {
  return SUSPENDS.test(code);
}

/** @throws SourceError where the source has the kernel's name */
export function refuseScopeName(code: string): void {
  if (!usesScopeName(code)) return;
  const at = Math.max(0, code.indexOf(SCOPE_NAME));
  throw new SourceError(`the name ${SCOPE_NAME} is the session's own; choose another`, placeOf(code, at));
}

/** True for a source that has the kernel's name anywhere, also written with escapes. */
export function usesScopeName(code: string): boolean {
  return code.includes(SCOPE_NAME) || unescaped(code).includes(SCOPE_NAME);
}

/** Code as it is when characters that names may be written with are no escapes; in strings and comments they are undone too. */
export function unescaped(code: string): string {
  if (!code.includes("\\u")) return code;
  return code.replace(/\\u(?:\{0*([0-9a-f]{1,6})\}|([0-9a-f]{4}))/gi, (whole, braced, plain) => {
    const point = Number.parseInt(braced ?? plain, 16);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}

/** What kind of code surrounds a node. */
type Kind = "sync" | "async" | "asyncGenerator";

/**
 * Rewrites a program in place. Other rewrites of the same text come after it: what they put in at the end of something has to
 * stand behind what this puts in there.
 *
 * @param topLevel whether code outside functions may suspend
 */
export function rewriteForLocals(program: acorn.Program, text: MagicString, topLevel: "sync" | "async"): void {
  const suspending = suspendingStatements(program);
  recursive(program, topLevel as Kind, new LocalsRewrite(text, suspending).visitors);
}

/** Statements that code inside of them may leave, or go on in, after it was suspended. */
type Guarded = acorn.TryStatement | acorn.ForOfStatement;

/** What is around a place in its function. */
interface Around {
  readonly statements: readonly Guarded[];
  /** A `return` awaits what it gives before it leaves anything. */
  readonly isAsyncGenerator: boolean;
}

function suspendingStatements(program: acorn.Program): ReadonlySet<acorn.Node> {
  const found = new Set<acorn.Node>();
  const inFunction = (node: acorn.Function, _around: Around, visit: WalkerCallback<Around>): void => {
    const around = { statements: [], isAsyncGenerator: node.async && node.generator };
    for (const parameter of node.params) visit(parameter, around);
    visit(node.body, around);
  };
  const within = (around: Around, node: Guarded): Around => ({ ...around, statements: [...around.statements, node] });
  // What is around a statement that was found was found with it.
  const mark = ({ statements }: Around): void => {
    for (let i = statements.length - 1; i >= 0; i--) {
      const statement = statements[i] as Guarded;
      if (found.has(statement)) return;
      found.add(statement);
    }
  };
  recursive<Around>(
    program,
    { statements: [], isAsyncGenerator: false },
    {
      FunctionDeclaration: inFunction,
      FunctionExpression: inFunction,
      ArrowFunctionExpression: inFunction,
      AwaitExpression: (node, around, visit) => {
        mark(around);
        visit(node.argument, around);
      },
      YieldExpression: (node, around, visit) => {
        mark(around);
        if (node.argument) visit(node.argument, around);
      },
      ReturnStatement: (node, around, visit) => {
        if (!node.argument) return;
        if (around.isAsyncGenerator) mark(around);
        visit(node.argument, around);
      },
      TryStatement: (node, around, visit) => {
        const inside = within(around, node);
        visit(node.block, inside);
        if (node.handler) visit(node.handler, inside);
        if (node.finalizer) visit(node.finalizer, around);
      },
      ForOfStatement: (node, around, visit) => {
        const inside = within(around, node);
        if (node.await) mark(inside);
        visit(node.left, inside);
        visit(node.right, around);
        visit(node.body, inside);
      },
    },
  );
  return found;
}

class LocalsRewrite {
  readonly #text: MagicString;
  readonly #suspending: ReadonlySet<acorn.Node>;

  constructor(text: MagicString, suspending: ReadonlySet<acorn.Node>) {
    this.#text = text;
    this.#suspending = suspending;
  }

  readonly visitors: RecursiveVisitors<Kind> = {
    FunctionDeclaration: (node, _kind, visit) => this.#function(node, visit),
    FunctionExpression: (node, _kind, visit) => this.#function(node, visit),
    ArrowFunctionExpression: (node, _kind, visit) => this.#function(node, visit),
    StaticBlock: (node, _kind, visit) => {
      for (const statement of node.body) visit(statement, "sync");
    },
    AwaitExpression: (node, kind, visit) => {
      this.#restoring(node, () => this.#awaited(node.argument, kind, visit));
    },
    YieldExpression: (node, kind, visit) => {
      const { argument, delegate } = node;
      if (kind !== "asyncGenerator") {
        if (argument) visit(argument, kind);
        return;
      }
      // Whoever asks for the next value may run in another context.
      const open = `${SCOPE_NAME}.k(${CONTEXT}=${SCOPE_NAME}.y(`;
      if (argument && delegate) {
        // Behind the star the argument may stand in parentheses, or on a line of its own: both stay where they are.
        const start = node.start + this.#original(node.start, argument.start).indexOf("*") + 1;
        this.#text.overwrite(node.start, start, marked(`${open}${CONTEXT}=`, this.#original(node.start, start)));
        this.#given("l().delegated", argument, kind, visit);
        this.#insert(node.end, `,yield*${CONTEXT}))`);
      } else {
        this.#insert(node.start, `${open}${SCOPE_NAME}.c(),`);
        if (argument) this.#given("r", argument, kind, visit);
        this.#insert(node.end, "))");
      }
    },
    ImportExpression: (node, kind, visit) => {
      this.#given("i().noteImport", node.source, kind, visit);
      if (node.options) visit(node.options, kind);
    },
    ReturnStatement: (node, kind, visit) => {
      if (!node.argument) return;
      if (kind === "sync") visit(node.argument, kind);
      else this.#awaited(node.argument, kind, visit);
    },
    TryStatement: (node, kind, visit) => this.#try(node, kind, visit),
    ForOfStatement: (node, kind, visit) => {
      if (node.await) this.#forAwait(node, [], kind, visit);
      else this.#forOf(node, kind, visit);
    },
    LabeledStatement: (node, kind, visit) => {
      const labels = [node];
      let { body } = node;
      while (body.type === "LabeledStatement") {
        labels.push(body);
        body = body.body;
      }
      // `continue` needs its label right before the loop, so both go inside together.
      if (body.type === "ForOfStatement" && body.await) this.#forAwait(body, labels, kind, visit);
      else visit(body, kind);
    },
  };

  /** Puts code in that was not there. Inner nodes come later before a place and earlier behind it, so this order is right. */
  #insert(at: number, code: string): void {
    this.#text.appendLeft(at, marked(code));
  }

  /**
   * Puts code in behind a statement. Where that has no semicolon it may end with a declaration, and what other rewrites put in behind
   * the declaration comes first. Right before a word it does not end so, and there what is put in before the word comes last.
   */
  #insertBehind(end: number, code: string): void {
    if (NAME.test(this.#original(end, end + 2))) this.#insert(end, code);
    else this.#text.appendRight(end, marked(code));
  }

  #original(start: number, end: number): string {
    return this.#text.original.slice(start, end);
  }

  #function(node: acorn.Function, visit: WalkerCallback<Kind>): void {
    const kind = !node.async ? "sync" : node.generator ? "asyncGenerator" : "async";
    for (const parameter of node.params) visit(parameter, "sync");
    if (kind === "asyncGenerator" && node.body.type === "BlockStatement") {
      const first = node.body.body.find((statement) => !("directive" in statement));
      if (first !== undefined) this.#insert(first.start, `let ${CONTEXT}=${SCOPE_NAME}.c();`);
    }
    if (!node.expression || kind === "sync") visit(node.body, kind);
    else this.#awaited(node.body as acorn.Expression, kind, visit);
  }

  #restoring(node: acorn.Node, inside: () => void): void {
    this.#insert(node.start, `${SCOPE_NAME}.s(${SCOPE_NAME}.c(),`);
    inside();
    this.#insert(node.end, ")");
  }

  /** An expression whose value the engine is going to await. */
  #awaited(node: acorn.Expression, kind: Kind, visit: WalkerCallback<Kind>): void {
    if (node.type !== "Literal") this.#given("r", node, kind, visit);
  }

  /** An expression whose value the engine gets by way of the kernel. */
  #given(
    by: "l().delegated" | "l().beginLoop" | "i().noteImport" | "r",
    node: acorn.Expression,
    kind: Kind,
    visit: WalkerCallback<Kind>,
  ): void {
    const isSequence = node.type === "SequenceExpression";
    // The space: `await[x]` is a token and a bracket, `await$livescope$` would be one token.
    this.#insert(node.start, ` ${SCOPE_NAME}.${by}(${isSequence ? "(" : ""}`);
    visit(node, kind);
    this.#insert(node.end, isSequence ? "))" : ")");
  }

  #try(node: acorn.TryStatement, kind: Kind, visit: WalkerCallback<Kind>): void {
    const { block, handler, finalizer } = node;
    const suspends = kind !== "sync" && this.#suspending.has(node);
    if (suspends) this.#insert(node.start, `{${note(kind)}`);
    visit(block, kind);
    if (handler) {
      const { param, body } = handler;
      if (param) visit(param, kind);
      const isPattern = param && param.type !== "Identifier";
      if (suspends && isPattern) this.#bindCaught(param, body, kind);
      else if (suspends) this.#insert(body.start + 1, restore(kind));
      visit(body, kind);
      if (suspends && isPattern) this.#insert(body.end, "}");
    }
    if (finalizer) {
      if (suspends) this.#insert(finalizer.start + 1, restore(kind));
      visit(finalizer, kind);
    }
    if (suspends) this.#insertBehind(node.end, "}");
  }

  /** Binding a pattern runs code, and so it goes behind the restoring; itself, so that its places stay. */
  #bindCaught({ start, end }: acorn.Pattern, body: acorn.BlockStatement, kind: Kind): void {
    const [before, behind] = [`{${restore(kind)}let `, `=${VALUE};`];
    const pattern = this.#text.slice(start, end);
    this.#text.appendLeft(start, marked(VALUE, this.#original(start, end)));
    this.#text.prependRight(start, markOf(before + pattern + behind) + before);
    this.#text.appendLeft(end, behind);
    this.#text.move(start, end, body.start);
  }

  #forAwait(node: acorn.ForOfStatement, labels: readonly acorn.Node[], kind: Kind, visit: WalkerCallback<Kind>): void {
    const { left, right, body } = node;
    const { start } = labels[0] ?? node;
    this.#insert(start, `{${note(kind)}let ${LOOP};try{`);
    const target = left.type === "VariableDeclaration" ? left.declarations[0]?.id : left;
    visit(left, kind);
    // Binding a name runs nothing; a pattern may, and so goes into the body, behind the restoring.
    const isName = target?.type === "Identifier";
    const pattern = isName ? "" : this.#text.slice(left.start, left.end);
    if (!isName) this.#text.appendLeft(left.start, marked(`const ${VALUE}`, this.#original(left.start, left.end)));
    this.#insert(right.start, `${LOOP}=`);
    this.#given("l().beginLoop", right, kind, visit);
    const value = `${SCOPE_NAME}.l().beginBody(${CONTEXT},${LOOP}${isName ? "" : `,${VALUE}`})`;
    const isDeclared = left.type === "VariableDeclaration";
    const [before, behind] = isName
      ? [`{const ${RESTORED}=`, `${value};`]
      : isDeclared
        ? ["{", `=${value};`]
        : // A target that is no pattern is evaluated before what is assigned to it.
          [`{const ${RESTORED}=(${value},`, `=${VALUE});`];
    if (isName) this.#insert(body.start, before + behind);
    else {
      // It goes there itself, so that its places stay: before what is put in at the begin of the body, and so before the parenthesis too.
      const end = this.#endOfHead(right.end, body.start);
      this.#text.remove(end, end + 1);
      this.#text.prependRight(left.start, `${markOf(`)${before}${pattern}${behind}`, ")")})${before}`);
      this.#text.appendLeft(left.end, behind);
      this.#text.move(left.start, left.end, end);
    }
    visit(body, kind);
    this.#insertBehind(body.end, "}");
    this.#insertBehind(
      node.end,
      `}catch(${VALUE}){${closed("catch{}", kind)}throw ${VALUE}}finally{${closed("", kind)}}}`,
    );
  }

  /** Where the parenthesis stands that ends the head of a loop: behind it are but white space and comments. */
  #endOfHead(from: number, body: number): number {
    const plain = this.#original(from, body).replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, (comment) =>
      " ".repeat(comment.length),
    );
    return from + plain.lastIndexOf(")");
  }

  #forOf(node: acorn.ForOfStatement, kind: Kind, visit: WalkerCallback<Kind>): void {
    const { left, right, body } = node;
    const suspends = kind !== "sync" && this.#suspending.has(node);
    visit(left, kind);
    visit(right, kind);
    if (suspends) this.#insert(body.start, `{${note(kind)}try{`);
    visit(body, kind);
    if (suspends) this.#insertBehind(body.end, `}finally{${restore(kind)}}}`);
  }
}

/** Notes the context of a statement; a generator has one for all that it does until the next value is asked for. */
function note(kind: Kind): string {
  return kind === "asyncGenerator" ? "" : `const ${CONTEXT}=${SCOPE_NAME}.c();`;
}

/** A declaration, because it changes no completion value. */
function restore(kind: Kind): string {
  // What a generator goes on in after an error is the context of who threw it in.
  const restored = kind === "asyncGenerator" ? `${CONTEXT}=${SCOPE_NAME}.y(${CONTEXT})` : `${SCOPE_NAME}.s(${CONTEXT})`;
  return `const ${RESTORED}=${restored};`;
}

/** Restores the context, and waits until a loop's iterator is closed. @param failed what becomes of an error in that */
function closed(failed: string, kind: Kind): string {
  const wait = `try{if(${SCOPE_NAME}.l().isClosing(${LOOP}))await ${SCOPE_NAME}.l().closing(${LOOP})}${failed}finally{${restore("async")}}`;
  return `${restore(kind)}{${note("async")}${wait}}`;
}

/**
 * Code that the author did not write: a comment says how long it is, and what it stands for.
 *
 * @param original what it replaces
 */
export function marked(code: string, original = ""): string {
  return markOf(code, original) + code;
}

/** What stands before code that was put in. */
function markOf(code: string, original = ""): string {
  const text = original.replaceAll("\\", "\\\\").replaceAll("*/", "*\\/");
  return `/*${SCOPE_NAME}${code.length}${original === "" ? "" : `-${text}`}*/`;
}
