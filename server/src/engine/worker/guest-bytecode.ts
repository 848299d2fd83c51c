/** Compiles the kernel and its libraries, in an instance of the engine that is dropped afterwards. */
import { EngineAbort, EVAL_COMPILE_ONLY, EVAL_GLOBAL, IDLE_HOST, Instance } from "./instance.js";
import { type EngineModules, INITIAL_PAGES } from "./wasm-module.js";

/** A name for the engine; it is stripped, so frames of the kernel carry none. */
export const KERNEL_FILENAME = "livescope:kernel";

/** `JS_STRIP_SOURCE | JS_STRIP_DEBUG`: functions look like native ones, and no session carries their text or their lines. */
const STRIP_ALL = 3;
const MAXIMUM_PAGES = 512;
const RUNTIME_STRUCT_WORDS = 128;

/** @returns the bytecode of each source, for `Instance.runBytecode` of the same engine build */
export function compileGuest(modules: EngineModules, sources: ReadonlyMap<string, string>): Map<string, Uint8Array> {
  const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: MAXIMUM_PAGES, shared: true });
  const instance = Instance.boot(modules, memory, IDLE_HOST);
  const engine = instance.exports;
  const runtime = engine.QTS_NewRuntime();
  const stripFlags = findStripFlags(instance, runtime);
  const context = engine.QTS_NewContext(runtime, 0);
  instance.bytes[stripFlags] = STRIP_ALL;
  const compiled = new Map<string, Uint8Array>();
  for (const [name, source] of sources) {
    const code = instance.evaluate(context, source, KERNEL_FILENAME, EVAL_GLOBAL | EVAL_COMPILE_ONLY);
    const exception = engine.QTS_ResolveException(context, code);
    if (exception !== 0) throw new EngineAbort(`compiling ${name}: ${instance.readString(context, exception)}`);
    compiled.set(name, instance.writeBytecode(context, code));
    engine.QTS_FreeValuePointer(context, code);
  }
  return compiled;
}

/** `rt->strip_flags` stands right before the shape table, whose fresh state (4 bits, 16 entries) gives it away. */
function findStripFlags(instance: Instance, runtime: number): number {
  const words = instance.words.subarray(runtime >> 2, (runtime >> 2) + RUNTIME_STRUCT_WORDS);
  const found = words.findIndex(
    (word, i) => word === 0 && 1 << (words[i + 1] ?? 0) === words[i + 2] && (words[i + 2] ?? 0) >= 16,
  );
  if (found < 0) throw new EngineAbort("calibration failed: the flags for stripping sources were not found");
  return runtime + found * 4;
}
