/**
 * Builds the base image: boots the engine once, evaluates the guest kernel, and keeps the pages that are not zero.
 *
 * Every session begins as a copy of it, so runtime, context and kernel entry points have the same addresses in all of
 * them. The addresses that the engine does not tell are found here by experiment.
 */
import { SCOPE_NAME } from "../../compile/top-level.js";
import { checkWriters } from "./check-writers.js";
import { KERNEL_FILENAME } from "./guest-bytecode.js";
import { findObjectLayout } from "./guest-objects.js";
import { GC_THRESHOLD, HEAP_LIMIT, HEAP_SUM, STATE_IN_RUNTIME } from "./heap-bytes.js";
import { EngineAbort, EVAL_GLOBAL, EVAL_MODULE, IDLE_HOST, Instance, JS_VALUE_BYTES } from "./instance.js";
import {
  ARGV_BYTES,
  type BaseImage,
  CELL_COUNT,
  HEAP_RANGE_START,
  HEAP_START,
  heapRangeEnd,
  type Layout,
  PAGE_BYTES,
  STATIC_END,
} from "./layout.js";
import { checkObjectClasses } from "./object-classes.js";
import { rejectionCallback } from "./rejection-callback.js";
import { type EngineModules, INITIAL_PAGES } from "./wasm-module.js";

/** Every deep recursion becomes an error of the guest well before the 32 MiB stack of the thread is used up. */
const GUEST_STACK_BYTES = 256 * 1024;
const GC_THRESHOLD_AFTER_START = 256 * 1024;
const RUNTIME_STRUCT_WORDS = 128;
const CONTEXT_STRUCT_WORDS = 96;
const MODULE_STRUCT_WORDS = 48;
/** What stands nowhere else by chance. */
const THROWN = 0x5eed_f00d;
/** The package's bits for what a context has. */
const ALL_INTRINSICS = 0x1ff;
const INTRINSIC_EVAL = 4;
const PROBE_BYTES = 8 << 20;
const PROBE_PAGES = 512;
const DISPATCHER_ID = 1;

/** @param kernel its bytecode */
export function buildBaseImage(modules: EngineModules, kernel: Uint8Array): BaseImage {
  const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: PROBE_PAGES, shared: true });
  const instance = Instance.boot(modules, memory, IDLE_HOST);
  const engine = instance.exports;

  const runtime = engine.QTS_NewRuntime();
  const gcThresholdWord = findWord(instance, runtime, RUNTIME_STRUCT_WORDS, GC_THRESHOLD_AFTER_START);
  const state = runtime + STATE_IN_RUNTIME;
  if (gcThresholdWord !== state + GC_THRESHOLD)
    throw new EngineAbort("calibration failed: heaps are counted elsewhere");
  engine.QTS_RuntimeSetMaxStackSize(runtime, GUEST_STACK_BYTES);
  const rejectionTracker = findRejectionTracker(instance, runtime, () =>
    engine.QTS_RuntimeEnableInterruptHandler(runtime),
  );
  engine.QTS_RuntimeEnableModuleLoader(runtime, 1);
  const context = engine.QTS_NewContext(runtime, 0);

  const cells = engine.malloc(CELL_COUNT * 4);
  instance.bytes.fill(0, cells, cells + CELL_COUNT * 4);
  const argv = engine.malloc(ARGV_BYTES);
  const name = instance.writeText("dispatch");
  const dispatcher = engine.QTS_NewFunction(context, name.pointer, 0, 0, DISPATCHER_ID);
  engine.free(name.pointer);

  const install = must(instance, context, instance.runBytecode(context, kernel), "running the kernel");
  const buffer = engine.QTS_NewArrayBuffer(context, cells, CELL_COUNT * 4);
  // An import is in the name of the function's file, which the kernel's own functions are stripped of.
  const importModule = evaluate(instance, context, "(name) => import(name)", KERNEL_FILENAME);
  instance.words.set([dispatcher, buffer, importModule], argv >> 2);
  const entries = must(
    instance,
    context,
    engine.QTS_Call(context, install, engine.QTS_GetUndefined(), 3, argv),
    "installing the kernel",
  );
  const enter = engine.QTS_GetPropNumber(context, entries, 0);
  const flush = engine.QTS_GetPropNumber(context, entries, 1);
  const serveModules = engine.QTS_GetPropNumber(context, entries, 2);
  const warnOfRejection = engine.QTS_GetPropNumber(context, entries, 3);
  const sealScope = `const ${SCOPE_NAME}=globalThis.${SCOPE_NAME};delete globalThis.${SCOPE_NAME}`;
  engine.QTS_FreeValuePointer(context, evaluate(instance, context, sealScope, KERNEL_FILENAME));
  const installPlatform = engine.QTS_GetPropNumber(context, entries, 4);
  for (const value of [install, dispatcher, importModule, entries]) engine.QTS_FreeValuePointer(context, value);
  // What it makes takes the place of what is no more needed.
  const installed = engine.QTS_Call(context, installPlatform, engine.QTS_GetUndefined(), 0, argv);
  must(instance, context, installed, "installing the platform");
  for (const value of [installPlatform, installed]) engine.QTS_FreeValuePointer(context, value);

  instance.words[rejectionTracker >> 2] = instance.rejectionCallbackIndex;
  checkRejectionTracker(modules, instance, context);
  const probe = Instance.resume(modules, copyOf(instance), IDLE_HOST);
  const evaluateInProbe = (source: string): number => evaluate(probe, context, source, KERNEL_FILENAME);
  checkObjectClasses(probe, context, evaluateInProbe);
  const objects = findObjectLayout(probe, runtime, evaluateInProbe);
  checkWriters(probe, objects, evaluateInProbe);
  const heapTopWord = findHeapTopWord(modules, instance);
  instance.words[gcThresholdWord >> 2] = 0;
  engine.QTS_FreeValuePointer(context, evaluate(instance, context, "({})", KERNEL_FILENAME));
  clearFreeHeap(modules, instance, heapTopWord);
  checkHeapSum(instance, state, heapTopWord);
  const jobFunctions = findJobFunctions(modules, instance, { runtime, context, gcThresholdWord });
  const foundModules = findModules(modules, instance, context);
  const evalPointer = findEvalPointer(modules);
  const evalFunction = instance.words[(context + evalPointer) >> 2] ?? 0;
  instance.words[(context + evalPointer) >> 2] = instance.onEvalIndex;
  const layout: Layout = {
    runtime,
    context,
    enter,
    flush,
    serveModules,
    warnOfRejection,
    argv,
    cells,
    heapTopWord,
    gcThresholdWord,
    heapSumWord: state + HEAP_SUM,
    heapLimitWord: state + HEAP_LIMIT,
    evalFunction,
    jobFunctions,
    ...foundModules,
    ...objects,
  };
  const runs = nonZeroRuns(instance, layout);
  return { layout, runs, size: runs.reduce((sum, [, bytes]) => sum + bytes.length, 0) };
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

