/**
 * Compiles a template, with all that it includes and extends, to guest source: an expression whose value is the function that
 * renders it. A pure function of its arguments: the texts of templates lie in the session, so what is missing is asked for.
 */
import { unescaped } from "./locals-transform.js";
import { type Note, type SiteEntry, type TemplateFile, TemplateLinkError } from "./template-composition.js";
import { TemplateGenerator } from "./template-generator.js";
import { resolvedName } from "./template-names.js";
import { type IncludeNode, type ParsedTemplate, TemplateSyntaxError } from "./template-nodes.js";
import { parseTemplate } from "./template-parser.js";
import { rewrittenForLocals } from "./template-rewrite.js";
import { Lines, type Place } from "./template-writer.js";

export interface TemplateRequest {
  /** What is rendered. */
  readonly root: { readonly name: string; readonly text: string };
  /** Names of the context. */
  readonly context: readonly string[];
  /** `{{ }}` escapes for HTML, unless a template says otherwise. */
  readonly escapes: boolean;
  /** The function is a generator that yields the text in pieces. */
  readonly streams: boolean;
  /** Texts of templates by name, as far as they were asked for; null for those that the session does not have. */
  readonly templates: ReadonlyMap<string, string | null>;
}

export interface CompiledTemplate {
  readonly kind: "compiled";
  readonly source: string;
  /** Leads back to the templates; see `CodeWriter.map`. */
  readonly map: readonly number[];
  readonly sites: readonly SiteEntry[];
  /** Names of templates, the one that is rendered first; `SiteEntry` refers to them. */
  readonly files: readonly string[];
  readonly warnings: readonly Note[];
  /** Names that hide one of the session where it has one. */
  readonly declared: readonly Note[];
}

export type Compilation =
  | CompiledTemplate
  /** Texts of these templates are missing from the request. */
  | { readonly kind: "missing"; readonly names: readonly string[] }
  | {
      readonly kind: "refused";
      readonly message: string;
      /** Innermost first: the template that is wrong, and those that put it in. */
      readonly places: readonly (readonly [file: string, line: number, column: number])[];
    };

export function compileTemplate(request: TemplateRequest, parse = parseTemplate): Compilation {
  try {
    const linker = new Linker(request, parse);
    const missing = linker.load();
    if (missing.length > 0) return { kind: "missing", names: missing };
    const generator = new TemplateGenerator(linker.root, {
      prefix: linker.freePrefix(request.context),
      context: request.context,
      escapes: request.escapes,
      streams: request.streams,
      resolve: (name, from) => linker.resolve(name, from),
    });
    try {
      const files = linker.files.map(({ name }) => name);
      const { sites, warnings } = generator.composition;
      return {
        kind: "compiled",
        ...rewrittenForLocals(generator.generate()),
        sites,
        files,
        warnings,
        declared: generator.declared,
      };
    } catch (error) {
      if (!(error instanceof TemplateLinkError)) throw error;
      return {
        kind: "refused",
        message: error.message,
        places: placesOf(error, generator.composition.sites, linker.files),
      };
    }
  } catch (error) {
    if (error instanceof RangeError) {
      return { kind: "refused", message: "The template is nested too deeply", places: [[request.root.name, 1, 1]] };
    }
    if (!(error instanceof LoadError)) throw error;
    return { kind: "refused", message: error.message, places: error.places };
  }
}

function placesOf(
  { site, place }: TemplateLinkError,
  sites: readonly SiteEntry[],
  files: readonly TemplateFile[],
): (readonly [string, number, number])[] {
  const places: (readonly [string, number, number])[] = [];
  let [line, column] = [place.line, place.column];
  for (let at = site; at >= 0; ) {
    const [file, parent, parentLine, parentColumn] = sites[at] as SiteEntry;
    places.push([files[file]?.name ?? "", line, column]);
    [at, line, column] = [parent, parentLine, parentColumn];
  }
  return places;
}

/** A template that cannot be part of what is compiled. */
class LoadError extends Error {
  constructor(
    message: string,
    readonly places: readonly (readonly [string, number, number])[],
  ) {
    super(message);
  }
}

interface LoadedFile extends TemplateFile {
  /** Which place asked for it first; undefined for what is rendered. */
  readonly by: { readonly file: LoadedFile; readonly place: Place } | undefined;
}

/** Finds the templates that others name. */
class Linker {
  readonly root: LoadedFile;
  readonly files: LoadedFile[] = [];
  readonly #byName = new Map<string, LoadedFile>();
  readonly #request: TemplateRequest;
  readonly #parse: (text: string) => ParsedTemplate;

  constructor(request: TemplateRequest, parse: (text: string) => ParsedTemplate) {
    this.#request = request;
    this.#parse = parse;
    this.root = this.#file(request.root.name, request.root.text, undefined);
  }

  /** @returns names of templates that are needed and did not come */
  load(): string[] {
    const missing = new Set<string>();
    // Grows meanwhile by those that are named.
    for (const file of this.files) {
      for (const { name, offset } of referencesOf(file.parsed)) {
        const resolved = resolvedName(name, file.name);
        if (this.#byName.has(resolved)) continue;
        const text = this.#request.templates.get(resolved);
        const by = { file, place: file.lines.place(offset) };
        if (text === undefined) missing.add(resolved);
        else if (text === null) throw new LoadError(`The session has no template ${resolved}`, chainOf(by));
        else this.#file(resolved, text, by);
      }
    }
    return [...missing];
  }

  resolve(name: string, from: TemplateFile): TemplateFile {
    return this.#byName.get(resolvedName(name, from.name)) as LoadedFile;
  }

  /** What begins the names of the function's own: no text has it. */
  freePrefix(context: readonly string[]): string {
    const taken = new Set<string>();
    for (const text of [...this.files.map(({ parsed }) => unescaped(parsed.text)), ...context]) {
      for (const [prefix] of text.matchAll(/\$\d*_/g)) taken.add(prefix);
    }
    let prefix = "$_";
    for (let number = 1; taken.has(prefix); number++) prefix = `$${number}_`;
    return prefix;
  }

  #file(name: string, text: string, by: LoadedFile["by"]): LoadedFile {
    const lines = new Lines(text);
    let parsed: ParsedTemplate;
    try {
      parsed = this.#parse(text);
    } catch (error) {
      if (!(error instanceof TemplateSyntaxError)) throw error;
      const { line, column } = lines.place(error.offset);
      throw new LoadError(error.message, [[name, line, column], ...chainOf(by)]);
    }
    const file = { index: this.files.length, name, parsed, lines, by };
    this.files.push(file);
    this.#byName.set(name, file);
    return file;
  }
}

function chainOf(by: LoadedFile["by"]): (readonly [string, number, number])[] {
  if (by === undefined) return [];
  return [[by.file.name, by.place.line, by.place.column], ...chainOf(by.file.by)];
}

function referencesOf({ parts, extended }: ParsedTemplate): IncludeNode[] {
  const included = parts.filter((part) => part.kind === "include");
  return extended === undefined ? included : [extended, ...included];
}
