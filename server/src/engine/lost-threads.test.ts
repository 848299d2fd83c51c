/** Threads that end by themselves where the system gives no other in their place. */
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { Engine, type TurnResult } from "./engine.js";
import type { SessionMemory } from "./session-memory.js";

/** Threads in the order of their start, and whether the system gives more. */
const system = vi.hoisted(() => ({ threads: [] as { terminate(): Promise<number> }[], isRefusing: false }));
vi.mock("node:worker_threads", async (load) => {
  const original = await load<typeof import("node:worker_threads")>();
  class Worker extends original.Worker {
    constructor(...options: ConstructorParameters<typeof original.Worker>) {
      if (system.isRefusing) throw new Error("no threads are left");
      super(...options);
      system.threads.push(this);
    }
  }
  return { ...original, Worker };
});

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workers: 2 });
  system.isRefusing = true;
});
afterEach(() => {
  system.isRefusing = false;
});
afterAll(() => engine.close());

let executions = 0;
const ended: string[] = [];

function run(memory: SessionMemory, code: string, budget: number): Promise<TurnResult> {
  executions++;
  const execution = { number: executions, encoding: 1, handleGroup: "", valueBytes: 1 << 20, handles: 10 };
  const command = { kind: "execute", code, filename: "a.js", bindings: new Map() } as const;
  return new Promise((resolve) => {
    const done = (result: TurnResult): void => {
      ended.push(code);
      resolve(result);
    };
    engine.run(memory, [{ input: { kind: "run", command, execution }, budget, consoleBytes: 0, done }]);
  });
}

test("a thread that has ended and keeps its place ends nothing more", async () => {
  const memory = engine.createMemory(32 << 20);
  await run(memory, "var n = 1", 5_000);
  const endless = run(memory, "for (;;);", 2_000);
  for (const end = performance.now() + 1_000; engine.runningExecution(memory) === 0 && performance.now() < end; );
  await system.threads[memory.lastWorker]?.terminate();
  expect(await endless).toMatchObject({ kind: "undone", reason: "trap" });
  await run(memory, "n = 2", 5_000);
  // Longer than the turn that ended with the thread might have taken.
  await run(memory, "for (const end = Date.now() + 3_000; Date.now() < end; );", 9_000);
  expect(await run(memory, "n", 5_000)).toMatchObject({ effects: [{ kind: "value", text: "2" }] });
  expect(ended.filter((code) => code === "for (;;);")).toHaveLength(1);
});
