/**
 * How templates stand within each other: which one is being generated, what put it there, and which block fills which. Included
 * and extended templates become part of the one that is rendered, so that they see the names of the place they stand at.
 */
import {
  type BlockNode,
  type IncludeNode,
  offsetOf,
  type ParsedTemplate,
  type TemplateNode,
} from "./template-nodes.js";
import type { Lines, Place, Site } from "./template-writer.js";

/** A template that is part of what is generated. */
export interface TemplateFile {
  readonly index: number;
  readonly name: string;
  readonly parsed: ParsedTemplate;
  readonly lines: Lines;
}

/** Where a template stands: its file, and the place that names it in another site; -1 for the template that is rendered. */
export type SiteEntry = readonly [file: number, parent: Site, line: number, column: number];

/** A warning, or a name that is declared, and where. */
export type Note = readonly [text: string, site: Site, line: number, column: number];

/** Templates within templates: those that include each other many times over would have no end. */
const MOST_SITES = 2_000;
/** As many as an execution carries. Mirrored in guest/library/template-runtime.ts. */
const MOST_WARNINGS = 100;

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

/** Finds the template that is meant by a name in another. */
export type Resolve = (name: string, from: TemplateFile) => TemplateFile;

interface Definition {
  readonly node: BlockNode;
  readonly file: TemplateFile;
}

/** What blocks are defined as; where several maps have one, the first counts. */
type Blocks = readonly ReadonlyMap<string, Definition>[];

export class Composition {
  readonly sites: SiteEntry[] = [];
  readonly warnings: Note[] = [];
  readonly #resolve: Resolve;
  readonly #generate: (nodes: readonly TemplateNode[]) => void;
  /** Templates that the present place is in. */
  readonly #inside: TemplateFile[] = [];
  readonly #placed = new Set<BlockNode>();
  /** By template: however often it stands somewhere, its blocks are looked through once. */
  readonly #defined = new Map<TemplateFile, ReadonlyMap<string, Definition>>();
  readonly #warnedOf = new Set<TemplateFile>();
  #file: TemplateFile;
  #site: Site = 0;
  #blocks: Blocks = [];

  /** @param generate called with what stands at the present place */
  constructor(root: TemplateFile, resolve: Resolve, generate: (nodes: readonly TemplateNode[]) => void) {
    this.#file = root;
    this.#resolve = resolve;
    this.#generate = generate;
    this.sites.push([root.index, -1, 0, 0]);
  }

  get site(): Site {
    return this.#site;
  }

  place(offset: number): Place {
    return this.#file.lines.place(offset);
  }

  /** @param offset in the present template */
  error(message: string, offset: number): TemplateLinkError {
    return new TemplateLinkError(message, this.#site, this.place(offset));
  }

  note(text: string, offset: number): Note {
    const { line, column } = this.place(offset);
    return [text, this.#site, line, column];
  }

  warn(text: string, offset: number): void {
    if (this.warnings.length < MOST_WARNINGS) this.warnings.push(this.note(text, offset));
  }

  root(): void {
    this.#within(this.#file, () => this.#template());
  }

  include({ name, offset }: IncludeNode): void {
    const included = this.#found(name, offset);
    this.#apart(() => {
      this.#enter(included, offset);
      this.#within(included, () => this.#template());
    });
  }

