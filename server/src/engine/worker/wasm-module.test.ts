import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { deriveModule, INITIAL_PAGES, loadEngineModules } from "./wasm-module.js";

const bytes = readFileSync(fileURLToPath(import.meta.resolve("@jitl/quickjs-wasmfile-release-sync/wasm")));

describe("the derived engine modules", () => {
  test("are valid, and name their exports as the C sources do", () => {
    const { exportNames, resume } = loadEngineModules();
    expect(resume).toBeInstanceOf(WebAssembly.Module);
    for (const name of ["malloc", "free", "QTS_Eval", "QTS_Call", "QTS_ExecutePendingJob"]) {
      expect(exportNames.get(name), name).toMatch(/^[\w$]+$/);
    }
  });

  test("leave the package's bytes as they were", () => {
    const before = Buffer.from(bytes);
    deriveModule(bytes, "boot");
    expect(before.equals(bytes)).toBe(true);
  });

  test("export what the package's module exports, and the table", () => {
    const exportsOf = (module: Uint8Array) => WebAssembly.Module.exports(new WebAssembly.Module(module));
    for (const form of ["boot", "resume"] as const) {
      expect(exportsOf(deriveModule(bytes, form))).toEqual([...exportsOf(bytes), { name: "table", kind: "table" }]);
    }
  });

  test("do not touch a memory when they resume over it", () => {
    const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: INITIAL_PAGES, shared: true });
    const module = new WebAssembly.Module(deriveModule(bytes, "resume"));
    const nothing = new Proxy({ a: memory } as Record<string, unknown>, {
      get: (target, name) => target[name as string] ?? (() => 0),
    });
    new WebAssembly.Instance(module, { a: nothing as never });
    expect(Buffer.from(memory.buffer).every((byte) => byte === 0)).toBe(true);
  });

  test("refuse what imports no memory", () => {
    const empty = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 2, 1, 0]);
    expect(() => deriveModule(empty, "boot")).toThrow("imports no memory");
  });
});
