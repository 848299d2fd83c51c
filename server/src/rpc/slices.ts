/**
 * Work that streams do a slice at a time: one slice of one stream in each round of the event loop, so that others have the thread as
 * soon, however many streams have such work.
 */
export class Slices {
  readonly #waiting: (() => void)[] = [];

  /** Calls back when those that came before had their slices. */
  add(slice: () => void): void {
    this.#waiting.push(slice);
    if (this.#waiting.length === 1) this.#runNextSoon();
  }

  #runNextSoon(): void {
    setImmediate(() => {
      this.#waiting[0]?.();
      this.#waiting.shift();
      if (this.#waiting.length > 0) this.#runNextSoon();
    });
  }
}
