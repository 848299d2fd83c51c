/**
 * The JavaScript inside a template's tags. Where a tag ends is where its code can end: `}}` inside a string, a regular
 * expression or an object does not end it. So code is parsed up to each end mark in turn, as long as what stands there is the
 * beginning of something.
 */
import type { Expression, Node, Pattern, Program, VariableDeclaration } from "acorn";
import { recursive } from "acorn-walk";
import { parse, parseExpressionAt } from "./javascript-parser.js";
import { unescaped, usesScopeName } from "./locals-transform.js";
import { type Assignment, type Code, type Escaping, TemplateSyntaxError } from "./template-nodes.js";
import { SCOPE_NAME } from "./top-level.js";

/** Reads what stands between two places; throws what acorn throws. */
type Read<T> = (text: string, offset: number) => T;

/** UTF-16 units that are read, in all, to find the end of one tag. */
const MOST_READ = 1 << 20;

/** As the engine reads what the template becomes, which is a strict script: to a module `<!--` is no comment. */
const OPTIONS = {
  ecmaVersion: "latest",
  sourceType: "script",
  strict: true,
  allowAwaitOutsideFunction: true,
  preserveParens: true,
} as const;

export const NAME = "[\\p{ID_Start}$_][\\p{ID_Continue}$\\u200c\\u200d]*";
/** `a` and `a.b.c` need no parser, if the first is no word of the language. */
const SIMPLE = /^\s*([A-Za-z_$][\w$]*)(?:\.[A-Za-z_$][\w$]*)*\s*$/;
const WORDS: ReadonlySet<string> = new Set(
  (
    "arguments await break case catch class const continue debugger default delete do else enum eval export extends " +
    "finally for function if implements import in instanceof interface let new package private protected public return " +
    "static super switch throw try typeof var void while with yield"
  ).split(" "),
);

/**
 * Reads the code of a tag that ends in `mark`.
 *
 * @param from where the code begins
 * @returns what was read, and where the end mark stands
 * @throws TemplateSyntaxError
 */
export function readUntil<T>(text: string, from: number, mark: string, read: Read<T>): { read: T; end: number } {
  let first: TemplateSyntaxError | undefined;
  let end = text.indexOf(mark, from);
  for (let units = 0; end >= 0 && units < MOST_READ; units += end - from) {
    const found = readTo(text, from, end, read);
    if (!(found instanceof TemplateSyntaxError)) return { ...found, end };
    first ??= found.offset > end ? new TemplateSyntaxError(found.message, end) : found;
    const isBeginning = found.offset >= end || /^Unterminated /.test(found.message);
    if (!isBeginning) throw first;
    if (units === 0) {
      const likely = likelyEnd(text, from, mark);
      const there = likely > end ? readTo(text, from, likely, read) : found;
      if (!(there instanceof TemplateSyntaxError)) return { ...there, end: likely };
    }
    end = text.indexOf(mark, end + 1);
  }
  throw first ?? new TemplateSyntaxError(`Missing ${mark}`, from);
}

function readTo<T>(text: string, from: number, end: number, read: Read<T>): { read: T } | TemplateSyntaxError {
  const code = text.slice(from, end);
  try {
    const result = { read: read(code, from) };
    if (!usesScopeName(code)) return result;
  } catch (error) {
    return syntaxErrorOf(error, from);
  }
  const message = `the name ${SCOPE_NAME} is the session's own; choose another`;
  return new TemplateSyntaxError(message, from + Math.max(0, code.indexOf(SCOPE_NAME)));
}

/** Where the mark stands behind an expression that is read without regard to marks; so long code need not be read up to each. */
function likelyEnd(text: string, from: number, mark: string): number {
  let end: number;
  // A comment may reach beyond the mark that ends the tag.
  let hasComment = false;
  const onComment = (): void => {
    hasComment = true;
  };
  try {
    end = from + parseExpressionAt(text.slice(from), 0, { ...OPTIONS, onComment }).end;
  } catch (error) {
    // The first sign of `%}` could go on with the expression, the second cannot.
    end = syntaxErrorOf(error, from).offset - 1;
  }
  return hasComment ? -1 : text.indexOf(mark, end);
}

