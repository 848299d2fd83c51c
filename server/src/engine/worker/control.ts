/**
 * The words that a worker and the main thread share, beside messages: who may end a turn is decided here.
 *
 * `TURN` holds the number of the running turn, or IDLE between turns. The worker commits (or undoes) by swapping it away; the
 * main thread condemns a worker by swapping it to CONDEMNED before it terminates the thread. Exactly one of the two wins,
 * and only the winner may put pages back or release effects.
 */
import type { CheckpointExtent } from "./checkpoint.js";

const Word = {
  TURN: 0,
  STOP: 1,
  CHECKPOINTED: 2,
  HEAP_END: 3,
  MEMORY_BYTES: 4,
  GROUPS_BEGUN: 5,
  LATEST_TURN: 6,
  COLLECTING: 7,
} as const;
const STARTED_AT = 4; // index of a 64-bit float: bytes 32..39
const BYTES = 64;

/** What GROUPS_BEGUN holds once the main thread took the rest of a batch back. */
const TAKEN_BACK = 2 ** 20;

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

  /** Main thread, before it posts a batch to an idle worker. */
  begin(firstTurn: number): void {
    Atomics.store(this.#words, Word.GROUPS_BEGUN, 0);
    Atomics.store(this.#words, Word.LATEST_TURN, firstTurn - 1);
    Atomics.store(this.#words, Word.CHECKPOINTED, 0);
    Atomics.store(this.#words, Word.STOP, 0);
    Atomics.store(this.#words, Word.COLLECTING, 0);
    Atomics.store(this.#words, Word.TURN, firstTurn);
  }

  /** Worker: begins a group of the batch. False: the main thread took it, and all behind it, back. */
  beginGroup(place: number): boolean {
    return Atomics.compareExchange(this.#words, Word.GROUPS_BEGUN, place, place + 1) === place;
  }

  /** Main thread: takes the groups back that were not begun, to run them elsewhere. Gives the place of the first of them. */
  takeBack(): number | undefined {
    const begun = Atomics.load(this.#words, Word.GROUPS_BEGUN);
    // Before the first has begun the turn word is not the worker's yet.
    if (begun === 0 || begun === TAKEN_BACK) return undefined;
    return Atomics.compareExchange(this.#words, Word.GROUPS_BEGUN, begun, TAKEN_BACK) === begun ? begun : undefined;
  }

  /**
   * Worker: the pages are safe as they are now. The time is set first: whoever looks between this and the start of the first
   * turn must not take the start of an earlier one for it.
   */
  checkpointed(extent: CheckpointExtent, now: number): void {
    this.#times[STARTED_AT] = now;
    Atomics.store(this.#words, Word.HEAP_END, extent.heapEnd);
    Atomics.store(this.#words, Word.MEMORY_BYTES, extent.memoryBytes);
    Atomics.store(this.#words, Word.CHECKPOINTED, 1);
  }

  /** Worker: guest code begins now. False: the main thread condemned this worker, which must do nothing more. */
  start(turn: number, before: number, now: number): boolean {
    this.#times[STARTED_AT] = now;
    if (Atomics.compareExchange(this.#words, Word.TURN, before, turn) !== before) return false;
    if (turn > Atomics.load(this.#words, Word.LATEST_TURN)) Atomics.store(this.#words, Word.LATEST_TURN, turn);
    return true;
  }

  /** Worker: the engine collects garbage, before the guest code of the turn that has begun runs. */
  beginCollection(): void {
    Atomics.store(this.#words, Word.COLLECTING, 1);
  }

  /** Worker: it failed. */
  leaveCollection(): void {
    Atomics.store(this.#words, Word.COLLECTING, 0);
  }

  /** Worker: the pages are as the turn finds them; until the new checkpoint is taken there is none, and none is needed. */
  collected(): void {
    Atomics.store(this.#words, Word.CHECKPOINTED, 0);
  }

  /** Worker: the time of the turn begins. */
  endCollection(extent: CheckpointExtent, now: number): void {
    this.checkpointed(extent, now);
    Atomics.store(this.#words, Word.COLLECTING, 0);
  }

  /** True while garbage is collected before a turn: its time has not begun. */
  get isCollecting(): boolean {
    return Atomics.load(this.#words, Word.COLLECTING) === 1;
  }

  /**
   * Main thread, after it asked a turn to stop. False: it never began and never will. The worker says that it begins before it
   * looks whether it was asked to stop, and the main thread asks before it looks; so one of them sees the other.
   */
  hasBegun(turn: number): boolean {
    return Atomics.load(this.#words, Word.LATEST_TURN) >= turn;
  }

  /** Number of the running turn; undefined between turns and while the worker still prepares. */
  get turn(): number | undefined {
    const turn = Atomics.load(this.#words, Word.TURN);
    return turn > IDLE && Atomics.load(this.#words, Word.CHECKPOINTED) === 1 ? turn : undefined;
  }

  /** `clock()` when the running turn began. */
  get startedAt(): number {
    return this.#times[STARTED_AT] ?? 0;
  }

  /** Main thread, after it condemned the worker: the checkpoint of the condemned turn, if it was taken. */
  get checkpoint(): CheckpointExtent | undefined {
    if (Atomics.load(this.#words, Word.CHECKPOINTED) !== 1) return undefined;
    return {
      heapEnd: Atomics.load(this.#words, Word.HEAP_END) >>> 0,
      memoryBytes: Atomics.load(this.#words, Word.MEMORY_BYTES) >>> 0,
    };
  }

  /** Main thread: asks a turn of the posted batch, by its place there, to stop at its next poll. */
  requestStop(place: number): void {
    Atomics.or(this.#words, Word.STOP, 1 << place);
  }

  stopRequested(place: number): boolean {
    return (Atomics.load(this.#words, Word.STOP) & (1 << place)) !== 0;
  }

  /** Worker: takes the right to end what runs. False: the main thread condemned this worker, which must do nothing more. */
  finish(turn: number): boolean {
    return Atomics.compareExchange(this.#words, Word.TURN, turn, IDLE) === turn;
  }

  /** Main thread: takes the right to end this turn. False: the worker was faster. */
  condemn(turn: number): boolean {
    return Atomics.compareExchange(this.#words, Word.TURN, turn, CONDEMNED) === turn;
  }

  /** Worker that lost the race: waits for its end. */
  park(): void {
    Atomics.wait(this.#words, Word.TURN, CONDEMNED);
  }
}

/** What `start` expects to find between turns. */
export const BETWEEN_TURNS = IDLE;

/** Read once: the getter does not come cheap. */
const { timeOrigin } = performance;

/** Milliseconds since the epoch, with their fractions; monotonic within a thread and comparable between threads. */
export function clock(): number {
  return timeOrigin + performance.now();
}
