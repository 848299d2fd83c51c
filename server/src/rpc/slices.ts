/** Frames that are handled before others have the thread. */
export const AT_ONCE = 2_000;
/** So many of a message are handled as it comes, whatever other streams do: who sends few waits for nobody who sends many. */
export const FEW = 50;

/**
 * Work that streams do a slice at a time: so much of it in each round of the event loop, of all streams in turn, so that others have the
 * thread as soon, however many streams have such work.
 */
export class Slices {
  readonly #waiting: (() => void)[] = [];
  /** Frames of this round that are left to all streams together. */
  #left = AT_ONCE;
  #isNextSoon = false;
  /** Those that waited have their slices now. */
  #isInTurn = false;

  /** How many frames a stream may handle now. */
  get room(): number {
    return this.#isInTurn ? this.#left : Math.max(FEW, this.#left);
  }

  /** A stream has handled so many in this round. */
  took(frames: number): void {
    if (frames <= FEW && !this.#isInTurn) return;
    this.#left -= frames;
    this.#nextSoon();
  }

  /** Calls back when those that came before had their slices. */
  add(slice: () => void): void {
    this.#waiting.push(slice);
    this.#nextSoon();
  }

  /** Calls back before all others, in the next round: there was too little room in this one, which is over. */
  addFirst(slice: () => void): void {
    this.#left = 0;
    this.#waiting.unshift(slice);
    this.#nextSoon();
  }

  #nextSoon(): void {
    if (this.#isNextSoon) return;
    this.#isNextSoon = true;
    setImmediate(() => {
      this.#isNextSoon = false;
      this.#left = AT_ONCE;
      this.#isInTurn = true;
      // Who is not through with the slice waits behind all others.
      for (let count = this.#waiting.length; count > 0 && this.#left > 0; count--) this.#waiting.shift()?.();
      this.#isInTurn = false;
      if (this.#waiting.length > 0) this.#nextSoon();
    });
  }
}
