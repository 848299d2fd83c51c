/** So much of what takes long is done in each round of the event loop, so that others have the thread between, however much there is. */
export class Rounds {
  readonly #atOnce: number;
  readonly #waiting: (() => void)[] = [];
  /** Of this round. */
  #left: number;
  #isNextSoon = false;

  /** @param atOnce how much is done in one round */
  constructor(atOnce: number) {
    this.#atOnce = atOnce;
    this.#left = atOnce;
  }

  /** @returns whether one more may be done in this round; it is counted then */
  takeNow(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    this.#nextSoon();
    return true;
  }

  /** Resolves when one more may be done, after those that came before. */
  take(): Promise<void> {
    return new Promise((resolve) => {
      if (this.takeNow()) resolve();
      else this.#waiting.push(resolve);
    });
  }

  #nextSoon(): void {
    if (this.#isNextSoon) return;
    this.#isNextSoon = true;
    setImmediate(() => {
      this.#isNextSoon = false;
      const next = this.#waiting.splice(0, this.#atOnce);
      this.#left = this.#atOnce - next.length;
      for (const take of next) take();
      if (next.length > 0) this.#nextSoon();
    });
  }
}
