/** Compiles templates, and keeps what it compiled lately: for all sessions of the worker, and so counted to none. */
import { type Compilation, compileTemplate } from "../../compile/template.js";
import type { ParsedTemplate } from "../../compile/template-nodes.js";
import { parseTemplate } from "../../compile/template-parser.js";

/** Bytes, by estimate, of what is kept of each kind; when there are more it begins anew. */
const MOST_BYTES = 16 << 20;

/** What a template of a session is compiled from, as guest/library/template-runtime.ts writes it. */
type RequestText = readonly [
  name: string,
  text: string,
  context: readonly string[],
  escapes: boolean,
  streams: boolean,
  templates: readonly (readonly [name: string, text: string | null])[],
];

export class TemplateCache {
  readonly #compiled = new Kept<Compilation>(bytesOfCompiled);
  readonly #parsed = new Kept<ParsedTemplate>(({ body }) => bytesOf(body));

  /** @param request JSON text of a `RequestText` */
  compile(request: string): Compilation {
    return this.#compiled.get(request, () => {
      const [name, text, context, escapes, streams, templates] = JSON.parse(request) as RequestText;
      const given = { root: { name, text }, context, escapes, streams, templates: new Map(templates) };
      return compileTemplate(given, (source) => this.parse(source));
    });
  }

  /** @throws TemplateSyntaxError */
  parse(text: string): ParsedTemplate {
    return this.#parsed.get(text, () => parseTemplate(text));
  }
}

function bytesOfCompiled(made: Compilation): number {
  if (made.kind !== "compiled") return 0;
  const { source, map, sites, warnings, declared } = made;
  return 2 * source.length + 8 * map.length + bytesOf([sites, warnings, declared]);
}

/** Bytes of an object with all in it, about: those of a property and of what it has. */
function bytesOf(object: object): number {
  let bytes = 0;
  for (const value of Object.values(object)) {
    bytes += 32 + (typeof value === "object" && value !== null ? bytesOf(value) : 0);
  }
  return bytes;
}

/** What was made lately, by the text it was made from. */
class Kept<Made> {
  readonly #made = new Map<string, Made>();
  readonly #bytesOf: (made: Made) => number;
  #bytes = 0;

  /** @param bytesOf what is made, beside the text */
  constructor(bytesOf: (made: Made) => number) {
    this.#bytesOf = bytesOf;
  }

  get(text: string, make: () => Made): Made {
    const known = this.#made.get(text);
    if (known !== undefined) return known;
    const made = make();
    const bytes = 2 * text.length + this.#bytesOf(made);
    if (bytes > MOST_BYTES) return made;
    this.#bytes += bytes;
    if (this.#bytes > MOST_BYTES) {
      this.#made.clear();
      this.#bytes = bytes;
    }
    this.#made.set(text, made);
    return made;
  }
}
