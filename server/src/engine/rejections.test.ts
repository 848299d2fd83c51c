import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Engine, type TurnResult } from "./engine.js";
import { type Effect, ResultEncoding } from "./kernel-protocol.js";
import type { SessionMemory } from "./session-memory.js";

let engine: Engine;
let memory: SessionMemory;
let execution = 0;

beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
});
beforeEach(() => {
  memory = engine.createMemory(32 << 20);
});
afterAll(() => engine.close());

async function run(code: string, budget = 5_000): Promise<readonly Effect[]> {
  const result = await new Promise<TurnResult>((done) => {
    const command = { kind: "execute", code, filename: "test.js", bindings: new Map() } as const;
    const input = {
      kind: "run",
      command,
      execution: {
        number: ++execution,
        encoding: ResultEncoding.NONE,
        handleGroup: "",
        valueBytes: 1 << 20,
        handles: 1000,
      },
    } as const;
    engine.run(memory, [{ input, budget, consoleBytes: 1_000, done }]);
  });
  if (result.kind === "undone") throw new Error(`undone: ${result.reason} ${result.message}`);
  return result.effects;
}

async function warnings(code: string): Promise<(Effect & { kind: "warning" })[]> {
  return (await run(code)).filter((effect) => effect.kind === "warning");
}

const messageOf = (effect: Effect & { kind: "warning" }) => (JSON.parse(effect.text) as { message: string }).message;

describe("a rejection that nobody handles", () => {
  test.each([
    ["Promise.reject(new TypeError('lost')); 1", ["TypeError: lost"]],
    ["(async () => { throw 5 })(); 1", ["5"]],
    ["Promise.reject().then(() => 1); 1", ["undefined"]],
    ["Promise.reject('a'); Promise.reject('b'); 1", ["a", "b"]],
    ["Promise.resolve().then(() => { throw new RangeError('late') }); 1", ["RangeError: late"]],
    ["Promise.reject(new Proxy({}, { get() { throw 1 } })); 1", ["[Proxy]"]],
    ["throw (Promise.reject(1), 2)", ["1"]],
  ])("is told after the turn: %s", async (code, messages) => {
    expect((await warnings(code)).map(messageOf)).toEqual(messages);
  });

  test.each([
    "Promise.reject(1).catch(() => 0)",
    "(async () => { try { await Promise.reject(1) } catch {} })()",
    "const p = Promise.reject(1); await null; await null; p.catch(() => 0)",
    "await Promise.allSettled([1, 2, 3].map(async (n) => { throw n })); 0",
    "Promise.reject(new Error('mine'))",
    "throw new Error('mine')",
    "await Promise.reject(1)",
    "({ then() { throw 1 } })",
  ])("is not told where somebody handles it in the same turn: %s", async (code) => {
    expect(await warnings(code)).toEqual([]);
  });

  test("belongs to the execution that ran, and is told once", async () => {
    expect(await warnings("var p = Promise.reject(1); 0")).toMatchObject([{ execution, more: 0 }]);
    expect(await warnings("p.catch(() => 0); 0")).toEqual([]);
  });

  test("has the place of its error", async () => {
    const [warning] = await warnings("function bad() { throw new Error('x') }\nPromise.resolve().then(bad); 0");
    expect(JSON.parse(warning?.text ?? "")).toMatchObject({ stack: expect.stringContaining("at bad (test.js:1:") });
  });

  test("is counted where there are many", async () => {
    const told = await warnings("for (let i = 0; i < 5000; i++) Promise.reject(i); 0");
    expect(told).toHaveLength(20);
    expect(told.at(-1)).toMatchObject({ more: 4980 });
    expect(
      await warnings("await Promise.allSettled(Array.from({ length: 5000 }, async () => { throw 1 })); 0"),
    ).toEqual([]);
  });

  test("is not told of a turn that was undone, nor later", async () => {
    await expect(run("Promise.reject(1); for (;;);", 50)).rejects.toThrow("undone");
    expect(await warnings("0")).toEqual([]);
  });

  test("is told whatever guest code broke", async () => {
    const code =
      "Promise.prototype.then = null; Map.prototype.set = null; JSON = null; Promise.reject(new Error('still')); 0";
    expect((await warnings(code)).map(messageOf)).toEqual(["Error: still"]);
  });
});
