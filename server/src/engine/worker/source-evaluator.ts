/** Compiles scripts, keeps what it compiled, and hands them to the engine. */
import { type CompiledScript, compileScript } from "../../compile/script.js";
import { SourceError } from "../../compile/source-error.js";
import { EVAL_COMPILE_ONLY, EVAL_GLOBAL, EVAL_GLOBAL_ASYNC, type Instance } from "./instance.js";
import { Cell, type Layout } from "./layout.js";
import type { Source } from "./messages.js";
import { SourceCache } from "./source-cache.js";
import { TemplateEvaluator } from "./template-evaluator.js";

/** What an answer to the kernel is. Mirrored in guest/host.ts. */
const Answer = {
  /** The promise of `{ value }`; or an exception, because it does not parse. */
  PROMISE: 0,
  /** The completion value. */
  VALUE: 1,
  /** JSON text of what has to be prepared; nothing ran. */
  PREPARE: 2,
  /** What the source threw. */
  THROWN: 3,
  /** An exception, because it does not parse. */
  UNPARSED: 4,
} as const;

export class SourceEvaluator {
  readonly #layout: Layout;
  readonly #scripts = new SourceCache<CompiledScript | SourceError>();
  readonly #templates: TemplateEvaluator;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.#templates = new TemplateEvaluator(layout.context);
  }

  /**
   * Runs a source, or tells the kernel what has to be prepared first; guest/sources.ts is the other end.
   *
   * @param mark what the kernel wants appended to the file name; undefined when it has prepared nothing yet
   * @returns an owned `JSValue*`, of the kind that the answer cell then tells
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
    return script.awaits
      ? this.#answer(instance, Answer.PROMISE, this.#run(instance, script.source, filename, EVAL_GLOBAL_ASYNC))
      : this.#runAtOnce(instance, script.source, filename);
  }

  /** @returns an owned `JSValue*`; see `TemplateEvaluator.evaluate` */
  evaluateTemplate(instance: Instance, request: string, number: number): number {
    return this.#templates.evaluate(instance, request, number);
  }

  /**
   * Runs a source that awaits nothing. Its completion value comes as it is: what the engine wraps around that of a source
   * with await is an ordinary object, which guest code can tamper with through Object.prototype.
   */
  #runAtOnce(instance: Instance, text: string, filename: string): number {
    const result = this.#run(instance, text, filename, EVAL_GLOBAL);
    const exception = this.#takeException(instance, result);
    if (exception === undefined) return this.#answer(instance, Answer.VALUE, result);
    // What does not parse once never does. Interrupted or out of memory, the turn is undone whatever is said here.
    const parsed = this.#run(instance, text, filename, EVAL_GLOBAL | EVAL_COMPILE_ONLY);
    const refusal = this.#takeException(instance, parsed);
    instance.exports.QTS_FreeValuePointer(this.#layout.context, refusal ?? parsed);
    this.#setAnswer(instance, refusal === undefined ? Answer.THROWN : Answer.UNPARSED);
    return this.#throw(instance, exception);
  }

  #run(instance: Instance, text: string, filename: string, flags: number): number {
    return instance.evaluate(this.#layout.context, text, filename, flags);
  }

  /** The error that a result stands for, in place of it; undefined where it is a value. */
  #takeException(instance: Instance, result: number): number | undefined {
    const engine = instance.exports;
    const exception = engine.QTS_ResolveException(this.#layout.context, result);
    if (exception === 0) return undefined;
    engine.QTS_FreeValuePointer(this.#layout.context, result);
    return exception;
  }

  /** Throws an error in the guest, which then owns it. */
  #throw(instance: Instance, error: number): number {
    const { context } = this.#layout;
    const thrown = instance.exports.QTS_Throw(context, error);
    instance.exports.QTS_FreeValuePointer(context, error);
    return thrown;
  }

  #answer(instance: Instance, kind: number, value: number): number {
    this.#setAnswer(instance, kind);
    return value;
  }

  #setAnswer(instance: Instance, kind: number): void {
    instance.words[(this.#layout.cells >> 2) + Cell.ANSWER] = kind;
  }

  #compiled({ code, isTypeScript, bindings }: Source, meetsConstants: boolean): CompiledScript | SourceError {
    // As many characters before the bindings whatever it is, so that none of these is the first of a name.
    const key = `${isTypeScript ? "t" : "j"}${meetsConstants ? "c" : "-"}${bindings.join(",")};${code}`;
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
    const compiled = this.#run(instance, text, filename, EVAL_GLOBAL_ASYNC | EVAL_COMPILE_ONLY);
    const exception = this.#takeException(instance, compiled);
    if (exception !== undefined) return this.#answer(instance, Answer.UNPARSED, this.#throw(instance, exception));
    instance.exports.QTS_FreeValuePointer(this.#layout.context, compiled);
    return this.#refusal(instance, error, source);
  }

  #refusal(instance: Instance, { message, place }: SourceError, { filename }: Source): number {
    return this.#text(instance, JSON.stringify([[message, filename, place.line, place.column], null, ""]));
  }

  #text(instance: Instance, text: string): number {
    const { pointer } = instance.writeText(text);
    const value = instance.exports.QTS_NewString(this.#layout.context, pointer);
    instance.exports.free(pointer);
    return this.#answer(instance, Answer.PREPARE, value);
  }
}

function preparationOf({ declared, positions }: CompiledScript): string | undefined {
  const { variables, constants, vars, boundConstants } = declared;
  const names = [variables, constants, vars, boundConstants];
  const declares = names.some(({ length }) => length > 0);
  if (!declares && positions === undefined) return undefined;
  return JSON.stringify([null, declares ? names : null, positions === undefined ? "" : JSON.stringify(positions)]);
}