  block(node: BlockNode): void {
    const block = this.#definitionOf(node.name) ?? { node, file: this.#file };
    this.#placed.add(block.node);
    this.#apart(() => {
      if (block.file !== this.#file) this.#enter(block.file, node.offset);
      this.#generate(block.node.body);
    });
  }

  /** The present template, within all that it extends. */
  #template(): void {
    const replaced = this.#blocks;
    const chain = [this.#here];
    for (let next = this.#file.parsed.extended; next !== undefined; next = this.#file.parsed.extended) {
      const parent = this.#found(next.name, next.offset);
      this.#inside.push(parent);
      this.#enter(parent, next.offset);
      chain.unshift(this.#here);
    }
    // A template is warned of where it stands first.
    const fresh = chain.filter(({ file }) => !this.#warnedOf.has(file));
    for (const each of fresh) {
      this.#warnedOf.add(each.file);
      this.#at(each, () => this.#warnOfDoubles());
    }
    const defined = chain.map(({ file }) => this.#definedBy(file)).reverse();
    // What an included template defines is replaced by those around it, unless it extends one of its own.
    this.#blocks = chain.length > 1 ? defined : [...replaced, ...defined];
    this.#generate(this.#file.parsed.body);
    for (const each of chain.slice(1)) {
      if (fresh.includes(each)) this.#at(each, () => this.#warnOfUnused());
      this.#inside.pop();
    }
    this.#blocks = replaced;
  }

  #definitionOf(name: string): Definition | undefined {
    for (const defined of this.#blocks) {
      const found = defined.get(name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #definedBy(file: TemplateFile): ReadonlyMap<string, Definition> {
    const known = this.#defined.get(file);
    if (known !== undefined) return known;
    const defined = new Map<string, Definition>();
    this.#collect(file, defined, new Set());
    this.#defined.set(file, defined);
    return defined;
  }

  /** Blocks of a template and of those that it includes; later ones go before earlier ones. */
  #collect(file: TemplateFile, into: Map<string, Definition>, seen: Set<TemplateFile>): void {
    seen.add(file);
    for (const node of file.parsed.parts) {
      if (node.kind === "block") {
        into.set(node.name, { node, file });
        continue;
      }
      const included = this.#resolve(node.name, file);
      if (included.parsed.extended === undefined && !seen.has(included)) this.#collect(included, into, seen);
    }
  }

  #warnOfDoubles(): void {
    const names = new Set<string>();
    for (const node of this.#file.parsed.parts) {
      if (node.kind !== "block") continue;
      if (names.has(node.name))
        this.warn(`block ${node.name} is defined twice: both places show this one`, node.offset);
      names.add(node.name);
    }
  }

  #warnOfUnused(): void {
    for (const node of this.#file.parsed.body) {
      if (node.kind === "block") {
        if (this.#placed.has(node) || this.#definitionOf(node.name)?.node !== node) continue;
        this.warn(`unused block ${node.name}: no template that this one extends has it`, node.offset);
      } else if (node.kind !== "text" || node.text.trim() !== "") {
        const message = "this is never printed: of a template that extends another only blocks count";
        return this.warn(message, offsetOf(node));
      }
    }
  }

  /** @throws TemplateLinkError where the present place is in it already */
  #found(name: string, offset: number): TemplateFile {
    const found = this.#resolve(name, this.#file);
    if (this.#inside.includes(found)) throw this.error(`The template ${found.name} contains itself`, offset);
    return found;
  }

  get #here(): { readonly file: TemplateFile; readonly site: Site } {
    return { file: this.#file, site: this.#site };
  }

  /** From here on the present template is another one, which this place of the former names. */
  #enter(file: TemplateFile, offset: number): void {
    const { line, column } = this.place(offset);
    if (this.sites.length === MOST_SITES)
      throw this.error("The template is too large with all that it includes", offset);
    this.sites.push([file.index, this.#site, line, column]);
    this.#site = this.sites.length - 1;
    this.#file = file;
  }

  /** What is entered meanwhile is left again. */
  #apart(run: () => void): void {
    const here = this.#here;
    run();
    this.#file = here.file;
    this.#site = here.site;
  }

  #at({ file, site }: { readonly file: TemplateFile; readonly site: Site }, run: () => void): void {
    this.#apart(() => {
      this.#file = file;
      this.#site = site;
      run();
    });
  }

  #within(part: TemplateFile, run: () => void): void {
    this.#inside.push(part);
    run();
    this.#inside.pop();
  }
}
