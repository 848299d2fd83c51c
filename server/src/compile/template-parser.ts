/**
 * Reads the text of a template: Tornado's language with JavaScript in it; docs/templates.md has it whole. A pure function; what
 * belongs together over several templates is seen later, in template-generator.ts.
 */
import { readAssignments, readCallee, readEscaping, readExpression, readForHead } from "./template-expression.js";
import {
  type BlockNode,
  type Branch,
  type Code,
  type Escaping,
  type Handler,
  type IncludeNode,
  type ParsedTemplate,
  type TemplateNode,
  TemplateSyntaxError,
} from "./template-nodes.js";
import { readExceptHead, type Tag, TagReader, unknownTag } from "./template-tags.js";
import { squeezed, WHITESPACE_MODES, type WhitespaceMode } from "./template-whitespace.js";

/** Blocks inside each other; the engine's own stack bounds how deep code may be nested. */
const DEEPEST = 100;

/** @throws TemplateSyntaxError */
export function parseTemplate(text: string): ParsedTemplate {
  return new TemplateParser(text).parse();
}

/** Which tags go on with a block, beside `end`. */
const CONTINUED: Readonly<Record<string, readonly string[]>> = {
  if: ["elif", "else"],
  for: ["else"],
  while: ["else"],
  try: ["except", "else", "finally"],
  block: [],
  apply: [],
};
const CONTINUING: ReadonlySet<string> = new Set(Object.values(CONTINUED).flat());

/** What holds to the end of the block that says it. */
interface Modes {
  escaping: Escaping;
  whitespace: WhitespaceMode;
}

class TemplateParser {
  readonly #tags: TagReader;
  #modes: Modes = { escaping: "default", whitespace: "all" };
  #depth = 0;
  /** Inside a loop that a `{% break %}` here would leave. */
  #isInLoop = false;
  #extended: IncludeNode | undefined;
  readonly #parts: (BlockNode | IncludeNode)[] = [];

  constructor(text: string) {
    this.#tags = new TagReader(text);
  }

  parse(): ParsedTemplate {
    const { body, next } = this.#body();
    if (next?.word === "end") throw new TemplateSyntaxError("Extra {% end %}", next.offset);
    if (next !== undefined) {
      throw new TemplateSyntaxError(`{% ${next.word} %} stands outside of what it could belong to`, next.offset);
    }
    // A block is read after what stands in it.
    const parts = this.#parts.toSorted((a, b) => a.offset - b.offset);
    return { text: this.#tags.text, body, extended: this.#extended, parts };
  }

  /** @returns what stands before the next tag that ends or continues the block, and that tag */
  #body(): { body: TemplateNode[]; next: Tag | undefined } {
    const modes = this.#modes;
    this.#modes = { ...modes };
    const body: TemplateNode[] = [];
    let next: Tag | undefined;
    for (;;) {
      const start = this.#tags.findTag();
      this.#addText(body, this.#tags.at, start ?? this.#tags.text.length);
      if (start === undefined) break;
      next = this.#readTag(body, start);
      if (next !== undefined) break;
    }
    this.#modes = modes;
    return { body, next };
  }

  #addText(body: TemplateNode[], start: number, end: number): void {
    if (start >= end) return;
    body.push({
      kind: "text",
      text: squeezed(this.#tags.text.slice(start, end), this.#modes.whitespace),
      offset: start,
    });
  }

