/**
 * How much the heaps of all sessions hold together, in pages of 64 KiB, and the most that they may.
 *
 * Workers grow memories without asking the main thread, so both count in shared words: the main thread what it has taken note
 * of, each worker what it grew since then, in a word of its own. A worker that is ended in the middle of that leaves nothing
 * uncounted: the main thread forgets its word and looks at the memories themselves.
 */

const Word = { LIMIT: 0, SLOTS: 1, NOTED: 2, FIRST_SLOT: 3 } as const;

/** Workers that may exist at once, those included that are being ended. */
const SLOTS = 256;

export class HeapSum {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #freeSlots: number[];

  constructor(buffer = new SharedArrayBuffer(4 * (Word.FIRST_SLOT + SLOTS))) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#freeSlots = Array.from({ length: SLOTS }, (_, i) => SLOTS - 1 - i);
  }

  /** Main thread: the most that all may hold. */
  set limit(pages: number) {
    Atomics.store(this.#words, Word.LIMIT, pages);
  }

  get limit(): number {
    return Atomics.load(this.#words, Word.LIMIT);
  }

  /** True when so many pages more would fit. */
  hasRoom(pages: number): boolean {
    return this.#sum() + pages <= this.limit;
  }

  /** Main thread: a memory holds so many pages more than it took note of before, or fewer. */
  note(pages: number): void {
    Atomics.add(this.#words, Word.NOTED, pages);
  }

  /** Main thread: a place for a new worker to count in. */
  takeSlot(): number {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) throw new Error(`engine: more than ${SLOTS} workers at once`);
    // Nobody has counted beyond the highest that was ever taken.
    if (slot >= Atomics.load(this.#words, Word.SLOTS)) Atomics.store(this.#words, Word.SLOTS, slot + 1);
    return slot;
  }

  /** Main thread: the worker is no more. */
  freeSlot(slot: number): void {
    this.clearSlot(slot);
    this.#freeSlots.push(slot);
  }

  /** Main thread: it has taken note of what this worker grew, which grows nothing now. */
  clearSlot(slot: number): void {
    Atomics.store(this.#words, Word.FIRST_SLOT + slot, 0);
  }

  /** Worker: a memory is about to grow. False: there is no room, and nothing was counted. */
  grow(slot: number, pages: number): boolean {
    // Counted first: of two workers that ask at once for the last pages none may overlook the other.
    Atomics.add(this.#words, Word.FIRST_SLOT + slot, pages);
    if (this.hasRoom(0)) return true;
    this.shrink(slot, pages);
    return false;
  }

  /** Worker: a memory did not grow after all, or is given up for one without these pages. */
  shrink(slot: number, pages: number): void {
    Atomics.sub(this.#words, Word.FIRST_SLOT + slot, pages);
  }

  #sum(): number {
    let sum = 0;
    const end = Word.FIRST_SLOT + Atomics.load(this.#words, Word.SLOTS);
    for (let i: number = Word.NOTED; i < end; i++) sum += Atomics.load(this.#words, i);
    return sum;
  }
}
