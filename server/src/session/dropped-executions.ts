/**
 * Executions that were ended between turns and that the kernel still takes for open. The next turns tell it, and it lets go of what they
 * left.
 */
export class DroppedExecutions {
  #numbers: number[] = [];
  /** How many of them the turns that are on their way tell the kernel. */
  #told = 0;
  /** The kernel is to look what has become of the others, even if nothing else is to be run. */
  isLookDue = false;

  /** A copy: what is dropped later is not in it. */
  get record(): readonly number[] {
    return [...this.#numbers];
  }

  restore(numbers: readonly number[]): void {
    this.#numbers = [...numbers];
    this.isLookDue = numbers.length > 0;
  }

  add(execution: number): void {
    this.#numbers.push(execution);
    this.isLookDue = true;
  }

  /** Turns are posted that tell the kernel of these: all that there are. */
  tell(): readonly number[] {
    this.#told = this.#numbers.length;
    return this.record;
  }

  /** Turns were committed that told the kernel of so many. */
  told(count: number): void {
    this.#numbers = this.#numbers.slice(count);
    this.#told = 0;
  }

  /** True where some were dropped while the turns were on their way that are now. */
  get hasUntold(): boolean {
    return this.#numbers.length > this.#told;
  }

  /** True for one of those: it may have run in these turns. */
  isUntold(execution: number): boolean {
    return this.#numbers.includes(execution, this.#told);
  }
}
