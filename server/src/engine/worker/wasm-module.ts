/**
 * Owns the engine's WebAssembly modules: reads the package's own bytes, checks them, and derives the two forms that
 * a shared memory needs.
 *
 * - `boot` is the package's module with its memory import declared shared and smaller.
 * - `resume` is `boot` without start function and data segments: instantiating it does not touch the memory, so an
 *   instance can stand up over a session that already lives there.
 *
 * A third form of it, which says what it writes to, is derived in tracked-stores.ts.
 *
 * Both read and write bytecode (see bytecode-access.ts), count the bytes of their heap (heap-bytes.ts), and have small functions in place of
 * calls of them (inlined-calls.ts). They export the functions that are called, by the names of the C sources, and the function table,
 * which has room for callbacks that the package does not offer.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openBytecode } from "./bytecode-access.js";
import { withHeapBytes } from "./heap-bytes.js";
import { CALLED_FUNCTIONS, CONSTRUCTOR, TABLE_EXPORT } from "./raw-exports.js";
import { leb, Section, section, type WasmReader, withSections } from "./wasm-binary.js";

/** The engine build that the constants of this folder were measured on. */
const ENGINE_SHA256 = "105c3bed22d457e43e3d1c3c1c6959fda62a8fe06f0fc8a985303c3a2be72232";

/** Pages of 64 KiB a session's memory begins with: static data, 5 MiB of C stack, and room for the base image. */
export const INITIAL_PAGES = 88;

/** The most pages the engine's memory import allows. */
export const MAXIMUM_PAGES = 32768;

export interface EngineModules {
  readonly boot: WebAssembly.Module;
  readonly resume: WebAssembly.Module;
  /** The code of `resume`. */
  readonly resumeCode: Uint8Array<ArrayBuffer>;
}

/** The module of the package. */
export interface EnginePackage {
  readonly code: Uint8Array;
  /** Of the functions that are called, by the names that they have in it. */
  readonly names: ReadonlyMap<string, string>;
}

/** @throws Error when the installed engine is not the build this server was written for. */
export function readEnginePackage(): EnginePackage {
  const code = readFileSync(fileURLToPath(import.meta.resolve("@jitl/quickjs-wasmfile-release-sync/wasm")));
  const found = createHash("sha256").update(code).digest("hex");
  if (found !== ENGINE_SHA256) {
    throw new Error(
      `engine: the installed quickjs wasm has SHA-256 ${found}, expected ${ENGINE_SHA256}; ` +
        "run `npm ci` to install the pinned version",
    );
  }
  const loader = readFileSync(
    fileURLToPath(import.meta.resolve("@jitl/quickjs-wasmfile-release-sync/emscripten-module")),
    "utf8",
  );
  return { code, names: readExportNames(loader) };
}

/** @param optimize gives code that does the same; the identity will do */
export function deriveModules(
  { code, names }: EnginePackage,
  optimize: (code: Uint8Array) => Uint8Array,
): EngineModules {
  const opened = optimize(withHeapBytes(openBytecode(code)));
  const resumeCode = deriveModule(opened, "resume", names);
  return {
    boot: new WebAssembly.Module(deriveModule(opened, "boot", names)),
    resume: new WebAssembly.Module(resumeCode),
    resumeCode,
  };
}

/**
 * What is called, by the name that it has in this build. The loader assigns every export by name (`d._QTS_Eval=b.pa`); its
 * text is the only place that knows both names.
 */
export function readExportNames(loader: string): ReadonlyMap<string, string> {
  const minified = new Map<string, string>();
  for (const [, name, short] of loader.matchAll(/\bd\._(\w+)=b\.([\w$]+)/g)) {
    if (name !== undefined && short !== undefined) minified.set(name, short);
  }
  const names = new Map<string, string>([[CONSTRUCTOR.minified, CONSTRUCTOR.name]]);
  for (const name of CALLED_FUNCTIONS) {
    const short = minified.get(name);
    if (short === undefined) throw new Error(`engine: the loader of the quickjs wasm does not name ${name}`);
    names.set(short, name);
  }
  return names;
}

