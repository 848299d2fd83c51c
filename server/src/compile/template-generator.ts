/**
 * Generates the one function that a template becomes. Every block of a template is a block of the function, and every name is
 * declared where the template declares it: so it means what the template says.
 */
import { Composition, type Note, type Resolve, type TemplateFile } from "./template-composition.js";
import {
  type Assignment,
  type Code,
  type ForNode,
  offsetOf,
  type TemplateNode,
  type TryNode,
} from "./template-nodes.js";
import { namesIn, Scopes } from "./template-scopes.js";
import { CodeWriter } from "./template-writer.js";

/** How the function takes its names, in this order, before those of the context. Mirrored in guest/library/template-runtime.ts. */
const PARAMETERS = ["escape", "text", "custom", "tooLarge", "wellFormed", "most", "piece", "rest"] as const;

/** UTF-16 units of generated code. */
const MOST_CODE = 1 << 20;
/** Operands of one sum; who parses it later may take them one inside the other. */
const LONGEST_SUM = 32;
/** Text that is sent on its way at the next round of a loop, when the text is streamed. */
const PIECE = 16_384;

export interface GeneratorOptions {
  /** A text that no template and no name of the context holds. */
  readonly prefix: string;
  readonly context: readonly string[];
  readonly escapes: boolean;
  readonly streams: boolean;
  readonly resolve: Resolve;
}

export class TemplateGenerator {
  readonly composition: Composition;
  /** Names that hide none of the template or the context; the session may have them. */
  readonly declared: Note[] = [];
  readonly #options: GeneratorOptions;
  readonly #writer = new CodeWriter();
  readonly #scopes: Scopes;
  #isAsync = false;
  /** Of the loops around the place, innermost last: the label that `break` names, if it has one. */
  #loops: string[] = [];
  /** What is written before an error has to stand. */
  #isSplit = false;
  /** The variable that takes the text. */
  #buffer: string;
  #sum = 0;
  #numbers = 0;

  constructor(root: TemplateFile, options: GeneratorOptions) {
    this.#options = options;
    this.#scopes = new Scopes(options.context);
    this.#buffer = `${options.prefix}0`;
    this.composition = new Composition(root, options.resolve, (nodes) => this.#body(nodes));
  }

  /** @throws TemplateLinkError */
  generate(): { readonly source: string; readonly map: readonly number[] } {
    const { prefix, context, streams } = this.#options;
    const main = this.#buffer;
    this.#scoped(() => this.composition.root());
    const parameters = [...PARAMETERS.map((name) => this.#helper(name)), ...context].join(",");
    const isAsync = this.#isAsync ? "async " : "";
    const head = streams ? `${isAsync}function*(${parameters})` : `${isAsync}(${parameters})=>`;
    const text = `${prefix}lost?${this.#helper("tooLarge")}():${this.#helper("wellFormed")}(${main})`;
    const end = streams ? `yield ${text};` : `return ${text};`;
    const source = `"use strict";(${head}{var ${main}="",${prefix}lost=false;{${this.#writer}}${end}})`;
    return { source, map: this.#writer.map };
  }

  #helper(name: (typeof PARAMETERS)[number]): string {
    return this.#options.prefix + name;
  }

  #fresh(kind: string): string {
    return `${this.#options.prefix}${kind}${++this.#numbers}`;
  }

  #code(before: string, code: Code, after: string): void {
    this.#scopes.wrote(code.text);
    if (/\bawait\b/.test(code.text)) this.#isAsync = true;
    this.#writer.code(before, code, this.composition.place(code.offset), this.composition.site, after);
  }

  // Statements.

  #body(nodes: readonly TemplateNode[]): void {
    for (const node of nodes) {
      if (this.#writer.length > MOST_CODE) {
        throw this.composition.error("The template is too large with all that it includes", offsetOf(node));
      }
      this.#node(node);
    }
    this.#endSum();
  }

