import { expect, test } from "vitest";
import type { SharedEngine } from "./worker/messages.js";
import type { WorkerThread } from "./worker-thread.js";
import { Workers } from "./workers.js";

function thread(ready: Promise<SharedEngine>, couldNotStart = false): WorkerThread {
  ready.catch(() => undefined);
  return { ready, couldNotStart, terminate: () => Promise.resolve() } as unknown as WorkerThread;
}

test("threads that cannot start are not started again and again without a pause", async () => {
  let started = 0;
  const workers: Workers = new Workers(3, thread(Promise.resolve({} as SharedEngine)), () => {
    started++;
    const failing = thread(Promise.reject(new Error("no threads are left")), true);
    setImmediate(() => workers.spareEnded(failing) || workers.replace(failing));
    return failing;
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  // Else it would be hundreds.
  expect(started).toBeLessThan(10);
  const soFar = started;
  await expect.poll(() => started, { timeout: 5_000 }).toBeGreaterThan(soFar);
  await workers.close();
  const before = started;
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  expect([started, workers.all.length]).toEqual([before, 3]);
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

test("where the system gives no thread another is asked for later", async () => {
  const threads: WorkerThread[] = [];
  let isRefused = false;
  const workers = new Workers(2, thread(Promise.resolve({} as SharedEngine)), () => {
    if (isRefused) throw new Error("ERR_WORKER_INIT_FAILED");
    threads.push(thread(Promise.resolve({} as SharedEngine)));
    return threads.at(-1) as WorkerThread;
  });
  isRefused = true;
  workers.replace(threads[0] as WorkerThread);
  expect(workers.all).toHaveLength(2);
  isRefused = false;
  await expect.poll(() => workers.all[1], { timeout: 10_000 }).not.toBe(threads[0]);
  expect(workers.idle.has(workers.all[1] as WorkerThread)).toBe(true);
  await workers.close();
});
