import { syncBuiltinESMExports } from "node:module";
import workerThreads from "node:worker_threads";
import { afterEach, expect, test } from "vitest";
import { UsageError } from "./cli/failure.js";
import { serve } from "./serve.js";

const { Worker } = workerThreads;
afterEach(() => {
  workerThreads.Worker = Worker;
  syncBuiltinESMExports();
});

test("a server whose engine does not start says so, and not that its address cannot be had", async () => {
  class Refused {
    constructor() {
      throw new Error("no threads are left");
    }
  }
  workerThreads.Worker = Refused as unknown as typeof Worker;
  syncBuiltinESMExports();
  const limits = { maximumSessions: 1, maximumHibernated: 0, maximumDurable: 0, hibernateAfter: 300 };
  const served = serve({ host: "127.0.0.1", port: 0, workers: 1, ...limits, insecure: false, logLevel: "silent" });
  await expect(served).rejects.toEqual(new UsageError("the engine does not start: no threads are left"));
});
