/** Compiles scripts, keeps what it compiled, and hands them to the engine. */
import { type CompiledScript, compileScript } from "../../compile/script.js";
import { SourceError } from "../../compile/source-error.js";
import { EVAL_COMPILE_ONLY, EVAL_GLOBAL_ASYNC, type Instance } from "./instance.js";
import { Cell, type Layout } from "./layout.js";
import type { Source } from "./messages.js";
import { SourceCache } from "./source-cache.js";

export class SourceEvaluator {
  readonly #layout: Layout;
  readonly #scripts = new SourceCache<CompiledScript | SourceError>();

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  /**
   * Runs a source, or tells the kernel what has to be prepared first; guest/sources.ts is the other end.
   *
   * @param mark what the kernel wants appended to the file name; undefined when it has prepared nothing yet
   * @returns an owned `JSValue*`: the promise of its completion, or an exception where it does not parse; or JSON text
   */
  evaluate(instance: Instance, source: Source, mark: string | undefined): number {
    const script = this.#compiled(source, instance.words[(this.#layout.cells >> 2) + Cell.HAS_CONSTANTS] === 1);
    if (script instanceof SourceError) return this.#refusal(instance, script, source);
    if (mark === undefined) {
      const preparation = preparationOf(script);
      if (preparation !== undefined) return this.#text(instance, preparation);
    }
    const filename = source.filename + (mark ?? "");
    if (script.unparsed !== undefined)
      return this.#unparsed(instance, script.source, filename, script.unparsed, source);
    return instance.evaluate(this.#layout.context, script.source, filename, EVAL_GLOBAL_ASYNC);
  }

  #compiled({ code, isTypeScript, bindings }: Source, meetsConstants: boolean): CompiledScript | SourceError {
    const key = `${isTypeScript ? "t" : "j"}${meetsConstants ? "c" : ""}${bindings.join(",")};${code}`;
    return this.#scripts.get(key, () => {
      try {
        return compileScript({ code, isTypeScript, bindings, meetsConstants });
      } catch (error) {
        if (error instanceof SourceError) return error;
        throw error;
      }
    });
  }

  /** The engine words the error of a source that could not be parsed; it is never run, for it would lack its rewrite. */
  #unparsed(instance: Instance, text: string, filename: string, error: SourceError, source: Source): number {
    const engine = instance.exports;
    const { context } = this.#layout;
    const compiled = instance.evaluate(context, text, filename, EVAL_GLOBAL_ASYNC | EVAL_COMPILE_ONLY);
    const exception = engine.QTS_ResolveException(context, compiled);
    engine.QTS_FreeValuePointer(context, compiled);
    if (exception === 0) return this.#refusal(instance, error, source);
    const thrown = engine.QTS_Throw(context, exception);
    engine.QTS_FreeValuePointer(context, exception);
    return thrown;
  }

  #refusal(instance: Instance, { message, place }: SourceError, { filename }: Source): number {
    return this.#text(instance, JSON.stringify([[message, filename, place.line, place.column], null, ""]));
  }

  #text(instance: Instance, text: string): number {
    const { pointer } = instance.writeText(text);
    const value = instance.exports.QTS_NewString(this.#layout.context, pointer);
    instance.exports.free(pointer);
    return value;
  }
}

function preparationOf({ declared, positions }: CompiledScript): string | undefined {
  const { variables, constants, vars, boundConstants } = declared;
  const names = [variables, constants, vars, boundConstants];
  const declares = names.some(({ length }) => length > 0);
  if (!declares && positions === undefined) return undefined;
  return JSON.stringify([null, declares ? names : null, positions === undefined ? "" : JSON.stringify(positions)]);
}
