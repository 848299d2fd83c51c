/**
 * Builds the base image: boots the engine once, evaluates the guest kernel, and keeps the pages that are not zero.
 *
 * Every session begins as a copy of it, so runtime, context and kernel entry points have the same addresses in all of
 * them. The addresses that the engine does not tell are found here by experiment.
 */
import { createHash } from "node:crypto";
import { SCOPE_NAME } from "../../compile/locals-transform.js";
import { EngineAbort, EVAL_GLOBAL, Instance, type InstanceHost, JS_VALUE_BYTES } from "./instance.js";
import {
  type BaseImage,
  CELL_COUNT,
  HEAP_RANGE_START,
  HEAP_START,
  heapRangeEnd,
  type Layout,
  PAGE_BYTES,
  STATIC_END,
} from "./layout.js";
import { type EngineModules, INITIAL_PAGES } from "./wasm-module.js";

/** Every deep recursion becomes an error of the guest well before the 16 MiB stack of the thread is used up. */
const GUEST_STACK_BYTES = 256 * 1024;
const GC_THRESHOLD_AFTER_START = 256 * 1024;
const RUNTIME_STRUCT_WORDS = 128;
const PROBE_BYTES = 8 << 20;
const PROBE_PAGES = 512;
/** `JS_STRIP_SOURCE`. */
export const STRIP_SOURCE = 1;
const DISPATCHER_ID = 1;
const ARGV_BYTES = 16;

/** The file name that frames of the kernel carry; frames with it are not shown to anybody. */
export const KERNEL_FILENAME = "livescope:kernel";

const NO_HOST: InstanceHost = { dispatch: () => 0, shouldInterrupt: () => false };

/** @param libraries sources that sessions load later, by name; part of the digest, since snapshots hold what was loaded */
export function buildBaseImage(
  modules: EngineModules,
  kernelSource: string,
  libraries: ReadonlyMap<string, string>,
): BaseImage {
  const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: PROBE_PAGES, shared: true });
  const instance = Instance.boot(modules, memory, NO_HOST);
  const engine = instance.exports;

  const runtime = engine.QTS_NewRuntime();
  const gcThresholdWord = findWord(instance, runtime, RUNTIME_STRUCT_WORDS, GC_THRESHOLD_AFTER_START);
  engine.QTS_RuntimeSetMaxStackSize(runtime, GUEST_STACK_BYTES);
  engine.QTS_RuntimeEnableInterruptHandler(runtime);
  const context = engine.QTS_NewContext(runtime, 0);

  const cells = engine.malloc(CELL_COUNT * 4);
  instance.bytes.fill(0, cells, cells + CELL_COUNT * 4);
  const argv = engine.malloc(ARGV_BYTES);
  const name = instance.writeText("dispatch");
  const dispatcher = engine.QTS_NewFunction(context, name.pointer, 0, 0, DISPATCHER_ID);
  engine.free(name.pointer);

  // The kernel's own source text would be kept, once for each level of nesting; so its functions look like native ones.
  const stripFlags = findStripFlags(instance, runtime);
  instance.bytes[stripFlags] = STRIP_SOURCE;
  const install = evaluate(instance, context, kernelSource, KERNEL_FILENAME);
  instance.words.set([dispatcher, engine.QTS_NewArrayBuffer(context, cells, CELL_COUNT * 4)], argv >> 2);
  instance.bytes[stripFlags] = 0;
  const entries = must(
    instance,
    context,
    engine.QTS_Call(context, install, engine.QTS_GetUndefined(), 2, argv),
    "installing the kernel",
  );
  const enter = engine.QTS_GetPropNumber(context, entries, 0);
  const flush = engine.QTS_GetPropNumber(context, entries, 1);
  const declare = engine.QTS_GetPropNumber(context, entries, 2);
  const sealScope = `const ${SCOPE_NAME}=globalThis.${SCOPE_NAME};delete globalThis.${SCOPE_NAME}`;
  engine.QTS_FreeValuePointer(context, evaluate(instance, context, sealScope, KERNEL_FILENAME));
  for (const value of [install, dispatcher, entries]) engine.QTS_FreeValuePointer(context, value);

  const sbrkWord = findSbrkWord(modules, instance);
  instance.words[gcThresholdWord >> 2] = 0;
  engine.QTS_FreeValuePointer(context, evaluate(instance, context, "({})", KERNEL_FILENAME));
  clearFreeHeap(modules, instance, sbrkWord);
  const layout: Layout = {
    runtime,
    context,
    enter,
    flush,
    declare,
    argv,
    cells,
    sbrkWord,
    gcThresholdWord,
    stripFlags,
  };
  const runs = nonZeroRuns(instance, layout);
  const digest = createHash("sha256").update(modules.engineDigest).update(kernelSource);
  for (const [name, source] of libraries) digest.update(name).update(source);
  return {
    layout,
    runs,
    size: runs.reduce((sum, [, bytes]) => sum + bytes.length, 0),
    digest: digest.digest("hex"),
  };
}

