import { expect, test } from "vitest";
import type { SharedEngine } from "./worker/messages.js";
import type { WorkerThread } from "./worker-thread.js";
import { Workers } from "./workers.js";

function thread(ready: Promise<SharedEngine>): WorkerThread {
  ready.catch(() => undefined);
  return { ready, terminate: () => Promise.resolve() } as unknown as WorkerThread;
}

test("threads that end before they are ready are not started again and again without a pause", async () => {
  let started = 0;
  const workers: Workers = new Workers(3, thread(Promise.resolve({} as SharedEngine)), () => {
    started++;
    const failing = thread(Promise.reject(new Error("no threads are left")));
    setImmediate(() => workers.spareEnded(failing) || workers.replace(failing));
    return failing;
  });
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  // Without one it is hundreds.
  expect(started).toBeLessThan(20);
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