  #node(node: TemplateNode): void {
    switch (node.kind) {
      case "text":
        return this.#operand(() => this.#writer.add(JSON.stringify(node.text)));
      case "print":
        return this.#print(node);
      default:
        this.#endSum();
        return this.#statement(node);
    }
  }

  #statement(node: Exclude<TemplateNode, { kind: "text" | "print" }>): void {
    switch (node.kind) {
      case "if":
        for (const [i, { condition, body }] of node.branches.entries()) {
          if (condition !== undefined) this.#code(i === 0 ? "if(" : "else if(", condition, ")");
          else this.#writer.add("else");
          this.#block(() => this.#body(body));
        }
        return;
      case "for":
        return this.#for(node);
      case "while":
        return this.#loop(node.otherwise, () => {
          this.#code("while(", node.condition, ")");
          this.#block(() => this.#round(node.body));
        });
      case "break":
      case "continue": {
        const label = this.#loops.at(-1);
        if (label === undefined)
          throw this.composition.error(`{% ${node.kind} %} is placed outside of for and while`, node.offset);
        return this.#writer.add(node.kind === "break" && label !== "" ? `break ${label};` : `${node.kind};`);
      }
      case "set":
        for (const assignment of node.assignments) this.#assign(assignment);
        return;
      case "try":
        return this.#try(node);
      case "block":
        return this.#block(() => this.composition.block(node));
      case "include":
        return this.#block(() => this.composition.include(node));
      case "apply": {
        const { buffer, loops } = { buffer: this.#buffer, loops: this.#loops };
        const own = this.#fresh("text");
        this.#writer.add(`var ${own}="";`);
        this.#buffer = own;
        this.#loops = [];
        this.#block(() => this.#body(node.body));
        this.#buffer = buffer;
        this.#loops = loops;
        if (node.isAwaited) this.#isAsync = true;
        return this.#code(
          `${buffer}+=${this.#helper("text")}(${node.isAwaited ? "await " : ""}(`,
          node.callee,
          `)(${own}));`,
        );
      }
    }
  }

  // Printing: neighbours are put together in one sum.

  #operand(write: () => void, isCode = false): void {
    if (this.#sum === 0) this.#writer.add(isCode ? `${this.#buffer}+=""+` : `${this.#buffer}+=`);
    else this.#writer.add("+");
    write();
    if (++this.#sum === LONGEST_SUM || this.#isSplit) this.#endSum();
  }

  #endSum(): void {
    if (this.#sum > 0) this.#writer.add(";");
    this.#sum = 0;
  }

  #print({ value, escaping }: TemplateNode & { kind: "print" }): void {
    this.#operand(() => {
      if (typeof escaping !== "string") {
        this.#code(`${this.#helper("custom")}((`, value, "),");
        return this.#code("(", escaping, "))");
      }
      const escapes = escaping === "default" && this.#options.escapes;
      this.#code(`${this.#helper(escapes ? "escape" : "text")}((`, value, "))");
    }, true);
  }

  // Scopes and names.

  /** A block of the function, with a scope. */
  #block(write: () => void): void {
    this.#writer.add("{");
    this.#scoped(write);
    this.#writer.add("}");
  }

  #scoped(write: () => void): void {
    this.#scopes.begin();
    this.#checkDepth();
    write();
    this.#endSum();
    this.#writer.add("}".repeat(this.#scopes.end()));
  }

  #checkDepth(offset = 0): void {
    if (this.#scopes.isTooDeep) throw this.composition.error("Too many blocks inside each other", offset);
  }

  /** @param what declares the name; it may hide another */
  #declare(name: string, what: string, offset: number): void {
    const hidden = this.#scopes.declare(name);
    if (hidden === "nothing") {
      this.declared.push(this.composition.note(name, offset));
    } else {
      const whose = hidden === "context" ? "the one of the context" : "another of the template";
      this.composition.warn(`shadowed name ${name}: ${what} hides ${whose} to the end of its block`, offset);
    }
  }

  #assign({ target, names, isPattern, value, changed }: Assignment): void {
    const unknown = changed.find((name) => !this.#scopes.has(name));
    if (unknown !== undefined) {
      const advice = `write {% set ${unknown} = VALUE %}`;
      throw this.composition.error(`${unknown} is no name of the template yet; ${advice}`, value.offset);
    }
    if (target === undefined) return this.#code("(", value, ");");
    const fresh = names.filter((name) => !this.#scopes.has(name));
    if (fresh.length === 0) {
      this.#code("(", target, "");
      return this.#code("=(", value, "));");
    }
    const inValue = namesIn(value.text);
    const isMentioned = fresh.some((name) => inValue.has(name)) || this.#scopes.mentions(fresh);
    const isDeclaration = isPattern && fresh.length === names.length;
    if (isDeclaration && !isMentioned) {
      this.#code("let ", target, "");
      this.#code("=(", value, ");");
    } else {
      const given = this.#fresh("value");
      // A function without a name gets that of the set, as in JavaScript.
      const key = target.text === names[0] ? JSON.stringify(target.text) : undefined;
      if (key === undefined) this.#code(`const ${given}=(`, value, ");");
      else this.#code(`const ${given}={[${key}]:(`, value, `)}[${key}];`);
      // What stands before it in the block means another name, and keeps it.
      if (isMentioned) {
        this.#scopes.openRest();
        this.#checkDepth(value.offset);
        this.#writer.add("{");
      }
      if (!isDeclaration) this.#writer.add(`let ${fresh.join(",")};`);
      this.#code(isDeclaration ? "let " : "(", target, isDeclaration ? `=${given};` : `=${given});`);
    }
    for (const name of fresh) this.#declare(name, "this {% set %}", target.offset);
  }

  // Loops.

  #for({ target, names, isAsync, iterable, body, otherwise, offset }: ForNode): void {
    this.#loop(otherwise, () => {
      const list = this.#fresh("list");
      this.#writer.add("{");
      this.#code(`const ${list}=(`, iterable, ");");
      if (isAsync) this.#isAsync = true;
      this.#code(isAsync ? "for await(let " : "for(let ", target, ` of ${list})`);
      this.#block(() => {
        for (const name of names) this.#declare(name, "this {% for %}", offset);
        this.#round(body);
      });
      this.#writer.add("}");
    });
  }

  #loop(otherwise: readonly TemplateNode[] | undefined, write: () => void): void {
    const label = otherwise === undefined ? "" : this.#fresh("loop");
    if (label !== "") this.#writer.add(`${label}:{`);
    this.#loops.push(label);
    write();
    this.#loops.pop();
    if (otherwise === undefined) return;
    this.#block(() => this.#body(otherwise));
    this.#writer.add("}");
  }

  /** The body of a loop. Text that grows without end is not kept: what is lost of it was too large anyway. */
  #round(body: readonly TemplateNode[]): void {
    const { prefix, streams } = this.#options;
    const main = `${prefix}0`;
    // What an apply takes may become small.
    if (this.#buffer === main) {
      this.#writer.add(
        streams
          ? `if(${main}.length>${PIECE}){yield ${this.#helper("piece")}(${main});${main}=${this.#helper("rest")}(${main});}`
          : `if(${main}.length>${this.#helper("most")}){${main}="";${prefix}lost=true;}`,
      );
    }
    this.#body(body);
  }

  // Exceptions.

  #try({ body, handlers, otherwise, last }: TryNode): void {
    const isSplit = this.#isSplit;
    const went = this.#fresh("went");
    if (otherwise !== undefined) this.#writer.add(`var ${went}=false;${last === undefined ? "" : "try{"}`);
    this.#writer.add("try{");
    this.#isSplit = true;
    this.#block(() => this.#body(body));
    if (otherwise !== undefined) this.#writer.add(`${went}=true;`);
    this.#writer.add("}");
    this.#isSplit = isSplit;
    if (handlers.length > 0) this.#catch(handlers);
    if (otherwise !== undefined) {
      this.#writer.add(`if(${went})`);
      this.#block(() => this.#body(otherwise));
      if (last !== undefined) this.#writer.add("}");
    }
    if (last === undefined) return;
    this.#writer.add("finally");
    this.#block(() => this.#body(last));
  }

  #catch(handlers: TryNode["handlers"]): void {
    const error = this.#fresh("error");
    this.#writer.add(`catch(${error}){`);
    for (const [i, { classes, name, offset, body }] of handlers.entries()) {
      if (i > 0) this.#writer.add("else ");
      for (const [j, one] of classes.entries()) this.#code(`${j === 0 ? "if(" : "||"}${error} instanceof(`, one, ")");
      if (classes.length > 0) this.#writer.add(")");
      this.#block(() => {
        if (name !== undefined) {
          this.#writer.add(`let ${name}=${error};`);
          this.#declare(name, "this {% except %}", offset);
        }
        this.#body(body);
      });
    }
    const takesAll = handlers.at(-1)?.classes.length === 0;
    this.#writer.add(takesAll ? "}" : `else throw ${error};}`);
  }
}
