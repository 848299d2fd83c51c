import { beforeEach, describe, expect, test } from "vitest";
import { buildModules } from "./build-engine.js";
import { GC_THRESHOLD, HEAP_LIMIT, HEAP_SUM, STATE_IN_RUNTIME, withHeapBytes } from "./heap-bytes.js";
import { EVAL_GLOBAL, IDLE_HOST, Instance } from "./instance.js";
import { deriveModules, INITIAL_PAGES, readEnginePackage } from "./wasm-module.js";

const modules = buildModules();

describe("the engine's own sum of its heap", () => {
  let instance: Instance;
  let state: number;
  let context: number;
  const word = (offset: number): number => (instance.words[(state + offset) >> 2] ?? 0) >>> 0;
  const setWord = (offset: number, value: number): void => {
    instance.words[(state + offset) >> 2] = value;
  };
  const run = (source: string): void =>
    instance.exports.QTS_FreeValuePointer(context, instance.evaluate(context, source, "test.js", EVAL_GLOBAL));
  /** By how much code changes the sum. */
  const change = (source: string): number => {
    const before = word(HEAP_SUM);
    run(source);
    return word(HEAP_SUM) - before;
  };

  beforeEach(() => {
    const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: 1000, shared: true });
    instance = Instance.boot(modules, memory, IDLE_HOST);
    const runtime = instance.exports.QTS_NewRuntime();
    state = runtime + STATE_IN_RUNTIME;
    context = instance.exports.QTS_NewContext(runtime, 0);
    run("var held, i");
  });

  test("counts blocks by what they take", () => {
    const taken = change("held = new ArrayBuffer(1_000_000)");
    expect(taken).toBeGreaterThan(1_000_000);
    expect(taken).toBeLessThan(1_001_000);
    expect(change("held = 0")).toBe(-taken);
  });

  test("follows blocks that grow, and comes back to where it was", () => {
    const work = "held = []; for (i = 0; i < 50_000; i++) held.push('text ' + i); held = held.join(); held = 0";
    run(work);
    const before = word(HEAP_SUM);
    expect(change("held = []; for (i = 0; i < 100_000; i++) held.push(i)")).toBeGreaterThan(800_000);
    expect(change("held.length = 0; held = 0")).toBeLessThan(-800_000);
    for (let round = 0; round < 5; round++) run(work);
    expect(word(HEAP_SUM)).toBe(before);
  });

  test("has garbage collected while there is room, also where half more than what is left would be more", () => {
    const limit = word(HEAP_SUM) + 4_000_000;
    setWord(HEAP_LIMIT, limit);
    run("var live = new ArrayBuffer(2_800_000)");
    run("for (i = 0; i < 200; i++) { held = { pad: new ArrayBuffer(500_000) }; held.self = held }");
    expect(word(HEAP_SUM)).toBeLessThan(limit);
    expect(word(GC_THRESHOLD)).toBeLessThanOrEqual(limit);
  });

  test("lets a program have what little is left, in place of collecting for it ever again", () => {
    const limit = word(HEAP_SUM) + 4_000_000;
    setWord(HEAP_LIMIT, limit);
    // Where little room is left, what is collected next is more than that.
    run("var live = new ArrayBuffer(3_950_000)");
    run("for (i = 0; i < 3000; i++) held = { i }");
    expect(word(GC_THRESHOLD)).toBeGreaterThan(limit);
  });

  test("leaves the engine what it does where there is no limit", () => {
    const before = word(GC_THRESHOLD);
    run("held = 1");
    expect(word(GC_THRESHOLD)).toBe(before);
  });
});

test("a module is copied but for the functions that are replaced", () => {
  let replaced = new Uint8Array();
  deriveModules(readEnginePackage(), (code) => {
    replaced = Uint8Array.from(code);
    return code;
  });
  // They stand there already: put in their places again they change nothing.
  expect(Buffer.from(withHeapBytes(replaced)).equals(replaced)).toBe(true);
});
