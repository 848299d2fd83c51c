/**
 * Puts small functions of the engine in place of calls of them. The package is built for its size, and V8 puts no function of WebAssembly
 * into another: most of what the interpreter calls are a few instructions that count references.
 */
import binaryen from "binaryen";

/**
 * The largest function that is put in place of a call, in Binaryen's nodes. What counts has more than 20 of them. With 35 the interpreter's
 * loop, in the form that tracks its stores, is beyond what V8 allocates registers for with care, and takes half as long again.
 */
const LARGEST_INLINED = 25;

/** Gives code that does the same. It is the same code on every machine. */
export function withInlinedCalls(code: Uint8Array): Uint8Array {
  const module = binaryen.readBinary(code);
  try {
    const { MVP, BulkMemory, SignExt, MutableGlobals, NontrappingFPToInt } = binaryen.Features;
    module.setFeatures(MVP | BulkMemory | SignExt | MutableGlobals | NontrappingFPToInt);
    // Both hold for all modules, and nothing else makes any. What is called once would else be put there whatever its size.
    binaryen.setAlwaysInlineMaxSize(LARGEST_INLINED);
    binaryen.setOneCallerInlineMaxSize(0);
    module.runPasses(["inlining"]);
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}
