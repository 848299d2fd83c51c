/** The machine's clock, set by a test: as this thread sees it, and the threads that are started meanwhile. */
import { createRequire, syncBuiltinESMExports } from "node:module";

const threads = createRequire(import.meta.url)("node:worker_threads") as typeof import("node:worker_threads");
const { Worker } = threads;
const { now } = Date;

export interface TestClock {
  /** @param ahead by so many milliseconds, from now on */
  set(ahead: number): void;
  /** It is the machine's again. */
  restore(): void;
}

export function settableClock(): TestClock {
  const clockAhead = new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT);
  const ahead = new Float64Array(clockAhead);
  threads.Worker = class extends Worker {
    constructor(entry: string | URL, options: import("node:worker_threads").WorkerOptions) {
      const execArgv = ["--import", new URL("set-clock.mjs", import.meta.url).href];
      super(entry, { ...options, execArgv, workerData: { ...options.workerData, clockAhead } });
    }
  } as typeof Worker;
  syncBuiltinESMExports();
  Date.now = () => now() + (ahead[0] as number);
  return {
    set: (milliseconds) => {
      ahead[0] = milliseconds;
    },
    restore: () => {
      Date.now = now;
      threads.Worker = Worker;
      syncBuiltinESMExports();
    },
  };
}
