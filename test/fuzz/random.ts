/** Choices that follow from a seed: the same seed makes the same ones, on every machine. */
export class Random {
  #state: number;

  /** @param seed any integers; each combination is a sequence of its own */
  constructor(...seed: readonly number[]) {
    this.#state = 0x9e3779b9;
    for (const part of seed) {
      this.#state = (Math.imul(this.#state ^ part, 0x85ebca6b) ^ (this.#state >>> 13)) >>> 0 || 1;
      for (let i = 0; i < 4; i++) this.below(1);
    }
  }

  /** A whole number from 0 up to, not including, `bound`. */
  below(bound: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    this.#state >>>= 0;
    return this.#state % bound;
  }

  /** True once in so many times. */
  onceIn(times: number): boolean {
    return this.below(times) === 0;
  }

  one<T>(choices: readonly T[]): T {
    if (choices.length === 0) throw new Error("there is nothing to choose from");
    return choices[this.below(choices.length)] as T;
  }
}
