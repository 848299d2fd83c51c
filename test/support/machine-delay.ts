/**
 * How long this machine keeps a server waiting that wants to run: tests of promised times must not blame the server for it.
 * It is what Linux counts for each thread that waits for a core, and what timers of this process are late by besides.
 */
import { readdirSync, readFileSync } from "node:fs";

const EVERY = 25;
/** Timers are late by so much on an idle machine. */
const USUAL = 5;
/** How far back one may ask, in milliseconds. */
const KEPT = 120_000;

interface Sample {
  readonly time: number;
  /** Milliseconds of waiting until then, of all threads together. */
  readonly sum: number;
}

export class MachineDelay implements Disposable {
  readonly #tasks: string;
  readonly #timer: NodeJS.Timeout;
  /** What each thread has waited, in nanoseconds. */
  readonly #waited = new Map<string, number>();
  #samples: Sample[] = [{ time: performance.now(), sum: 0 }];

  /** @param pid of the server */
  constructor(pid: number) {
    this.#tasks = `/proc/${pid}/task`;
    this.#timer = setInterval(() => this.#sample(), EVERY);
    this.#timer.unref();
  }

  /** Milliseconds that it kept threads of the server, and this process, waiting since `time`, on the clock of `performance.now()`. */
  since(time: number): number {
    this.#sample();
    const before = this.#samples.findLast((sample) => sample.time <= time) ?? this.#samples[0];
    return (this.#samples.at(-1)?.sum ?? 0) - (before?.sum ?? 0);
  }

  #sample(): void {
    const last = this.#samples.at(-1);
    const time = performance.now();
    const late = Math.max(0, time - (last?.time ?? time) - EVERY - USUAL);
    this.#samples.push({ time, sum: (last?.sum ?? 0) + late + this.#waitedSinceLast() });
    if ((this.#samples[0]?.time ?? time) < time - 2 * KEPT) {
      this.#samples = this.#samples.filter((sample) => sample.time > time - KEPT);
    }
  }

  #waitedSinceLast(): number {
    let sum = 0;
    for (const task of listOf(this.#tasks)) {
      const waited = waitedBy(`${this.#tasks}/${task}/schedstat`);
      sum += Math.max(0, waited - (this.#waited.get(task) ?? 0));
      this.#waited.set(task, waited);
    }
    return sum / 1e6;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Threads end while one looks, and other systems tell nothing of the kind. */
function listOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function waitedBy(file: string): number {
  try {
    return Number(readFileSync(file, "utf8").split(" ")[1]);
  } catch {
    return 0;
  }
}
