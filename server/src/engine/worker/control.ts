/**
 * The words that a worker and the main thread share, beside messages: who may end a turn is decided here.
 *
 * `TURN` holds the number of the running turn. The worker commits (or undoes) a turn by swapping it to IDLE; the main
 * thread condemns a worker by swapping it to CONDEMNED before it terminates the thread. Exactly one of the two wins, and
 * only the winner may put pages back or release effects.
 */
import type { CheckpointExtent } from "./checkpoint.js";

const Word = { TURN: 0, STOP: 1, CHECKPOINTED: 2, HEAP_END: 3, MEMORY_BYTES: 4 } as const;
const STARTED_AT = 4; // index of a 64-bit float: bytes 32..39
const BYTES = 64;

const IDLE = 0;
const CONDEMNED = -1;

export class Control {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #times: Float64Array;

  constructor(buffer = new SharedArrayBuffer(BYTES)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#times = new Float64Array(buffer);
  }

  /** Main thread, before it posts a turn to an idle worker. */
  begin(turn: number): void {
    Atomics.store(this.#words, Word.CHECKPOINTED, 0);
    this.#times[STARTED_AT] = 0;
    Atomics.store(this.#words, Word.TURN, turn);
  }

  /** Worker: the pages are safe and guest code begins now. */
  started(extent: CheckpointExtent, now: number): void {
    Atomics.store(this.#words, Word.HEAP_END, extent.heapEnd);
    Atomics.store(this.#words, Word.MEMORY_BYTES, extent.memoryBytes);
    this.#times[STARTED_AT] = now;
    Atomics.store(this.#words, Word.CHECKPOINTED, 1);
  }

  /** Milliseconds of `clock()` at which the guest began; undefined while the worker still prepares. */
  get startedAt(): number | undefined {
    return Atomics.load(this.#words, Word.CHECKPOINTED) === 1 ? this.#times[STARTED_AT] : undefined;
  }

  /** Main thread, after it condemned the worker: the checkpoint of the condemned turn, if it was taken. */
  get checkpoint(): CheckpointExtent | undefined {
    if (Atomics.load(this.#words, Word.CHECKPOINTED) !== 1) return undefined;
    return {
      heapEnd: Atomics.load(this.#words, Word.HEAP_END) >>> 0,
      memoryBytes: Atomics.load(this.#words, Word.MEMORY_BYTES) >>> 0,
    };
  }

  /** Main thread: asks the running turn to stop at its next poll. */
  requestStop(turn: number): void {
    Atomics.store(this.#words, Word.STOP, turn);
  }

  stopRequested(turn: number): boolean {
    return Atomics.load(this.#words, Word.STOP) === turn;
  }

  /** Worker: takes the right to end this turn. False: the main thread condemned this worker, which must do nothing more. */
  finish(turn: number): boolean {
    return Atomics.compareExchange(this.#words, Word.TURN, turn, IDLE) === turn;
  }

  /** Main thread: takes the right to end this turn. False: the worker was faster, its message is on the way. */
  condemn(turn: number): boolean {
    return Atomics.compareExchange(this.#words, Word.TURN, turn, CONDEMNED) === turn;
  }

  /** Worker that lost the race: waits for its end. */
  park(): void {
    Atomics.wait(this.#words, Word.TURN, CONDEMNED);
  }
}

/** Milliseconds since the epoch, monotonic within a thread and comparable between threads. */
export function clock(): number {
  return performance.timeOrigin + performance.now();
}