/** What acorn found wrong. @param offset of the text that it was given, in the template's */
function syntaxErrorOf(error: unknown, offset: number): TemplateSyntaxError {
  if (error instanceof TemplateSyntaxError) return error;
  if (error instanceof SyntaxError && "pos" in error && typeof error.pos === "number") {
    return new TemplateSyntaxError(error.message.replace(/ \(\d+:\d+\)$/, ""), offset + error.pos);
  }
  if (!(error instanceof RangeError)) throw error;
  return new TemplateSyntaxError("the expression is nested too deeply", offset);
}

/** @returns a node whose places are one further to the right than in the text */
function parsed(text: string, offset: number): Expression {
  if (text.trim() === "") throw new TemplateSyntaxError("Empty expression", offset);
  // The line break ends a comment that has none of its own.
  const wrapped = `(${text}\n)`;
  try {
    const node = parseExpressionAt(wrapped, 0, OPTIONS);
    if (node.type === "ParenthesizedExpression" && node.end === wrapped.length) {
      refuseArguments(node, text, offset - 1);
      return node.expression;
    }
  } catch (error) {
    throw syntaxErrorOf(error, offset - 1);
  }
  // It closes the parenthesis that it did not open.
  const { end } = parseExpressionAt(text, 0, OPTIONS);
  throw new TemplateSyntaxError("Unexpected token", offset + text.indexOf(")", end));
}

/**
 * Outside of the author's functions they would be those of the function that the template becomes.
 *
 * @param offset of the text that the node's places are in
 */
function refuseArguments(node: Node, text: string, offset: number): void {
  if (!unescaped(text).includes("arguments")) return;
  recursive(node, undefined, {
    FunctionDeclaration: () => undefined,
    FunctionExpression: () => undefined,
    Identifier: ({ name, start }) => {
      if (name === "arguments") throw new TemplateSyntaxError("arguments stands outside of a function", offset + start);
    },
  });
}

/** An expression, comments and white space around it included. */
export function readExpression(text: string, offset: number): Code {
  const [, word] = SIMPLE.exec(text) ?? [];
  if (word === undefined || WORDS.has(word)) parsed(text, offset);
  return codeOf(text, offset);
}

/** Without white space around it: errors point at it. */
function codeOf(text: string, offset: number): Code {
  const start = text.trimStart();
  return { text: start.trimEnd(), offset: offset + text.length - start.length };
}

function codeOfNode(text: string, offset: number, { start, end }: { start: number; end: number }): Code {
  return { text: text.slice(start - 1, end - 1), offset: offset + start - 1 };
}

export interface ForHead {
  readonly target: Code;
  readonly names: readonly string[];
  readonly isAsync: boolean;
  readonly iterable: Code;
}

const NAMES_WITHOUT_BRACKETS = new RegExp(`^(\\s*)(${NAME}(?:\\s*,\\s*${NAME})+)(?=\\s+(?:of|in)\\s)`, "u");
const FOR = "for(const ";
const FOR_FORM = "A for has to say {% for NAME of LIST %}";

/** `x of xs`, `[k, v] of map`, `k, v of map`, `await x of stream()`; `in` means `of`. */
export function readForHead(given: string, offset: number): ForHead {
  const [awaits = ""] = /^\s*await(?=\s)/.exec(given) ?? [];
  const head = given.slice(awaits.length);
  const start = offset + awaits.length;
  const [list, space = "", names] = NAMES_WITHOUT_BRACKETS.exec(head) ?? [];
  // As long as what it stands for, or positions would move: the brackets stand where a space and a comma's space may be missing.
  if (list !== undefined && names !== undefined) {
    const rest = readForHead(`${"x".padStart(list.length)}${head.slice(list.length)}`, start);
    const target = { text: `[${names}]`, offset: start + space.length };
    return { ...rest, target, names: names.split(",").map((name) => name.trim()), isAsync: awaits !== "" };
  }
  const wrapped = `${FOR}${head}\n);`;
  let program: Program;
  try {
    program = parse(wrapped, OPTIONS);
  } catch (error) {
    const syntax = syntaxErrorOf(error, start - FOR.length);
    // Where it stands, and that it may be the beginning of a longer head, stays as acorn found it.
    const isIncomplete = syntax.message === "Unexpected token" && !/\s(?:of|in)\s+\S/.test(head);
    throw isIncomplete ? new TemplateSyntaxError(FOR_FORM, syntax.offset) : syntax;
  }
  const [statement] = program.body;
  if (
    (statement?.type !== "ForOfStatement" && statement?.type !== "ForInStatement") ||
    statement.body.type !== "EmptyStatement" ||
    statement.end !== wrapped.length
  ) {
    throw new TemplateSyntaxError(FOR_FORM, offset);
  }
  refuseArguments(statement, head, start - FOR.length);
  const pattern = (statement.left as VariableDeclaration).declarations[0]?.id as Pattern;
  const inHead = (node: { start: number; end: number }): Code => {
    const from = node.start - FOR.length;
    return { text: head.slice(from, node.end - FOR.length), offset: start + from };
  };
  return {
    target: inHead(pattern),
    names: allNamesOf(pattern),
    isAsync: awaits !== "",
    iterable: inHead(statement.right),
  };
}

