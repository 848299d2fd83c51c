/** Compiles templates, keeps what it compiled, and hands it to the engine. */
import { type Compilation, compileTemplate } from "../../compile/template.js";
import type { ParsedTemplate } from "../../compile/template-nodes.js";
import { parseTemplate } from "../../compile/template-parser.js";
import { EVAL_GLOBAL, type Instance } from "./instance.js";

/** File names of compiled templates begin with it. Mirrored in guest/library/template-runtime/places.ts. */
const FILENAME = "livescope:template#";

/** UTF-16 units of texts that are kept; when there are more it begins anew. */
const MOST_TEXT = 8 << 20;

/** What a template of this session is compiled from, as guest/library/template-runtime.ts writes it. */
type RequestText = readonly [
  name: string,
  text: string,
  context: readonly string[],
  escapes: boolean,
  streams: boolean,
  templates: readonly (readonly [name: string, text: string | null])[],
];

export class TemplateEvaluator {
  readonly #context: number;
  readonly #compiled = new Kept<Compilation>();
  readonly #parsed = new Kept<ParsedTemplate>();

  /** @param context `JSContext*` */
  constructor(context: number) {
    this.#context = context;
  }

  /**
   * Compiles a template, and first only tells what came of it: the kernel then supplies what is missing, or asks again with a
   * number for the compiled template's file name.
   *
   * @returns an owned `JSValue*`: JSON text; with a number the function that renders the template, or an exception
   */
  evaluate(instance: Instance, request: string, number: number): number {
    const compilation = this.#compiled.get(request, () => this.#compile(request));
    if (number > 0 && compilation.kind === "compiled") {
      return instance.evaluate(this.#context, compilation.source, FILENAME + number, EVAL_GLOBAL);
    }
    const facts = compilation.kind === "compiled" ? told(compilation) : compilation;
    const { pointer } = instance.writeText(JSON.stringify(facts));
    const value = instance.exports.QTS_NewString(this.#context, pointer);
    instance.exports.free(pointer);
    return value;
  }

  #compile(text: string): Compilation {
    const [name, root, context, escapes, streams, templates] = JSON.parse(text) as RequestText;
    const request = { root: { name, text: root }, context, escapes, streams, templates: new Map(templates) };
    return compileTemplate(request, (source) => this.#parsed.get(source, () => parseTemplate(source)));
  }
}

/** The map goes as text: the session reads it only when something goes wrong. */
function told({ source, map, ...facts }: Compilation & { kind: "compiled" }): object {
  return { ...facts, length: source.length, map: JSON.stringify(map) };
}

/** What was made lately, by the text it was made from. */
class Kept<Made> {
  readonly #made = new Map<string, Made>();
  #size = 0;

  get(text: string, make: () => Made): Made {
    const known = this.#made.get(text);
    if (known !== undefined) return known;
    const made = make();
    this.#size += text.length;
    if (this.#size > MOST_TEXT) {
      this.#made.clear();
      this.#size = text.length;
    }
    this.#made.set(text, made);
    return made;
  }
}
