/** Threads that end by themselves where the system gives no other in their place. */
import { syncBuiltinESMExports } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import workerThreads, { type Worker } from "node:worker_threads";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { Engine, type TurnResult } from "./engine.js";
import type { SessionMemory } from "./session-memory.js";

/** Milliseconds of a turn. */
const BUDGET = 20_000;
/** Milliseconds in which the watchdog looks at all threads a few times. */
const WATCHED = 500;

/** In the order of their start. */
const threads: Worker[] = [];
const noteThread = (thread: Worker): void => void threads.push(thread);

const { Worker: Given } = workerThreads;
class Refused {
  constructor() {
    throw new Error("no threads are left");
  }
}
function giveThreads(given: typeof Given | typeof Refused): void {
  workerThreads.Worker = given as typeof Given;
  syncBuiltinESMExports();
}

let engine: Engine;
beforeAll(async () => {
  process.on("worker", noteThread);
  engine = await Engine.start({ workers: 2 });
});
afterEach(() => {
  giveThreads(Given);
  vi.restoreAllMocks();
});
afterAll(async () => {
  process.off("worker", noteThread);
  await engine.close();
});

/** Has the watchdog look at all threads as if more time had passed than they may take for anything. */
async function watchAhead(): Promise<void> {
  const now = performance.now.bind(performance);
  const ahead = vi.spyOn(performance, "now").mockImplementation(() => now() + 2 * BUDGET);
  await sleep(WATCHED);
  ahead.mockRestore();
}

let executions = 0;
const ended: string[] = [];

function run(memory: SessionMemory, code: string, budget: number, isTypeScript = false): Promise<TurnResult> {
  return begin(memory, code, budget, isTypeScript).ended;
}

function begin(memory: SessionMemory, code: string, budget: number, isTypeScript: boolean) {
  executions++;
  const execution = { number: executions, encoding: 1, handleGroup: "", valueBytes: 1 << 20, handles: 10 };
  const command = { kind: "execute", code, filename: "a.js", isTypeScript, bindings: new Map() } as const;
  let stop = (): void => undefined;
  const result = new Promise<TurnResult>((resolve) => {
    const done = (result: TurnResult): void => {
      ended.push(code);
      resolve(result);
    };
    const [turn] = engine.run(memory, [{ input: { kind: "run", command, execution }, budget, consoleBytes: 0, done }]);
    stop = () => turn?.stop();
  });
  return { ended: result, stop };
}

test("a thread that has ended and keeps its place ends nothing more", async () => {
  await expect.poll(() => threads.length).toBe(2);
  giveThreads(Refused);
  const memory = engine.createMemory(32 << 20);
  await run(memory, "var n = 1", BUDGET);
  const endless = run(memory, "for (;;);", BUDGET);
  await expect.poll(() => engine.runningExecution(memory), { timeout: BUDGET / 2 }).not.toBe(0);
  await threads[memory.lastWorker]?.terminate();
  expect(await endless).toMatchObject({ kind: "undone", reason: "trap" });
  await run(memory, "n = 2", BUDGET);
  await watchAhead();
  expect(await run(memory, "n", BUDGET)).toMatchObject({ effects: [{ kind: "value", text: "2" }] });
  expect(ended.filter((code) => code === "for (;;);")).toHaveLength(1);
});

test("a turn that was stopped before it began is answered once, also when its thread is ended over its preparations", async () => {
  const memory = engine.createMemory(32 << 20);
  // The thread loads the compiler first, which takes it longer than the watchdog to look.
  const { ended: result, stop } = begin(memory, "stopped", BUDGET, true);
  stop();
  expect(await result).toMatchObject({ kind: "undone", reason: "stopped", began: false });
  await watchAhead();
  expect(await run(memory, "1 as number", BUDGET, true)).toMatchObject({ effects: [{ kind: "value", text: "1" }] });
  expect(ended.filter((code) => code === "stopped")).toHaveLength(1);
});