/** `a = 1`, `a = 1, b = 2`, `[a, b] = pair`, `n += 1`, `list.length = 0`. */
export function readAssignments(text: string, offset: number): Assignment[] {
  const expression = parsed(text, offset);
  const parts = expression.type === "SequenceExpression" ? expression.expressions : [expression];
  return parts.map((part): Assignment => {
    const whole = codeOfNode(text, offset, part);
    if (part.type === "UpdateExpression") {
      const changed = nameOf(part.argument);
      return { target: undefined, names: [], isPattern: false, value: whole, changed };
    }
    if (part.type !== "AssignmentExpression") {
      throw new TemplateSyntaxError("A set has to say {% set NAME = VALUE %}", whole.offset);
    }
    const { left, operator, right } = part;
    if (operator !== "=" || left.type === "MemberExpression") {
      const changed = nameOf(left);
      return { target: undefined, names: [], isPattern: false, value: whole, changed };
    }
    const names = allNamesOf(left);
    return {
      target: codeOfNode(text, offset, left),
      names: names.filter((name) => name !== ""),
      isPattern: !names.includes(""),
      value: codeOfNode(text, offset, right),
      changed: [],
    };
  });
}

/** `x`, `x, y`, `(x, y)`: each of them. */
export function readList(text: string, offset: number): Code[] {
  let expression = parsed(text, offset);
  while (expression.type === "ParenthesizedExpression") expression = expression.expression;
  const parts = expression.type === "SequenceExpression" ? expression.expressions : [expression];
  return parts.map((part) => codeOfNode(text, offset, part));
}

/** What is to be called; `await f` is a function whose answer is awaited. */
export function readCallee(text: string, offset: number): { callee: Code; isAwaited: boolean } {
  const expression = parsed(text, offset);
  const isAwaited = expression.type === "AwaitExpression";
  return { callee: codeOfNode(text, offset, isAwaited ? expression.argument : expression), isAwaited };
}

/** What `{% autoescape %}` names: a function, or nothing. */
export function readEscaping(text: string, offset: number): Escaping {
  const code = codeOf(text, offset);
  if (code.text === "") throw new TemplateSyntaxError("{% autoescape %} needs a function, or None", code.offset);
  return /^(?:None|none|null|false)$/.test(code.text) ? "none" : readExpression(text, offset);
}

/** Names that a pattern assigns, with an empty one for what has none, such as `a.b`. */
function allNamesOf(pattern: Pattern | null): string[] {
  switch (pattern?.type) {
    case undefined:
      return [];
    case "Identifier":
      return [pattern.name];
    case "ObjectPattern":
      return pattern.properties.flatMap((property) =>
        allNamesOf(property.type === "RestElement" ? property.argument : property.value),
      );
    case "ArrayPattern":
      return pattern.elements.flatMap(allNamesOf);
    case "RestElement":
      return allNamesOf(pattern.argument);
    case "AssignmentPattern":
      return allNamesOf(pattern.left);
    default:
      // `(a)` is assigned like `a`, but cannot be declared.
      return [...nameOf(pattern), ""];
  }
}

/** The name that a target is, in parentheses or without; none for others. */
function nameOf(target: Pattern | Expression | null): string[] {
  if (target?.type === "ParenthesizedExpression") return nameOf(target.expression);
  return target?.type === "Identifier" ? [target.name] : [];
}