  /** Reads one tag. @returns one that ends or continues the block, of which only the word was read */
  #readTag(body: TemplateNode[], offset: number): Tag | undefined {
    const text = this.#tags.text;
    const from = offset + 2;
    if (text[from] === "!") {
      body.push({ kind: "text", text: text.slice(offset, from), offset });
      this.#tags.at = from + 1;
      return undefined;
    }
    switch (text[offset + 1]) {
      case "#":
        this.#tags.skipTo("#}", from, "Missing end of comment #}", offset);
        return undefined;
      case "{":
        body.push({
          kind: "print",
          value: this.#tags.read("}}", from, readExpression),
          escaping: this.#modes.escaping,
        });
        return undefined;
      default: {
        const tag = this.#tags.tagAt(offset);
        if (tag.word === "end" || CONTINUING.has(tag.word)) return tag;
        this.#readStatement(body, tag);
        return undefined;
      }
    }
  }

  #readStatement(body: TemplateNode[], tag: Tag): void {
    const { word, offset } = tag;
    switch (word) {
      case "comment":
        return this.#tags.skipTo("%}", this.#tags.at, "Missing %}", offset);
      case "raw":
        return void body.push({ kind: "print", value: this.#tags.code(readExpression), escaping: "none" });
      case "set":
        return void body.push({ kind: "set", assignments: this.#tags.code(readAssignments), offset });
      case "include":
        return void body.push(this.#part(this.#tags.reference(tag)));
      case "extends":
        if (this.#extended !== undefined) throw new TemplateSyntaxError("A template extends one other at most", offset);
        if (this.#depth > 0) throw new TemplateSyntaxError("{% extends %} stands inside a block", offset);
        this.#extended = this.#tags.reference(tag);
        return;
      case "autoescape":
        this.#modes.escaping = this.#tags.code(readEscaping);
        return;
      case "whitespace":
        return this.#setWhitespace(offset);
      case "break":
      case "continue":
        if (!this.#isInLoop) throw new TemplateSyntaxError(`{% ${word} %} stands outside of for and while`, offset);
        this.#tags.nothingMore(word);
        return void body.push({ kind: word, offset });
      default:
        if (!Object.hasOwn(CONTINUED, word)) throw new TemplateSyntaxError(unknownTag(word), offset);
        return this.#readBlock(body, tag);
    }
  }

  #readBlock(body: TemplateNode[], tag: Tag): void {
    if (++this.#depth > DEEPEST)
      throw new TemplateSyntaxError(`More than ${DEEPEST} blocks inside each other`, tag.offset);
    const isInLoop = this.#isInLoop;
    // What apply takes is a text of its own, which nothing leaves half-way.
    this.#isInLoop = tag.word === "for" || tag.word === "while" || (isInLoop && tag.word !== "apply");
    body.push(this.#block(tag, isInLoop));
    this.#isInLoop = isInLoop;
    this.#depth--;
  }

  /** @param isInLoop around the block */
  #block(tag: Tag, isInLoop: boolean): TemplateNode {
    const { offset } = tag;
    switch (tag.word) {
      case "if":
        return this.#readIf(tag);
      case "for": {
        const head = this.#tags.code(readForHead);
        return { kind: "for", offset, ...head, ...this.#readLoop(tag, isInLoop) };
      }
      case "while":
        return { kind: "while", condition: this.#tags.code(readExpression), ...this.#readLoop(tag, isInLoop) };
      case "try":
        return this.#readTry(tag);
      case "apply": {
        const callee = this.#tags.code(readCallee);
        return { kind: "apply", ...callee, body: this.#last(tag) };
      }
      default: {
        const name = this.#word("{% block %} needs a name", offset);
        return this.#part({ kind: "block", name, offset, body: this.#last(tag, name) });
      }
    }
  }

  #readIf(tag: Tag): TemplateNode {
    const branches: Branch[] = [];
    let condition: Code | undefined = this.#tags.code(readExpression);
    for (;;) {
      const { body, next } = this.#section(tag);
      branches.push({ condition, body });
      if (next.word === "end") return { kind: "if", branches };
      if (condition === undefined)
        throw new TemplateSyntaxError(`{% ${next.word} %} stands behind {% else %}`, next.offset);
      condition =
        next.word === "elif"
          ? this.#tags.code(readExpression)
          : this.#tags.nothingMore("else", " if", "write {% elif %}");
    }
  }

  #readLoop(tag: Tag, isInLoop: boolean): { body: TemplateNode[]; otherwise: TemplateNode[] | undefined } {
    const { body, next } = this.#section(tag);
    if (next.word === "end") return { body, otherwise: undefined };
    this.#tags.nothingMore("else");
    this.#isInLoop = isInLoop;
    return { body, otherwise: this.#last(tag) };
  }

  #readTry(tag: Tag): TemplateNode {
    this.#tags.nothingMore("try");
    let { body: part, next } = this.#section(tag);
    const body = part;
    const handlers: Handler[] = [];
    let otherwise: TemplateNode[] | undefined;
    let last: TemplateNode[] | undefined;
    while (next.word !== "end") {
      const { word, offset } = next;
      const isLate = last !== undefined || (otherwise !== undefined && word !== "finally");
      if (isLate || (word === "else" && handlers.length === 0)) {
        throw new TemplateSyntaxError(`{% ${word} %} stands at the wrong place of {% try %}`, offset);
      }
      const head = word === "except" ? this.#tags.code(readExceptHead) : this.#tags.nothingMore(word);
      if (head !== undefined && handlers.at(-1)?.classes.length === 0) {
        throw new TemplateSyntaxError("The {% except %} before this one takes all", offset);
      }
      ({ body: part, next } = this.#section(tag));
      if (head !== undefined) handlers.push({ ...head, offset, body: part });
      else if (word === "else") otherwise = part;
      else last = part;
    }
    if (handlers.length === 0 && last === undefined) {
      throw new TemplateSyntaxError("{% try %} has neither {% except %} nor {% finally %}", tag.offset);
    }
    return { kind: "try", body, handlers, otherwise, last };
  }

  #part<Part extends BlockNode | IncludeNode>(part: Part): Part {
    this.#parts.push(part);
    return part;
  }

  /** The next section of a block, up to what continues or ends it. */
  #section(tag: Tag, name = ""): { body: TemplateNode[]; next: Tag } {
    const { body, next } = this.#body();
    if (next === undefined) throw new TemplateSyntaxError(`Missing {% end %} of this {% ${tag.word} %}`, tag.offset);
    if (next.word === "end") this.#endOf(tag, next, name);
    else if (!CONTINUED[tag.word]?.includes(next.word)) {
      throw new TemplateSyntaxError(`{% ${next.word} %} stands inside {% ${tag.word} %}`, next.offset);
    }
    return { body, next };
  }

  /** The last part of a block. */
  #last(tag: Tag, name = ""): TemplateNode[] {
    const { body, next } = this.#section(tag, name);
    if (next.word === "end") return body;
    throw new TemplateSyntaxError(`{% ${next.word} %} stands behind {% else %}`, next.offset);
  }

  /** `{% end %}` may say what it ends, and must then be right. */
  #endOf(tag: Tag, end: Tag, name: string): void {
    const said = this.#tags.restOfTag("end").text;
    if (said === "" || said === tag.word || (name !== "" && (said === name || said === `${tag.word} ${name}`))) return;
    throw new TemplateSyntaxError(`{% end ${said} %} stands where {% ${tag.word} %} ends`, end.offset);
  }

  #setWhitespace(offset: number): void {
    const { text } = this.#tags.restOfTag("whitespace");
    const mode = WHITESPACE_MODES.find((known) => known === text);
    if (mode === undefined) {
      throw new TemplateSyntaxError(`{% whitespace %} needs one of ${WHITESPACE_MODES.join(", ")}`, offset);
    }
    this.#modes.whitespace = mode;
  }

  #word(missing: string, offset: number): string {
    const { text } = this.#tags.restOfTag("block");
    if (text === "") throw new TemplateSyntaxError(missing, offset);
    if (/\s/.test(text)) throw new TemplateSyntaxError("The name of a block has no white space", offset);
    return text;
  }
}
