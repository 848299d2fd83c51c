import { syncBuiltinESMExports } from "node:module";
import workerThreads from "node:worker_threads";
import { afterEach, expect, test } from "vitest";
import { UsageError } from "./cli/failure.js";
import { serve } from "./serve.js";

const OPTIONS = {
  port: 0,
  workers: 1,
  maximumSessions: 1,
  maximumHibernated: 0,
  maximumDurable: 0,
  hibernateAfter: 300,
  insecure: true,
  logLevel: "silent",
} as const;

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
  await expect(serve({ ...OPTIONS, host: "127.0.0.1" })).rejects.toEqual(
    new UsageError("the engine does not start: no threads are left"),
  );
});

test("a server that is to listen on another machine's address says so", async () => {
  // One that examples are written with.
  await expect(serve({ ...OPTIONS, host: "192.0.2.1" })).rejects.toEqual(
    new UsageError(
      "cannot listen on 192.0.2.1:0: this machine has no such address; " +
        "choose one of its own with --address, such as 127.0.0.1:50051",
    ),
  );
});
