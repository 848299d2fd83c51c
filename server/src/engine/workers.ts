/**
 * The worker threads: each has a place, which sessions have an affinity to. One more is kept warm as a spare; it takes the place of a
 * thread that has ended.
 */
import type { WorkerThread } from "./worker-thread.js";

/**
 * When a spare is warmed up, in milliseconds, after the start and after the one before took a place: a thread takes some hundred of them
 * on a core, which whoever waits for the server or in place of the thread that was ended is to have.
 */
const SPARE_AFTER = { start: 1000, use: 30 };
/** When another is started for one that could not start, in milliseconds: it is likely that it cannot, either. */
const AGAIN_AFTER = 1000;
/** Before that is told again, in milliseconds: it may go on for long, for all places, and stop and begin in between. */
const TELL_AGAIN_AFTER = 10 * 60_000;

export class Workers {
  readonly #start: () => WorkerThread;
  readonly #workers: WorkerThread[] = [];
  readonly #idle = new Set<WorkerThread>();
  readonly #again = new Set<NodeJS.Timeout>();
  /** Undefined for a moment after the start, and after it took a place. */
  #spare: WorkerThread | undefined;
  #spareTimer: NodeJS.Timeout | undefined;
  readonly #onCouldNotStart: (why: Error) => void;
  #toldAt = Number.NEGATIVE_INFINITY;
  #isClosed = false;
  /** One more may be given something to run; set by its owner. */
  onJoined: () => void = () => undefined;

  /**
   * @param count how many places there are
   * @param first has the first of them, and is ready
   * @param start gives another thread
   * @param onCouldNotStart is told why one could not start: once, and not again soon
   */
  constructor(
    count: number,
    first: WorkerThread,
    start: () => WorkerThread,
    onCouldNotStart: (why: Error) => void = () => undefined,
  ) {
    this.#start = start;
    this.#onCouldNotStart = onCouldNotStart;
    this.#workers.push(first);
    this.#idle.add(first);
    while (this.#workers.length < count) this.#place(this.#workers.length, this.#start());
    this.#startSpareAfter(SPARE_AFTER.start);
  }

  /** Those that have a place, in order. */
  get all(): readonly WorkerThread[] {
    return this.#workers;
  }

  /** Of them, those that may be given something to run. */
  get idle(): ReadonlySet<WorkerThread> {
    return this.#idle;
  }

  /** All, the spare included. */
  get threads(): WorkerThread[] {
    return this.#spare === undefined ? this.#workers : [...this.#workers, this.#spare];
  }

  /** It is given something to run. @returns its place */
  take(worker: WorkerThread): number {
    this.#idle.delete(worker);
    return this.#workers.indexOf(worker);
  }

  /** It has nothing to run any more; one that lost its place gets nothing. */
  putBack(worker: WorkerThread): void {
    if (this.#workers.includes(worker)) this.#idle.add(worker);
  }

  /** A thread has ended by itself: in place of the spare another is warmed up. @returns false for one that is not the spare */
  spareEnded(worker: WorkerThread): boolean {
    if (worker !== this.#spare) return false;
    this.#spare = undefined;
    this.#startSpareAfter(this.#couldStart(worker) ? SPARE_AFTER.use : AGAIN_AFTER);
    return true;
  }

  /** The spare takes over the place, so that sessions keep their affinity; another spare is warmed up. */
  replace(worker: WorkerThread): void {
    const index = this.#workers.indexOf(worker);
    if (index < 0 || this.#isClosed) return;
    this.#idle.delete(worker);
    const couldStart = this.#couldStart(worker);
    const spare = this.#spare ?? (couldStart ? this.#tryStart() : undefined);
    if (spare === undefined) return this.#startAgain(index, worker);
    this.#place(index, spare);
    this.#spare = undefined;
    this.#startSpareAfter(SPARE_AFTER.use);
  }

  /** The one that has ended keeps its place till then, idle never. */
  #startAgain(index: number, ended: WorkerThread): void {
    const timer = setTimeout(() => {
      this.#again.delete(timer);
      const worker = this.#tryStart();
      if (worker === undefined) this.#startAgain(index, ended);
      else this.#place(index, worker);
    }, AGAIN_AFTER);
    this.#again.add(timer);
  }

  /** Undefined where the system gives no thread. */
  #tryStart(): WorkerThread | undefined {
    try {
      return this.#start();
    } catch (error) {
      this.#tell(error as Error);
      return undefined;
    }
  }

  #couldStart({ startFailure }: WorkerThread): boolean {
    if (startFailure !== undefined) this.#tell(startFailure);
    return startFailure === undefined;
  }

  #tell(why: Error): void {
    const now = performance.now();
    if (now < this.#toldAt + TELL_AGAIN_AFTER) return;
    this.#toldAt = now;
    this.#onCouldNotStart(why);
  }

  /** One that still warms up makes nobody wait while another is free. */
  #place(index: number, worker: WorkerThread): void {
    this.#workers[index] = worker;
    const join = (): void => {
      if (!this.#workers.includes(worker)) return;
      this.#idle.add(worker);
      this.onJoined();
    };
    worker.ready.then(join, () => undefined);
  }

  /** Ends all, and starts none any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#spareTimer);
    for (const timer of this.#again) clearTimeout(timer);
    await Promise.all(this.threads.map((worker) => worker.terminate()));
  }

  #startSpareAfter(milliseconds: number): void {
    clearTimeout(this.#spareTimer);
    if (this.#isClosed) return;
    this.#spareTimer = setTimeout(() => {
      this.#spare ??= this.#tryStart();
      if (this.#spare === undefined) this.#startSpareAfter(AGAIN_AFTER);
    }, milliseconds);
  }
}
