/**
 * One WebAssembly instance of the engine over one session's memory.
 *
 * An instance owns nothing but views: all state lies in the memory it was given, so it can be dropped at any moment when
 * no guest frame is on its stack, and must be dropped after a trap (the stack pointer, its only mutable global, is then
 * off). Pointers are byte offsets into the memory; `JSValue*` pointers point to 8-byte cells of the guest heap.
 */
import { EVAL_FUNCTION_EXPORT } from "./bytecode-access.js";
import { evalCallback } from "./guest-eval.js";
import { countJobs } from "./job-numbers.js";
import type { BaseImage } from "./layout.js";
import { CONSTRUCTOR, type RawExports, TABLE_EXPORT } from "./raw-exports.js";
import { rejectionCallback } from "./rejection-callback.js";
import { markPages } from "./tracked-pages.js";
import { CALLBACKS, type EngineModules } from "./wasm-module.js";

/** What the engine may ask of the thread it runs on. */
export interface InstanceHost {
  /** The guest kernel called its dispatcher; the result is an owned `JSValue*`, or 0 for undefined. */
  dispatch(argc: number, argv: number): number;
  /** The name of the module that a specifier leads to. Never fails: for what is not there `loadModule` gives the reason. */
  resolveModule(importer: string, specifier: string): string;
  /** The text of a module; undefined when it has thrown instead. */
  loadModule(name: string): string | undefined;
  /** Polled by the engine every 10,000 branches; true ends the running code. */
  shouldInterrupt(): boolean;
  /** Milliseconds since the epoch. */
  now(): number;
  /** The session's memory is about to grow by so many pages. False: all sessions together hold too much. */
  mayGrow(pages: number): boolean;
  /** It did not grow after all. */
  didNotGrow(pages: number): void;
  /** Made by `evalCallback`: evaluates the source texts of guest code, and all others. */
  readonly onEval: WebAssembly.ExportValue;
  /** Made by `rejectionCallback`: what the engine calls about promises that are rejected. */
  readonly onRejection: WebAssembly.ExportValue;
}

/** `JS_EVAL_FLAG_ASYNC`: global code with top-level await, answered by a promise of `{ value }`. */
export const EVAL_GLOBAL_ASYNC = 128;
/** `JS_EVAL_FLAG_COMPILE_ONLY`. */
export const EVAL_COMPILE_ONLY = 32;
/** `JS_EVAL_TYPE_GLOBAL`. */
export const EVAL_GLOBAL = 0;
/** `JS_EVAL_TYPE_MODULE`. */
export const EVAL_MODULE = 1;

/** Size of a `JSValue` of this build. */
export const JS_VALUE_BYTES = 8;
/** `JS_TAG_EXCEPTION`, the upper half of a `JSValue`. */
const TAG_EXCEPTION = 6n;

const EINVAL = 28;
const WASI_ERRNO_BADF = 8;

/** For instances that run nothing of guests. Their clock stands: the engine seeds a generator by it, and boots of one build are alike. */
export const IDLE_HOST: InstanceHost = {
  dispatch: () => 0,
  resolveModule: (_importer, specifier) => specifier,
  loadModule: () => "",
  shouldInterrupt: () => false,
  now: () => 0,
  mayGrow: () => true,
  didNotGrow: () => undefined,
  onEval: evalCallback(() => 0n),
  onRejection: rejectionCallback(() => undefined),
};

/** Thrown when the engine aborts or calls something that it never should; the instance must be dropped. */
export class EngineAbort extends Error {
  override readonly name = "EngineAbort";
}

