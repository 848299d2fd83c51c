/** Reads the tags of a template: where they stand, and the parts that they have. */
import { NAME, readAssignments, readList, readUntil } from "./template-expression.js";
import { type Code, type Handler, type IncludeNode, TemplateSyntaxError } from "./template-nodes.js";

/** A `{% %}`, of which what stands behind its first word is still to be read. */
export interface Tag {
  readonly word: string;
  /** Of its `{%`. */
  readonly offset: number;
}

const TAG_WORD = /\s*([A-Za-z]+)(?![\w$])/y;

/** A reader of one template, that stands at some place of it. */
export class TagReader {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Where the next `{{`, `{%` or `{#` stands; of more than two braces in a row the innermost count. */
  findTag(): number | undefined {
    const text = this.text;
    for (let at = text.indexOf("{", this.at); at >= 0; at = text.indexOf("{", at + 1)) {
      const follows = text[at + 1];
      if (follows !== "{" && follows !== "%" && follows !== "#") continue;
      if (follows === "{" && text[at + 2] === "{") continue;
      return at;
    }
    return undefined;
  }

  tagAt(offset: number): Tag {
    TAG_WORD.lastIndex = offset + 2;
    const [head, word] = TAG_WORD.exec(this.text) ?? [];
    if (head === undefined || word === undefined) throw new TemplateSyntaxError("Tag without a word", offset);
    this.at = offset + 2 + head.length;
    return { word, offset };
  }

  /** Reads the code that the tag has to its `%}`. */
  code<T>(read: (text: string, offset: number) => T): T {
    return this.read("%}", this.at, read);
  }

  read<T>(mark: string, from: number, read: (text: string, offset: number) => T): T {
    const result = readUntil(this.text, from, mark, read);
    this.at = result.end + mark.length;
    return result.read;
  }

  /** What stands between the word of a tag and its `%}`, without white space around it. */
  restOfTag(word: string): Code {
    const start = this.at;
    this.skipTo("%}", start, `Missing %} of this {% ${word}`, start);
    const text = this.text.slice(start, this.at - 2);
    return { text: text.trim(), offset: start + text.length - text.trimStart().length };
  }

  skipTo(mark: string, from: number, missing: string, offset: number): void {
    const end = this.text.indexOf(mark, from);
    if (end < 0) throw new TemplateSyntaxError(missing, offset);
    this.at = end + mark.length;
  }

  /** The name of another template, in quotes or without. */
  reference({ word, offset }: Tag): IncludeNode {
    const { text } = this.restOfTag(word);
    const name = /^(["'])(.*)\1$/s.exec(text)?.[2] ?? text;
    if (name === "") throw new TemplateSyntaxError(`{% ${word} %} needs the name of a template`, offset);
    return { kind: "include", name, offset };
  }

  /** @param after what people write here, and `hint` what they should */
  nothingMore(word: string, after = "", hint = ""): undefined {
    const { text, offset } = this.restOfTag(word);
    if (text === "") return undefined;
    const advice = after !== "" && ` ${text}`.startsWith(`${after} `) ? `; ${hint}` : "";
    throw new TemplateSyntaxError(`{% ${word} %} takes nothing more${advice}`, offset);
  }
}

const AS_NAME = new RegExp(`(?:^|\\s)as\\s+(${NAME})\\s*$`, "u");

/** Nothing, `as NAME`, `CLASS`, `CLASS, CLASS as NAME`. */
export function readExceptHead(text: string, offset: number): Pick<Handler, "classes" | "name"> {
  const [as, name] = AS_NAME.exec(text) ?? [""];
  const classes = text.slice(0, text.length - as.length);
  if (name !== undefined) readAssignments(`${name} = 0`, offset);
  return { classes: classes.trim() === "" ? [] : readList(classes, offset), name };
}

/** Words of other template languages, and of Tornado what needs Python. */
const ADVICE: Readonly<Record<string, string>> = {
  elseif: "write {% elif %}",
  import: "a template uses the names of its session",
  from: "a template uses the names of its session",
  module: "call a function of the session with {% raw f() %}",
  let: "write {% set NAME = VALUE %}",
  const: "write {% set NAME = VALUE %}",
  catch: "write {% except as NAME %}",
  super: "a block replaces the one of the template that it extends",
};

export function unknownTag(word: string): string {
  const advice = /^end./.test(word) ? "write {% end %}" : Object.hasOwn(ADVICE, word) ? ADVICE[word] : undefined;
  return `Unknown tag {% ${word} %}${advice === undefined ? "" : `; ${advice}`}`;
}
