/** Compiles sources, keeps what it compiled, and hands them to the engine. */
import { type CompiledScript, compileScript } from "../../compile/script.js";
import { EVAL_COMPILE_ONLY, EVAL_GLOBAL, EVAL_GLOBAL_ASYNC, type Instance } from "./instance.js";
import type { Source } from "./messages.js";

/** Compiled scripts a worker keeps; when there are more it begins anew. */
const COMPILED_SCRIPTS = 1000;
const LONGEST_KEPT_SOURCE = 65_536;

export class SourceEvaluator {
  readonly #context: number;
  readonly #scripts = new Map<string, CompiledScript>();

  /** @param context `JSContext*` */
  constructor(context: number) {
    this.#context = context;
  }

  /**
   * Runs a source.
   *
   * @param declare prepares top-level names; takes JSON text of `[variables, constants]`
   * @returns an owned `JSValue*`: the promise of its completion, or an exception where it does not parse
   */
  evaluate(instance: Instance, source: Source, declare: (names: string) => void): number {
    const script = this.#compiled(source);
    if (script.variables.length + script.constants.length > 0) {
      declare(JSON.stringify([script.variables, script.constants]));
    }
    if (script.refusal !== undefined) return this.#syntaxErrorOf(instance, source, script.refusal);
    return this.#run(instance, script.source, source.filename, EVAL_GLOBAL_ASYNC);
  }

  #compiled(source: Source): CompiledScript {
    const key = `${source.bindings.join(",")};${source.code}`;
    let script = this.#scripts.get(key);
    if (script === undefined) {
      script = compileScript(source.code, source.bindings);
      if (this.#scripts.size >= COMPILED_SCRIPTS) this.#scripts.clear();
      if (key.length < LONGEST_KEPT_SOURCE) this.#scripts.set(key, script);
    }
    return script;
  }

  /** The engine words the error of a source that could not be parsed here; it is never run, for it would lack its rewrite. */
  #syntaxErrorOf(instance: Instance, source: Source, refusal: string): number {
    const engine = instance.exports;
    const compiled = this.#run(instance, source.code, source.filename, EVAL_GLOBAL_ASYNC | EVAL_COMPILE_ONLY);
    const exception = engine.QTS_ResolveException(this.#context, compiled);
    engine.QTS_FreeValuePointer(this.#context, compiled);
    if (exception !== 0) return engine.QTS_Throw(this.#context, exception);
    const thrower = `throw new SyntaxError(${JSON.stringify(refusal)})`;
    return this.#run(instance, thrower, source.filename, EVAL_GLOBAL);
  }

  #run(instance: Instance, text: string, filename: string, flags: number): number {
    return instance.evaluate(this.#context, text, filename, flags);
  }
}
