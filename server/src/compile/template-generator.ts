/**
 * Generates the one function that a template becomes, with all that it includes and extends inside it: so an included template
 * sees the names of the place that includes it, and a block those of the place that it fills.
 *
 * Every block of a template is a block of the function, and every name is declared where the template declares it.
 */
import {
  type Assignment,
  type BlockNode,
  type Code,
  type ForNode,
  type IncludeNode,
  nodesWithin,
  type ParsedTemplate,
  type TemplateNode,
  type TryNode,
} from "./template-nodes.js";
import { CodeWriter, type Lines, type Place, type Site } from "./template-writer.js";

/** A template that is part of what is generated. */
export interface TemplateFile {
  readonly index: number;
  readonly name: string;
  readonly parsed: ParsedTemplate;
  readonly lines: Lines;
}

/** Where a template is put in: its file, and the place that names it in another site; -1 for the template that is rendered. */
export type SiteEntry = readonly [file: number, parent: Site, line: number, column: number];

/** What is no error but is seldom meant, or a name that is declared, and where. */
export type Note = readonly [text: string, site: Site, line: number, column: number];

/** Templates that cannot be put together. */
export class TemplateLinkError extends Error {
  constructor(
    message: string,
    readonly site: Site,
    readonly place: Place,
  ) {
    super(message);
  }
}

/** How the function takes its names, in this order, before those of the context. Mirrored in guest/library/template-runtime.ts. */
const PARAMETERS = ["escape", "text", "custom", "tooLarge", "wellFormed", "most"] as const;

/** UTF-16 units of generated code: templates that include each other many times over would have no end. */
const MOST_CODE = 1 << 20;
/** Blocks of the generated code inside each other. */
const DEEPEST = 250;
/** Operands of one sum; who parses it later may take them one inside the other. */
const LONGEST_SUM = 32;
/** Text that is sent on its way at the next round of a loop, when the text is streamed. */
const PIECE = 16_384;

interface Scope {
  readonly names: Set<string>;
  /** How many pieces of code were written before it. */
  readonly from: number;
  /** Braces that a name's declaration opened. */
  opened: number;
}

type Defined = Map<string, { readonly node: BlockNode; readonly file: TemplateFile }>;

export class TemplateGenerator {
  readonly sites: SiteEntry[] = [];
  readonly warnings: Note[] = [];
  /** Names that hide none of the template or the context; the session may have them. */
  readonly declared: Note[] = [];
  readonly #writer = new CodeWriter();
  readonly #resolve: (name: string, from: TemplateFile) => TemplateFile;
  readonly #prefix: string;
  readonly #streams: boolean;
  readonly #escapes: boolean;
  readonly #context: readonly string[];
  readonly #scopes: Scope[] = [];
  /** Code written so far, for whether it mentions a name. */
  readonly #written: string[] = [];
  #isAsync = false;
  #site: Site = 0;
  #file: TemplateFile;
  #blocks: Defined = new Map();
  /** Blocks and templates that the place is in. */
  readonly #inside: (BlockNode | TemplateFile)[] = [];
  readonly #placed = new Set<BlockNode>();
  /** Of the loops around the place, innermost last: the label that `break` names, if it has one. */
  #loops: string[] = [];
  /** What is written before an error has to stand. */
  #isSplit = false;
  #buffer: string;
  #sum = 0;
  #numbers = 0;

  constructor(
    root: TemplateFile,
    options: {
      /** A text that no template and no name of the context holds. */
      readonly prefix: string;
      readonly context: readonly string[];
      readonly escapes: boolean;
      readonly streams: boolean;
      /** The template that is meant by a name in another. */
      readonly resolve: (name: string, from: TemplateFile) => TemplateFile;
    },
  ) {
    this.#file = root;
    this.#prefix = options.prefix;
    this.#context = options.context;
    this.#escapes = options.escapes;
    this.#streams = options.streams;
    this.#resolve = options.resolve;
    this.#buffer = `${this.#prefix}0`;
  }

