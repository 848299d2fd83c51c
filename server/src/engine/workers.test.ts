import { expect, test } from "vitest";
import type { SharedEngine } from "./worker/messages.js";
import type { WorkerThread } from "./worker-thread.js";
import { Workers } from "./workers.js";

function thread(ready: Promise<SharedEngine>, startFailure?: Error): WorkerThread {
  ready.catch(() => undefined);
  return { ready, startFailure, terminate: () => Promise.resolve() } as unknown as WorkerThread;
}

test("threads that cannot start are not started again and again without a pause, and that is told once", async () => {
  let started = 0;
  const told: string[] = [];
  const start = (): WorkerThread => {
    started++;
    const why = new Error("no threads are left");
    const failing = thread(Promise.reject(why), why);
    setImmediate(() => workers.spareEnded(failing) || workers.replace(failing));
    return failing;
  };
  const ready = thread(Promise.resolve({} as SharedEngine));
  const workers: Workers = new Workers(3, ready, start, ({ message }) => told.push(message));
  await new Promise((resolve) => setTimeout(resolve, 200));
  // Else it would be hundreds.
  expect(started).toBeLessThan(10);
  const soFar = started;
  await expect.poll(() => started, { timeout: 5_000 }).toBeGreaterThan(soFar);
  await workers.close();
  // One that ends as all are ended has nobody in its place.
  workers.replace(workers.all[1] as WorkerThread);
  const before = started;
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  expect([started, workers.all.length]).toEqual([before, 3]);
  expect(told).toEqual(["no threads are left"]);
});

test("a thread that was ready and has ended has another in its place at once", async () => {
  const threads: WorkerThread[] = [];
  const workers = new Workers(2, thread(Promise.resolve({} as SharedEngine)), () => {
    threads.push(thread(Promise.resolve({} as SharedEngine)));
    return threads.at(-1) as WorkerThread;
  });
  await Promise.resolve();
  workers.replace(threads[0] as WorkerThread);
  expect(workers.all[1]).toBe(threads[1]);
  await workers.close();
});

test("where the system gives no thread another is asked for later, and that is told", async () => {
  const threads: WorkerThread[] = [];
  const told: string[] = [];
  let isRefused = false;
  const start = (): WorkerThread => {
    if (isRefused) throw new Error("ERR_WORKER_INIT_FAILED");
    threads.push(thread(Promise.resolve({} as SharedEngine)));
    return threads.at(-1) as WorkerThread;
  };
  const ready = thread(Promise.resolve({} as SharedEngine));
  const workers = new Workers(2, ready, start, ({ message }) => told.push(message));
  isRefused = true;
  workers.replace(threads[0] as WorkerThread);
  expect(workers.all).toHaveLength(2);
  expect(told).toEqual(["ERR_WORKER_INIT_FAILED"]);
  isRefused = false;
  await expect.poll(() => workers.all[1], { timeout: 10_000 }).not.toBe(threads[0]);
  expect(workers.idle.has(workers.all[1] as WorkerThread)).toBe(true);
  await workers.close();
});
