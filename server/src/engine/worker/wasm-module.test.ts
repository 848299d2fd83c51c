import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { CALLED_FUNCTIONS } from "./raw-exports.js";
import {
  CALLBACKS,
  deriveModule,
  deriveModules,
  INITIAL_PAGES,
  readEnginePackage,
  readExportNames,
} from "./wasm-module.js";

const LOADER = fileURLToPath(import.meta.resolve("@jitl/quickjs-wasmfile-release-sync/emscripten-module"));
const names = readExportNames(readFileSync(LOADER, "utf8"));
const bytes = readFileSync(fileURLToPath(import.meta.resolve("@jitl/quickjs-wasmfile-release-sync/wasm")));

const derived = deriveModules(readEnginePackage(), (code) => code);

/** What an instance needs that is not run. */
function importsOver(memory: WebAssembly.Memory): ConstructorParameters<typeof WebAssembly.Instance>[1] {
  const imports = new Proxy({ a: memory } as Record<string, unknown>, {
    get: (target, name) => target[name as string] ?? (() => 0),
  });
  return { a: imports as never };
}

describe("the derived engine modules", () => {
  test("are valid, and export what is called by the names of the C sources, and the table", () => {
    const { boot, resume } = derived;
    for (const module of [boot, resume]) {
      const exported = WebAssembly.Module.exports(module);
      expect(exported.map(({ name }) => name).sort()).toEqual([...CALLED_FUNCTIONS, "constructor_", "table"].sort());
      expect(exported.filter(({ kind }) => kind !== "function")).toEqual([{ name: "table", kind: "table" }]);
    }
  });

  test("export the very functions that the package does", () => {
    const indicesOf = (module: WebAssembly.Module, memory: WebAssembly.Memory) => {
      const { exports } = new WebAssembly.Instance(module, importsOver(memory));
      // The name of a function of wasm is its index.
      return new Map(Object.entries(exports).map(([name, each]) => [name, (each as () => void).name]));
    };
    const size = { initial: 256, maximum: 32768 };
    const before = indicesOf(new WebAssembly.Module(bytes), new WebAssembly.Memory(size as never));
    const derived = new WebAssembly.Module(deriveModule(bytes, "boot", names));
    const after = indicesOf(derived, new WebAssembly.Memory({ ...size, shared: true }));
    for (const [minified, name] of names) expect(after.get(name), name).toBe(before.get(minified));
    expect(new Set([...names.keys()].map((minified) => before.get(minified))).size).toBe(names.size);
  });

  test("have places for callbacks at the end of the table", () => {
    const { resume } = derived;
    const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: 32768, shared: true });
    const table = new WebAssembly.Instance(resume, importsOver(memory)).exports.table as WebAssembly.Table;
    const free = Array.from({ length: CALLBACKS }, (_, i) => table.get(table.length - 1 - i));
    expect(free).toEqual(free.map(() => null));
    expect(table.get(table.length - 1 - CALLBACKS)).toBeTypeOf("function");
  });

  test("leave the package's bytes as they were", () => {
    const before = Buffer.from(bytes);
    deriveModule(bytes, "boot", names);
    expect(before.equals(bytes)).toBe(true);
  });

  test("do not touch a memory when they resume over it", () => {
    const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: INITIAL_PAGES, shared: true });
    const module = new WebAssembly.Module(deriveModule(bytes, "resume", names));
    new WebAssembly.Instance(module, importsOver(memory));
    expect(Buffer.from(memory.buffer).every((byte) => byte === 0)).toBe(true);
  });

  test("refuse what imports no memory", () => {
    const empty = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 2, 1, 0]);
    expect(() => deriveModule(empty, "boot", names)).toThrow("imports no memory");
  });
});