/** What is counted can only be right if it is more than half of what lies below the top: the rest is holes, and what the host has put there. */
function checkHeapSum({ words }: Instance, state: number, heapTopWord: number): void {
  const used = (words[heapTopWord >> 2] ?? 0) - HEAP_START;
  const sum = words[(state + HEAP_SUM) >> 2] ?? 0;
  if (sum > used || sum < used / 2) throw new EngineAbort("calibration failed: the bytes of the heap are not counted");
}

/**
 * `ctx->eval_internal`, as an offset within the context: of all words that hold the index of a function, the one that a
 * context made without `eval` leaves empty.
 */
function findEvalPointer(modules: EngineModules): number {
  const contextWith = (intrinsics: number): { words: Int32Array; functionCount: number } => {
    const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: PROBE_PAGES, shared: true });
    const { exports, words, functionCount } = Instance.boot(modules, memory, IDLE_HOST);
    const start = exports.QTS_NewContext(exports.QTS_NewRuntime(), intrinsics) >> 2;
    return { words: words.slice(start, start + CONTEXT_STRUCT_WORDS), functionCount };
  };
  const { words, functionCount } = contextWith(ALL_INTRINSICS);
  const without = contextWith(ALL_INTRINSICS & ~INTRINSIC_EVAL).words;
  const found = [...words.keys()].filter((i) => {
    const word = words[i] ?? 0;
    return word > 0 && word < functionCount && without[i] === 0;
  });
  if (found.length !== 1) throw new EngineAbort("calibration failed: the function that evaluates was not found");
  return (found[0] ?? 0) * 4;
}

/** Each makes a job of another kind: a reaction of a promise, a thenable that is asked, a finalizer, an import. */
const JOB_MAKERS = [
  "Promise.resolve().then(() => 0), 0",
  "new Promise((resolve) => resolve({ then() {} })), 0",
  "globalThis.registry = new FinalizationRegistry(() => 0), registry.register({}, 0), 0",
  'import("nothing").catch(() => 0), 0',
];

/**
 * The functions of jobs, found by making some in copies of the memory. `rt->job_list` is a list head, which points to itself while
 * it is empty; an entry has its links, its context, and then the index of its function.
 */