export class Instance {
  readonly exports: RawExports;
  /** It keeps the table of pages that were written to (tracked-pages.ts). */
  readonly isTracked: boolean;
  /**
   * Set once the engine asked for memory that it did not get, to whose maximum was in the way: its session's, or that of all
   * together. Guest code may catch its own out-of-memory error.
   */
  outOfMemory: "memory" | "serverMemory" | undefined;
  /** Where the host's callbacks stand in the function table; a session keeps the indices, so they are the same in every instance. */
  readonly onEvalIndex: number;
  readonly rejectionCallbackIndex: number;
  readonly #table: WebAssembly.Table;
  readonly #memory: WebAssembly.Memory;
  #bytes: Buffer;
  #words: Int32Array;

  private constructor(module: WebAssembly.Module, memory: WebAssembly.Memory, host: InstanceHost, isTracked = false) {
    this.isTracked = isTracked;
    this.#memory = memory;
    this.#bytes = Buffer.from(memory.buffer);
    this.#words = new Int32Array(memory.buffer);
    const { exports } = new WebAssembly.Instance(module, { a: { a: memory, ...this.#imports(host) } });
    // A copy: looking a function up in the object that WebAssembly makes takes longer.
    this.exports = { ...exports } as unknown as RawExports;
    this.#table = exports[TABLE_EXPORT] as WebAssembly.Table;
    // The table that an instance begins with is always the same, so in all of them the callbacks have the same indices.
    this.rejectionCallbackIndex = this.#table.length - CALLBACKS;
    this.#table.set(this.rejectionCallbackIndex, host.onRejection);
    this.onEvalIndex = this.rejectionCallbackIndex + 1;
    this.#table.set(this.onEvalIndex, host.onEval);
  }

  /** Starts the engine in a fresh memory: the constructor and data segments run. */
  static boot(modules: EngineModules, memory: WebAssembly.Memory, host: InstanceHost): Instance {
    const instance = new Instance(modules.boot, memory, host);
    (instance.exports as unknown as Record<string, () => void>)[CONSTRUCTOR.name]?.();
    return instance;
  }

  /** Stands up over a memory that already holds a session; not one byte of it changes. */
  static resume(modules: Pick<EngineModules, "resume">, memory: WebAssembly.Memory, host: InstanceHost): Instance {
    return new Instance(modules.resume, memory, host);
  }

  /**
   * As `resume`, over a session made from the base image: jobs are counted.
   *
   * @param tracked the module that tracks its stores, for an instance that is to do so
   */
  static resumeSession(
    { baseImage, ...modules }: Pick<EngineModules, "resume"> & { readonly baseImage: BaseImage },
    memory: WebAssembly.Memory,
    host: InstanceHost,
    tracked?: WebAssembly.Module,
  ): Instance {
    const instance = new Instance(tracked ?? modules.resume, memory, host, tracked !== undefined);
    countJobs(instance.#table, memory, baseImage.layout);
    return instance;
  }

  /** Whoever writes to the memory in the engine's place says so, unless it is what every turn writes to (checkpoint.ts). */
  touch(address: number, length: number): void {
    if (this.isTracked) markPages(this.bytes, address, length);
  }

  /** A function of the engine's, by its place in the table. */
  functionAt(index: number): WebAssembly.ExportValue {
    return this.#table.get(index);
  }

  /** How many functions the engine has in its table. */
  get functionCount(): number {
    return this.rejectionCallbackIndex;
  }

  get memory(): WebAssembly.Memory {
    return this.#memory;
  }

  /** The memory as bytes, whole as long as this instance alone makes it grow. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** The memory as 32-bit words, like `bytes`. */
  get words(): Int32Array {
    return this.#words;
  }

  /**
   * To be called when this instance takes the session over: its memory may have grown on another thread. Not with each look at the
   * memory, for V8 makes an object anew for each, and a turn looks twenty times.
   */
  noticeGrowth(): void {
    if (this.#bytes.length !== this.#memory.buffer.byteLength) this.#refresh();
  }

  /** Copies text to the guest heap, NUL-terminated; the caller frees it. Returns its pointer and length in bytes. */
  writeText(text: string): { pointer: number; length: number } {
    const length = Buffer.byteLength(text);
    const pointer = this.exports.malloc(length + 1);
    if (pointer === 0) throw new OutOfGuestMemory();
    const bytes = this.bytes;
    bytes.write(text, pointer, length, "utf8");
    bytes[pointer + length] = 0;
    this.touch(pointer, length + 1);
    return { pointer, length };
  }

  /** Reads NUL-terminated UTF-8. */
  readText(pointer: number): string {
    const bytes = this.bytes;
    return bytes.toString("utf8", pointer, bytes.indexOf(0, pointer));
  }

  /** The text of a guest string that holds neither NUL nor a lone surrogate (JSON text never does). */
  readString(context: number, value: number): string {
    const pointer = this.exports.QTS_GetString(context, value);
    if (pointer === 0) throw new OutOfGuestMemory();
    const text = this.readText(pointer);
    this.exports.QTS_FreeCString(context, pointer);
    return text;
  }

  /** A new ArrayBuffer of the guest with these bytes; an owned `JSValue*`. */
  newArrayBuffer(context: number, bytes: Uint8Array): number {
    const pointer = this.exports.malloc(Math.max(1, bytes.length));
    if (pointer === 0) throw new OutOfGuestMemory();
    this.bytes.set(bytes, pointer);
    this.touch(pointer, bytes.length);
    return this.exports.QTS_NewArrayBuffer(context, pointer, bytes.length);
  }

  /** A copy of the bytes of an ArrayBuffer of the guest. @param place gives room for so many */
  readArrayBuffer(
    context: number,
    value: number,
    place: (size: number) => Uint8Array = (size) => new Uint8Array(size),
  ): Uint8Array {
    const length = this.exports.QTS_GetArrayBufferLength(context, value);
    if (length <= 0) return new Uint8Array();
    // The engine makes a copy of its own, which is this side's to free.
    const pointer = this.exports.QTS_GetArrayBuffer(context, value);
    if (pointer === 0) throw new OutOfGuestMemory();
    const copy = place(length);
    copy.set(this.bytes.subarray(pointer, pointer + length));
    this.exports.free(pointer);
    return copy;
  }

  /** A new string of the guest; an owned `JSValue*`. The text must hold no NUL. */
  newString(context: number, text: string): number {
    const written = this.writeText(text);
    const value = this.exports.QTS_NewString(context, written.pointer);
    this.exports.free(written.pointer);
    return value;
  }

  /** Evaluates a source; gives an owned `JSValue*`, an exception included. */
  evaluate(context: number, source: string, filename: string, flags: number): number {
    const code = this.writeText(source);
    const name = this.writeText(filename);
    const result = this.exports.QTS_Eval(context, code.pointer, code.length, name.pointer, 0, flags);
    this.exports.free(code.pointer);
    this.exports.free(name.pointer);
    return result;
  }

  /** The bytecode of what was compiled with `EVAL_COMPILE_ONLY`. */
  writeBytecode(context: number, compiled: number): Uint8Array {
    const engine = this.exports;
    const buffer = engine.QTS_bjson_encode(context, compiled);
    const start = engine.QTS_GetArrayBuffer(context, buffer);
    const bytes = this.bytes.subarray(start, start + engine.QTS_GetArrayBufferLength(context, buffer));
    const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
    copy.set(bytes);
    engine.QTS_FreeValuePointer(context, buffer);
    return copy;
  }

  /** Runs bytecode that `writeBytecode` gave; gives an owned `JSValue*`, an exception included. */
  runBytecode(context: number, code: Uint8Array): number {
    const engine = this.exports;
    const buffer = this.newArrayBuffer(context, code);
    const value = engine.QTS_bjson_decode(context, buffer);
    engine.QTS_FreeValuePointer(context, buffer);
    const compiled = this.bytes.readBigInt64LE(value);
    if (compiled >> 32n === TAG_EXCEPTION) return value;
    const result = engine[EVAL_FUNCTION_EXPORT](context, compiled);
    this.bytes.writeBigInt64LE(result, value);
    this.touch(value, JS_VALUE_BYTES);
    return value;
  }

  #refresh(): void {
    this.#bytes = Buffer.from(this.#memory.buffer);
    this.#words = new Int32Array(this.#memory.buffer);
  }

  /** The 19 functions this build imports, by their minified names. Sessions see UTC and an empty environment. */
  #imports(host: InstanceHost): WebAssembly.ModuleImports {
    const abort = (what: string): never => {
      throw new EngineAbort(`the engine aborted: ${what}`);
    };
    return {
      b: (message: number) => abort(`assertion failed: ${this.readText(message)}`),
      c: () => WASI_ERRNO_BADF,
      d: () => WASI_ERRNO_BADF,
      e: () => 0,
      f: (count: number, size: number) => {
        this.words[count >> 2] = 0;
        this.words[size >> 2] = 0;
        return 0;
      },
      g: (_runtime: number, _context: number, importer: number, specifier: number) =>
        this.writeText(host.resolveModule(this.readText(importer), this.readText(specifier))).pointer,
      h: (_runtime: number, _context: number, name: number) => {
        const text = host.loadModule(this.readText(name));
        return text === undefined ? 0 : this.writeText(text).pointer;
      },
      i: () => (host.shouldInterrupt() ? 1 : 0),
      j: () => -EINVAL,
      k: (size: number) => (this.#grow(size >>> 0, host) ? 1 : 0),
      l: () => undefined,
      m: (seconds: bigint, target: number) => this.#breakDownUtc(Number(seconds), target),
      n: (zone: number, daylight: number, standardName: number, daylightName: number) => {
        this.words[zone >> 2] = 0;
        this.words[daylight >> 2] = 0;
        this.bytes.write("UTC\0", standardName, "latin1");
        this.bytes.write("UTC\0", daylightName, "latin1");
      },
      o: () => WASI_ERRNO_BADF,
      p: host.now,
      q: () => abort("abort()"),
      r: (code: number) => abort(`exit(${code})`),
      s: (_context: number, _self: number, argc: number, argv: number) => host.dispatch(argc, argv),
      t: () => undefined,
    };
  }

  /** Grows by what was asked for and a quarter more, so that a growing session does not come here for every page. */
  #grow(bytes: number, host: InstanceHost): boolean {
    const have = this.#memory.buffer.byteLength;
    let inTheWay: typeof this.outOfMemory;
    for (const wanted of [bytes + ((bytes - have) >> 2), bytes]) {
      const pages = Math.max(1, Math.ceil((wanted - have) / 65536));
      if (!host.mayGrow(pages)) {
        inTheWay = "serverMemory";
        continue;
      }
      try {
        this.#memory.grow(pages);
        this.#refresh();
        return true;
      } catch {
        // Beyond the maximum: try the exact size, then give up.
        host.didNotGrow(pages);
        inTheWay = "memory";
      }
    }
    this.outOfMemory ??= inTheWay;
    return false;
  }

  /** `struct tm` in UTC, as `localtime_r` would fill it. */
  #breakDownUtc(seconds: number, target: number): void {
    const date = new Date(seconds * 1000);
    const startOfYear = Date.UTC(date.getUTCFullYear(), 0, 1);
    const dayOfYear = Math.floor((date.getTime() - startOfYear) / 86_400_000);
    const fields = [
      date.getUTCSeconds(),
      date.getUTCMinutes(),
      date.getUTCHours(),
      date.getUTCDate(),
      date.getUTCMonth(),
      date.getUTCFullYear() - 1900,
      date.getUTCDay(),
      dayOfYear,
      0,
      0,
    ];
    this.words.set(fields, target >> 2);
  }
}

/** The guest heap has no room for what the host wants to put there. */
export class OutOfGuestMemory extends Error {
  override readonly name = "OutOfGuestMemory";
}