function evaluate(instance: Instance, context: number, source: string, filename: string): number {
  return must(instance, context, instance.evaluate(context, source, filename, EVAL_GLOBAL), `evaluating ${filename}`);
}

function must(instance: Instance, context: number, value: number, what: string): number {
  const exception = instance.exports.QTS_ResolveException(context, value);
  if (exception === 0) return value;
  throw new EngineAbort(`${what} failed: ${instance.readString(context, exception)}`);
}

function findWord(instance: Instance, start: number, count: number, value: number): number {
  const from = start >> 2;
  const index = instance.words.subarray(from, from + count).indexOf(value);
  if (index < 0) throw new EngineAbort("calibration failed: the garbage collection threshold was not found");
  return (from + index) * 4;
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

/** The word of static data that rises by as much as a large allocation takes, found on a copy of the memory. */
function findSbrkWord(modules: EngineModules, instance: Instance): number {
  const probe = Instance.resume(modules, copyOf(instance), NO_HOST);
  const before = probe.words.slice(0, STATIC_END >> 2);
  probe.exports.malloc(PROBE_BYTES);
  const after = probe.words;
  const found = [...before.keys()].filter((i) => {
    const was = before[i] ?? 0;
    const rose = (after[i] ?? 0) - was;
    return was > HEAP_START && rose >= PROBE_BYTES && rose < PROBE_BYTES + 2 * 65536;
  });
  if (found.length === 0) throw new EngineAbort("calibration failed: the top of the heap was not found");
  return Math.min(...found) * 4;
}

/**
 * Fills free chunks of the heap with zeroes: what compiling the kernel left behind would otherwise be part of every
 * session. How many chunks of a size there are below the top of the heap is tried out on a copy, so that the top stays.
 */
function clearFreeHeap(modules: EngineModules, instance: Instance, sbrkWord: number): void {
  const taken: number[] = [];
  for (let size = 64 * 1024; size >= 64; size >>= 1) {
    const count = countFreeChunks(modules, instance, sbrkWord, size);
    for (let i = 0; i < count; i++) {
      const pointer = instance.exports.malloc(size);
      instance.bytes.fill(0, pointer, pointer + size);
      taken.push(pointer);
    }
  }
  for (const pointer of taken) instance.exports.free(pointer);
}

function countFreeChunks(modules: EngineModules, instance: Instance, sbrkWord: number, size: number): number {
  const probe = Instance.resume(modules, copyOf(instance), NO_HOST);
  const top = probe.words[sbrkWord >> 2] ?? 0;
  let count = 0;
  while (probe.exports.malloc(size) !== 0 && probe.words[sbrkWord >> 2] === top) count++;
  return count;
}

function copyOf(instance: Instance): WebAssembly.Memory {
  const pages = instance.bytes.length / 65536;
  const copy = new WebAssembly.Memory({ initial: pages, maximum: PROBE_PAGES, shared: true });
  new Uint8Array(copy.buffer).set(instance.bytes);
  return copy;
}

/** Pages outside the C stack that hold anything, neighbours joined. */
function nonZeroRuns(instance: Instance, layout: Layout): [number, Uint8Array][] {
  const bytes = instance.bytes;
  const runs: [number, Uint8Array][] = [];
  const ranges = [
    [0, STATIC_END],
    [HEAP_RANGE_START, heapRangeEnd(instance.words, layout)],
  ] as const;
  let start = -1;
  const close = (end: number): void => {
    if (start >= 0) runs.push([start, sharedCopy(bytes.subarray(start, end))]);
    start = -1;
  };
  for (const [from, to] of ranges) {
    for (let page = from; page < to; page += PAGE_BYTES) {
      const isZero = bytes.subarray(page, page + PAGE_BYTES).every((byte) => byte === 0);
      if (isZero) close(page);
      else if (start < 0) start = page;
    }
    close(to);
  }
  return runs;
}

function sharedCopy(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/** The end of one `JSValue` in an argument vector is the begin of the next. */
export function argument(argv: number, index: number): number {
  return argv + index * JS_VALUE_BYTES;
}
