/** What a turn brings out is made in its session's memory, and bounded by it, also where the host writes the text of some of it. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Engine, type TurnResult } from "./engine.js";
import type { SessionMemory } from "./session-memory.js";

const MEBIBYTE = 1 << 20;
/** Of a string whose JSON text fits into a mebibyte. */
const LENGTH = 1_000_000;

let engine: Engine;
let memory: SessionMemory;
beforeAll(async () => {
  engine = await Engine.start({ workers: 1 });
  memory = engine.createMemory(32 * MEBIBYTE);
});
afterAll(() => engine.close());

let number = 0;

/** A command whose caller takes all that it emits at once, as one that is gone does. */
function run(code: string): Promise<TurnResult> {
  return new Promise((done) => {
    const command = { kind: "execute", code, filename: "test.js", bindings: new Map() } as const;
    const options = { encoding: 1, handleGroup: "", valueBytes: MEBIBYTE, handles: 1_000, credit: 2 ** 30 };
    const input = { kind: "run", command, execution: { number: ++number, ...options } } as const;
    // What waits is not to be told that it waits for nothing.
    const header = { isMoreToCome: true, dropped: [] };
    engine.run(memory, [{ input, header, budget: 25_000, consoleBytes: 1_000, done }]);
  });
}

function textsOf(result: TurnResult): string[] {
  if (result.kind !== "committed") throw new Error(`it was undone: ${result.reason}`);
  return result.effects.map((effect) => ("text" in effect ? effect.text : effect.kind));
}

test.each([1, 4, 10])("%i long strings leave in one turn", async (count) => {
  const result = await run(`for (let i = 0; i < ${count}; i++) emit(i + "x".repeat(${LENGTH})); ${count}`);
  const expected = Array.from({ length: count }, (_, i) => `"${i}${"x".repeat(LENGTH)}"`);
  expect(textsOf(result)).toEqual([...expected, `${count}`]);
});

test("more than the session has memory for do not", async () => {
  const result = await run(`{ const s = "x".repeat(${LENGTH}); for (let i = 0; i < 100; i++) emit(s) }`);
  expect(result).toMatchObject({ kind: "undone", reason: "memory" });
  expect(textsOf(await run("1 + 1"))).toEqual(["2"]);
});

test("nor as the results of so many executions", async () => {
  await run(`var open; var gate = new Promise((resolve) => { open = resolve }); var text = "x".repeat(${LENGTH}); 0`);
  for (let i = 0; i < 100; i++) expect(textsOf(await run("await gate; text"))).toEqual([]);
  expect(await run("open()")).toMatchObject({ kind: "undone", reason: "memory" });
});