function findJobFunctions(
  modules: EngineModules,
  instance: Instance,
  { runtime, context, gcThresholdWord }: Pick<Layout, "runtime" | "context" | "gcThresholdWord">,
): number[] {
  const found = JOB_MAKERS.map((source) => {
    const probe = Instance.resume(modules, copyOf(instance), IDLE_HOST);
    const head = runtime >> 2;
    const wasEmpty = [...probe.words.subarray(head, head + RUNTIME_STRUCT_WORDS).keys()].filter(
      (i) => probe.words[head + i] === runtime + i * 4 && probe.words[head + i + 1] === runtime + i * 4,
    );
    evaluate(probe, context, source, KERNEL_FILENAME);
    // A finalizer waits for the garbage collector.
    probe.words[gcThresholdWord >> 2] = 0;
    evaluate(probe, context, "({})", KERNEL_FILENAME);
    const functions = wasEmpty.flatMap((i) => {
      const entry = probe.words[head + i + 1] ?? 0;
      const isJob = entry !== runtime + i * 4 && probe.words[(entry + 8) >> 2] === context;
      const index = probe.words[(entry + 12) >> 2] ?? 0;
      return isJob && index > 0 && index < probe.functionCount ? [index] : [];
    });
    if (functions.length !== 1) throw new EngineAbort(`calibration failed: no job was found of ${source}`);
    return functions[0] ?? 0;
  });
  return [...new Set(found)];
}

/**
 * `ctx->loaded_modules`, a list head that points to itself while it is empty, and within a module, behind its links,
 * `eval_has_exception` and `eval_exception`: found on a copy of the memory, by a module that throws.
 */
function findModules(
  modules: EngineModules,
  instance: Instance,
  context: number,
): Pick<Layout, "modules" | "moduleError"> {
  const probe = Instance.resume(modules, copyOf(instance), IDLE_HOST);
  const isEmpty = (address: number): boolean =>
    probe.words[address >> 2] === address && probe.words[(address >> 2) + 1] === address;
  const heads = Array.from({ length: CONTEXT_STRUCT_WORDS }, (_, i) => context + i * 4).filter(isEmpty);
  probe.exports.QTS_FreeValuePointer(context, probe.evaluate(context, `throw ${THROWN}`, KERNEL_FILENAME, EVAL_MODULE));
  const [head = 0, ...others] = heads.filter((address) => !isEmpty(address));
  const first = (probe.words[(head >> 2) + 1] ?? 0) >> 2;
  const at = probe.words.subarray(first, first + MODULE_STRUCT_WORDS).indexOf(THROWN);
  if (head === 0 || others.length > 0 || at < 0 || probe.words[first + at - 2] !== 1) {
    throw new EngineAbort("calibration failed: the errors of modules were not found");
  }
  return { modules: head, moduleError: at * 4 };
}

/**
 * `rt->host_promise_rejection_tracker` and its opaque follow the interrupt handler and its opaque; behind them stands the
 * list of jobs, whose head points to itself while it is empty.
 */
function findRejectionTracker(instance: Instance, runtime: number, setInterruptHandler: () => void): number {
  const start = runtime >> 2;
  const before = instance.words.slice(start, start + RUNTIME_STRUCT_WORDS);
  setInterruptHandler();
  const handler = before.findIndex((word, i) => word === 0 && instance.words[start + i] !== 0);
  const tracker = runtime + (handler + 2) * 4;
  const jobs = tracker + 8;
  const found = handler >= 0 && instance.words[tracker >> 2] === 0 && instance.words[jobs >> 2] === jobs;
  if (!found) throw new EngineAbort("calibration failed: the callback for rejections was not found");
  return tracker;
}

/** Tries on a copy of the memory whether the engine tells of a rejection and of its handling. */
function checkRejectionTracker(modules: EngineModules, instance: Instance, context: number): void {
  const told: boolean[] = [];
  const onRejection = rejectionCallback((_promise, _reason, isHandled) => told.push(isHandled));
  const probe = Instance.resume(modules, copyOf(instance), { ...IDLE_HOST, onRejection });
  evaluate(probe, context, "Promise.reject(1).then(0, () => 0), 0", KERNEL_FILENAME);
  if (told.join() !== "false,true") throw new EngineAbort("calibration failed: the engine does not tell of rejections");
}

/** The word of static data that rises by as much as a large allocation takes, found on a copy of the memory. */
function findHeapTopWord(modules: EngineModules, instance: Instance): number {
  const probe = Instance.resume(modules, copyOf(instance), IDLE_HOST);
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
function clearFreeHeap(modules: EngineModules, instance: Instance, heapTopWord: number): void {
  const taken: number[] = [];
  for (let size = 64 * 1024; size >= 64; size >>= 1) {
    const count = countFreeChunks(modules, instance, heapTopWord, size);
    for (let i = 0; i < count; i++) {
      const pointer = instance.exports.malloc(size);
      instance.bytes.fill(0, pointer, pointer + size);
      taken.push(pointer);
    }
  }
  for (const pointer of taken) instance.exports.free(pointer);
}

function countFreeChunks(modules: EngineModules, instance: Instance, heapTopWord: number, size: number): number {
  const probe = Instance.resume(modules, copyOf(instance), IDLE_HOST);
  const top = probe.words[heapTopWord >> 2] ?? 0;
  let count = 0;
  while (probe.exports.malloc(size) !== 0 && probe.words[heapTopWord >> 2] === top) count++;
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