  /** @throws TemplateLinkError */
  generate(): { readonly source: string; readonly map: readonly number[] } {
    this.sites.push([this.#file.index, -1, 0, 0]);
    this.#scopes.push({ names: new Set(this.#context), from: 0, opened: 0 });
    this.#inside.push(this.#file);
    this.#scoped(() => this.#template(this.#file));
    const main = `${this.#prefix}0`;
    const parameters = [...PARAMETERS.map((name) => this.#helper(name)), ...this.#context].join(",");
    const isAsync = this.#isAsync ? "async " : "";
    const head = this.#streams ? `${isAsync}function*(${parameters})` : `${isAsync}(${parameters})=>`;
    const lost = `${this.#prefix}lost`;
    const text = `${lost}?${this.#helper("tooLarge")}():${this.#helper("wellFormed")}(${main})`;
    const end = this.#streams ? `yield ${text};` : `return ${text};`;
    const source = `"use strict";(${head}{var ${main}="",${lost}=false;{${this.#writer}}${end}})`;
    return { source, map: this.#writer.map };
  }

  #helper(name: (typeof PARAMETERS)[number]): string {
    return this.#prefix + name;
  }

  #fresh(kind: string): string {
    return `${this.#prefix}${kind}${++this.#numbers}`;
  }

  #place(offset: number): Place {
    return this.#file.lines.place(offset);
  }

  #error(message: string, offset: number): TemplateLinkError {
    return new TemplateLinkError(message, this.#site, this.#place(offset));
  }

  #note(notes: Note[], text: string, offset: number): void {
    const { line, column } = this.#place(offset);
    notes.push([text, this.#site, line, column]);
  }

  #code(before: string, code: Code, after: string): void {
    this.#written.push(code.text);
    if (/\bawait\b/.test(code.text)) this.#isAsync = true;
    this.#writer.code(before, code, this.#place(code.offset), this.#site, after);
  }

  // Templates within each other.

  /** All of a template, within what it extends. */
  #template(file: TemplateFile): void {
    const { blocks, site } = { blocks: this.#blocks, site: this.#site };
    const chain = [{ file, site }];
    for (let next = file.parsed.extended; next !== undefined; next = this.#file.parsed.extended) {
      const parent = this.#resolve(next.name, this.#file);
      if (this.#inside.includes(parent)) throw this.#error(`The template ${parent.name} contains itself`, next.offset);
      this.#enter(parent, next.offset);
      this.#inside.push(parent);
      chain.push({ file: parent, site: this.#site });
    }
    // What an included template defines can be replaced by those around it, unless it extends one of its own.
    const defined: Defined = new Map();
    for (const each of chain.toReversed()) {
      this.#goTo(each);
      this.#collect(each.file.parsed.body, defined);
    }
    this.#blocks = chain.length > 1 ? defined : new Map([...defined, ...blocks]);
    const base = chain.at(-1) ?? { file, site };
    this.#goTo(base);
    this.#body(base.file.parsed.body);
    for (const each of chain.slice(0, -1)) {
      this.#goTo(each);
      this.#warnOfUnused(each.file);
      this.#inside.pop();
    }
    this.#goTo({ file, site });
    this.#blocks = blocks;
  }

  #goTo({ file, site }: { readonly file: TemplateFile; readonly site: Site }): void {
    this.#file = file;
    this.#site = site;
  }

  /** From here on what is generated stands in another template, named at this place of the present one. */
  #enter(file: TemplateFile, offset: number): void {
    const { line, column } = this.#place(offset);
    this.sites.push([file.index, this.#site, line, column]);
    this.#site = this.sites.length - 1;
    this.#file = file;
  }

  /** Blocks of the present template, and of those that it includes; later ones go before earlier ones. */
  #collect(nodes: readonly TemplateNode[], into: Defined): void {
    const own = new Set<string>();
    const file = this.#file;
    for (const node of nodesWithin(nodes)) {
      if (node.kind === "block") {
        if (own.has(node.name)) {
          this.#note(this.warnings, `block ${node.name} is defined twice: both places show this one`, node.offset);
        }
        own.add(node.name);
        into.set(node.name, { node, file });
      } else if (node.kind === "include") this.#collectIncluded(node, into);
    }
  }

  #collectIncluded({ name, offset }: IncludeNode, into: Defined): void {
    const included = this.#resolve(name, this.#file);
    if (included.parsed.extended !== undefined || this.#inside.includes(included)) return;
    const here = { file: this.#file, site: this.#site };
    this.#inside.push(included);
    this.#enter(included, offset);
    this.#collect(included.parsed.body, into);
    this.#inside.pop();
    this.#goTo(here);
  }

  #warnOfUnused(file: TemplateFile): void {
    for (const node of file.parsed.body) {
      if (node.kind === "block") {
        if (this.#placed.has(node) || this.#blocks.get(node.name)?.node !== node) continue;
        this.#note(this.warnings, `unused block ${node.name}: no template that this one extends has it`, node.offset);
      } else if (node.kind !== "text" || node.text.trim() !== "") {
        const offset = offsetOf(node);
        this.#note(
          this.warnings,
          "this is never printed: of a template that extends another only blocks count",
          offset,
        );
        return;
      }
    }
  }

  #include({ name, offset }: IncludeNode): void {
    const { file, site } = { file: this.#file, site: this.#site };
    const included = this.#resolve(name, file);
    if (this.#inside.includes(included)) throw this.#error(`The template ${included.name} contains itself`, offset);
    this.#inside.push(included);
    this.#enter(included, offset);
    this.#block(() => this.#template(included));
    this.#inside.pop();
    this.#goTo({ file, site });
  }

  #namedBlock(node: BlockNode): void {
    const { file, site } = { file: this.#file, site: this.#site };
    const block = this.#blocks.get(node.name) ?? { node, file };
    if (this.#inside.includes(block.node)) throw this.#error(`The block ${node.name} contains itself`, node.offset);
    this.#placed.add(block.node);
    this.#inside.push(block.node);
    if (block.file !== file) this.#enter(block.file, node.offset);
    this.#block(() => this.#body(block.node.body));
    this.#inside.pop();
    this.#goTo({ file, site });
  }

  // Statements.

  #body(nodes: readonly TemplateNode[]): void {
    for (const node of nodes) {
      if (this.#writer.length > MOST_CODE) {
        throw this.#error("The template is too large with all that it includes", offsetOf(node));
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
          throw this.#error(`{% ${node.kind} %} is placed outside of for and while`, node.offset);
        return this.#writer.add(node.kind === "break" && label !== "" ? `break ${label};` : `${node.kind};`);
      }
      case "set":
        for (const assignment of node.assignments) this.#assign(assignment);
        return;
      case "try":
        return this.#try(node);
      case "block":
        return this.#namedBlock(node);
      case "include":
        return this.#include(node);
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
        this.#writer.add(`${buffer}+=${this.#helper("text")}(${node.isAwaited ? "await " : ""}`);
        return this.#code("(", node.callee, `)(${own}));`);
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
        this.#code(`${this.#helper("custom")}(`, value, ",");
        return this.#code("", escaping, ")");
      }
      const escapes = escaping === "default" && this.#escapes;
      this.#code(`${this.#helper(escapes ? "escape" : "text")}(`, value, ")");
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
    const scope = { names: new Set<string>(), from: this.#written.length, opened: 0 };
    this.#scopes.push(scope);
    if (this.#depth() > DEEPEST) throw this.#error("Too many blocks inside each other", 0);
    write();
    this.#endSum();
    this.#writer.add("}".repeat(scope.opened));
    this.#scopes.pop();
  }

  #depth(): number {
    return this.#scopes.reduce((sum, { opened }) => sum + 1 + opened, 0);
  }

  #find(name: string): Scope | undefined {
    return this.#scopes.findLast(({ names }) => names.has(name));
  }

  /** @param what declares the name; it may hide another */
  #declare(name: string, what: string, offset: number): void {
    const hidden = this.#find(name);
    if (hidden === undefined) this.#note(this.declared, name, offset);
    else {
      const whose = hidden === this.#scopes[0] ? "the one of the context" : "another of the template";
      this.#note(this.warnings, `shadowed name ${name}: ${what} hides ${whose} to the end of its block`, offset);
    }
    this.#scopes.at(-1)?.names.add(name);
  }

  #assign({ target, names, isPattern, value, changed }: Assignment): void {
    const unknown = changed.find((name) => this.#find(name) === undefined);
    if (unknown !== undefined) {
      throw this.#error(`${unknown} is no name of the template yet; write {% set ${unknown} = VALUE %}`, value.offset);
    }
    if (target === undefined) return this.#code("(", value, ");");
    const fresh = names.filter((name) => this.#find(name) === undefined);
    if (fresh.length === 0) {
      this.#code("(", target, "");
      return this.#code("=(", value, "));");
    }
    const scope = this.#scopes.at(-1) as Scope;
    const isMentioned = fresh.some(
      (name) => value.text.includes(name) || this.#written.slice(scope.from).some((text) => text.includes(name)),
    );
    const isDeclaration = isPattern && fresh.length === names.length;
    if (isDeclaration && !isMentioned) {
      this.#code("let ", target, "");
      this.#code("=(", value, ");");
    } else {
      const given = this.#fresh("value");
      this.#code(`const ${given}=(`, value, ");");
      // What stands before it in the block means another name, and keeps it.
      if (isMentioned) {
        scope.opened++;
        this.#writer.add("{");
        if (this.#depth() > DEEPEST) throw this.#error("Too many blocks inside each other", value.offset);
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
    const buffer = this.#buffer;
    const isSent = this.#streams && buffer === `${this.#prefix}0`;
    this.#writer.add(
      isSent
        ? `if(${buffer}.length>${PIECE}){yield ${this.#helper("wellFormed")}(${buffer});${buffer}="";}`
        : `if(${buffer}.length>${this.#helper("most")}){${buffer}="";${this.#prefix}lost=true;}`,
    );
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

function offsetOf(node: TemplateNode): number {
  switch (node.kind) {
    case "print":
      return node.value.offset;
    case "if":
      return node.branches[0]?.condition?.offset ?? 0;
    case "while":
      return node.condition.offset;
    case "apply":
      return node.callee.offset;
    case "try":
      return node.body[0] === undefined ? 0 : offsetOf(node.body[0]);
    default:
      return node.offset;
  }
}