const DROPPED_ON_RESUME: ReadonlySet<number> = new Set([Section.START, Section.DATA, Section.DATA_COUNT]);

/** Places at the end of the function table for what the engine is to call. */
export const CALLBACKS = 2;

const KIND_TABLE = 1;
const KIND_MEMORY = 2;
const LIMITS_WITH_MAXIMUM = 1;
const LIMITS_SHARED_WITH_MAXIMUM = 3;

/**
 * Returns a copy of a wasm module whose memory import is shared and whose table is exported, with places for callbacks; `resume`
 * also lacks all that writes on start.
 *
 * @param names of the functions that it exports, by the names that they have in the package's module
 */
export function deriveModule(
  bytes: Uint8Array,
  form: "boot" | "resume",
  names: ReadonlyMap<string, string>,
): Uint8Array<ArrayBuffer> {
  return withSections(Uint8Array.from(bytes), (id, reader) => {
    if (id === Section.IMPORT) shareMemory(reader);
    if (id === Section.TABLE) return withCallbacks(reader);
    if (id === Section.EXPORT) return exportsOf(reader, names);
    return form === "resume" && DROPPED_ON_RESUME.has(id) ? new Uint8Array() : undefined;
  });
}

/** The table section, from its content on: one table of functions, larger by the callbacks. Growing it later costs each instance. */
function withCallbacks(reader: WasmReader): Uint8Array {
  const [count, type, flags] = [reader.leb(), reader.byte(), reader.byte()];
  const limits = [reader.leb(), ...(flags === LIMITS_WITH_MAXIMUM ? [reader.leb()] : [])];
  if (count !== 1 || flags > LIMITS_WITH_MAXIMUM) throw new Error("engine: unexpected table of the wasm module");
  return section(Section.TABLE, [
    Uint8Array.from([1, type, flags, ...limits.flatMap((size) => leb(size + CALLBACKS))]),
  ]);
}

/** The export section, from its content on: the functions that have a name, and the table. */
function exportsOf(reader: WasmReader, names: ReadonlyMap<string, string>): Uint8Array {
  const exported: number[][] = [];
  for (let count = reader.leb(); count > 0; count--) {
    const name = names.get(reader.text());
    const [kind, index] = [reader.byte(), reader.leb()];
    if (name !== undefined) exported.push([name.length, ...Buffer.from(name), kind, ...leb(index)]);
  }
  if (exported.length !== names.size) throw new Error("engine: the wasm module lacks exports that the loader names");
  exported.push([TABLE_EXPORT.length, ...Buffer.from(TABLE_EXPORT), KIND_TABLE, 0]);
  return section(Section.EXPORT, [Uint8Array.from([...leb(exported.length), ...exported.flat()])]);
}

/** Edits the memory import in place: the new minimum is written as long as the old one, so that no offset moves. */
function shareMemory(reader: WasmReader): void {
  for (let count = reader.leb(); count > 0; count--) {
    reader.skip(reader.leb());
    reader.skip(reader.leb());
    if (reader.byte() !== KIND_MEMORY) {
      reader.leb();
      continue;
    }
    const flagsAt = reader.at;
    const flags = reader.byte();
    const minimumAt = reader.at;
    reader.leb();
    if (flags !== LIMITS_WITH_MAXIMUM) throw new Error("engine: unexpected limits of the wasm memory import");
    reader.bytes[flagsAt] = LIMITS_SHARED_WITH_MAXIMUM;
    writePaddedLeb(reader.bytes.subarray(minimumAt, reader.at), INITIAL_PAGES);
    return;
  }
  throw new Error("engine: the wasm module imports no memory");
}

function writePaddedLeb(target: Uint8Array, value: number): void {
  for (let i = 0; i < target.length; i++) {
    const more = i < target.length - 1 ? 0x80 : 0;
    target[i] = ((value >>> (7 * i)) & 0x7f) | more;
  }
}
