/** Hands compiled templates to the engine. */
import type { CompiledTemplate } from "../../compile/template.js";
import { EVAL_GLOBAL, type Instance } from "./instance.js";
import { TemplateCache } from "./template-cache.js";

/** File names of compiled templates begin with it. Mirrored in guest/library/template-runtime/places.ts. */
const FILENAME = "livescope:template#";

export class TemplateEvaluator {
  readonly #context: number;
  readonly #cache = new TemplateCache();

  /** @param context `JSContext*` */
  constructor(context: number) {
    this.#context = context;
  }

  /**
   * Compiles a template, if it is not kept, and first only tells what came of it: the kernel then supplies what is missing, or asks again with a
   * number for the compiled template's file name.
   *
   * @returns an owned `JSValue*`: JSON text; with a number the function that renders the template, or an exception
   */
  evaluate(instance: Instance, request: string, number: number): number {
    const compilation = this.#cache.compile(request);
    if (number > 0 && compilation.kind === "compiled") {
      return instance.evaluate(this.#context, compilation.source, FILENAME + number, EVAL_GLOBAL);
    }
    const facts = compilation.kind === "compiled" ? told(compilation) : compilation;
    const { pointer } = instance.writeText(JSON.stringify(facts));
    const value = instance.exports.QTS_NewString(this.#context, pointer);
    instance.exports.free(pointer);
    return value;
  }
}

/** The map goes as text: the session reads it only when something goes wrong. */
function told({ source, map, ...facts }: CompiledTemplate): object {
  return { ...facts, length: source.length, map: JSON.stringify(map) };
}
