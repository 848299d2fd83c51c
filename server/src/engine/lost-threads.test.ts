/** Threads that end by themselves where the system gives no other in their place. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { Engine, type TurnResult } from "./engine.js";
import type { SessionMemory } from "./session-memory.js";

/** Threads in the order of their start, whether the system gives more, and milliseconds by which the watchdog's clock is ahead. */
const system = vi.hoisted(() => ({ threads: [] as { terminate(): Promise<number> }[], isRefusing: false, ahead: 0 }));
vi.mock("./worker/control.js", async (load) => {
  const original = await load<typeof import("./worker/control.js")>();
  return { ...original, clock: () => original.clock() + system.ahead };
});
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

/** Milliseconds of a turn. */
const BUDGET = 20_000;
/** Milliseconds in which the watchdog looks at all threads a few times. */
const WATCHED = 500;

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
  await run(memory, "var n = 1", BUDGET);
  const endless = run(memory, "for (;;);", BUDGET);
  await expect.poll(() => engine.runningExecution(memory), { timeout: BUDGET / 2 }).not.toBe(0);
  await system.threads[memory.lastWorker]?.terminate();
  expect(await endless).toMatchObject({ kind: "undone", reason: "trap" });
  await run(memory, "n = 2", BUDGET);
  system.ahead = 2 * BUDGET;
  await sleep(WATCHED);
  system.ahead = 0;
  expect(await run(memory, "n", BUDGET)).toMatchObject({ effects: [{ kind: "value", text: "2" }] });
  expect(ended.filter((code) => code === "for (;;);")).toHaveLength(1);
});
