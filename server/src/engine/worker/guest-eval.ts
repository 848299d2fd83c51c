/**
 * Source text that guest code evaluates: `eval`, direct and indirect, and the constructors of functions. It is compiled like
 * all other (compile/eval.ts), or the code in it would lose its execution at its first await.
 *
 * The engine evaluates every source through a pointer to a function in its context (`eval_internal`). boot.ts finds it and
 * puts one of ours in its place, at the same index of the function table in every instance. So `eval` and the constructors stay the
 * engine's own: direct calls see their scope, and nothing that guest code can reach was replaced.
 */
import { compileEval } from "../../compile/eval.js";
import { SourceError } from "../../compile/source-error.js";
import { SCOPE_NAME } from "../../compile/top-level.js";
import type { Instance } from "./instance.js";
import type { Layout } from "./layout.js";
import { SourceCache } from "./source-cache.js";

/** `this` and the result are `JSValue`s; the source is UTF-8 in the session's memory. */
export type EvalFunction = (
  context: number,
  self: bigint,
  source: number,
  length: number,
  filename: number,
  flags: number,
  scope: number,
) => bigint;

/** A module that imports a function of this type and exports it: only such a function may stand in a table. */
const ADAPTER = Uint8Array.from([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  // type 0: (i32, i64, i32, i32, i32, i32, i32) -> i64
  ...[1, 12, 1, 0x60, 7, 0x7f, 0x7e, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7e],
  // import "a" "a", a function of type 0
  ...[2, 7, 1, 1, 0x61, 1, 0x61, 0, 0],
  // export "a", function 0
  ...[7, 5, 1, 1, 0x61, 0, 0],
]);

export function evalCallback(evaluate: EvalFunction): WebAssembly.ExportValue {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(ADAPTER), { a: { a: evaluate } });
  return exports.a as WebAssembly.ExportValue;
}

/** `JS_EVAL_TYPE_MASK`: what of the flags says who evaluates. */
const TYPE_MASK = 3;
/** `JS_EVAL_TYPE_DIRECT`; above it `JS_EVAL_TYPE_INDIRECT`, below it what the host evaluates. */
const TYPE_DIRECT = 2;
/** `JS_EVAL_FLAG_COMPILE_ONLY`. */
const COMPILE_ONLY = 32;
const GLOBAL = 0;
/** `JS_TAG_EXCEPTION`, the upper half of a `JSValue`. */
const TAG_EXCEPTION = 6n;
const JS_VALUE_BYTES = 8;

/** What a text has that cannot be left as it is. Texts without are not read any further. */
const WORDS = ["await", "async", "import", SCOPE_NAME, "\\u"];

export class GuestEval {
  readonly #layout: Layout;
  readonly #compiled = new SourceCache<ReturnType<typeof compileEval>>();

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  evaluate(instance: Instance, ...[context, self, source, length, filename, flags, scope]: Parameters<EvalFunction>) {
    const evaluate = instance.functionAt(this.#layout.evalFunction) as unknown as EvalFunction;
    const asIs = (extra = 0): bigint => evaluate(context, self, source, length, filename, flags | extra, scope);
    if ((flags & TYPE_MASK) < TYPE_DIRECT) return asIs();
    const bytes = instance.bytes.subarray(source, source + length);
    if (!WORDS.some((word) => bytes.includes(word))) return asIs();
    const code = bytes.toString("utf8");
    const compiled = this.#compiled.get(code, () => compileEval(code));
    if (compiled === undefined) return asIs();
    const run = (text: string, withFlags: number): bigint => {
      const written = instance.writeText(text);
      const result = evaluate(context, self, written.pointer, written.length, filename, withFlags, scope);
      instance.exports.free(written.pointer);
      return result;
    };
    if (!(compiled instanceof SourceError)) return run(compiled, flags);
    // The engine words its own syntax errors.
    const parsed = asIs(COMPILE_ONLY);
    if (parsed >> 32n === TAG_EXCEPTION) return parsed;
    this.#free(instance, parsed);
    return run(`throw new SyntaxError(${JSON.stringify(compiled.message)})`, GLOBAL);
  }

  #free(instance: Instance, value: bigint): void {
    const cell = instance.exports.malloc(JS_VALUE_BYTES);
    // Without room the value stays until the session goes.
    if (cell === 0) return;
    instance.bytes.writeBigInt64LE(value, cell);
    instance.touch(cell, JS_VALUE_BYTES);
    instance.exports.QTS_FreeValuePointer(this.#layout.context, cell);
  }
}
