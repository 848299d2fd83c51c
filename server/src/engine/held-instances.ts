/** What the main thread knows of the instances that a worker holds: the keys of their memories, and when each was last needed. */
export class HeldInstances {
  /** In milliseconds of one clock; those that were needed longest ago come first. */
  readonly #usedAt = new Map<number, number>();
  #dropped: number[] = [];

  get count(): number {
    return this.#usedAt.size;
  }

  /** One is needed. @returns whether the worker holds it already */
  use(key: number, now: number): boolean {
    const isHeld = this.#usedAt.delete(key);
    this.#usedAt.set(key, now);
    return isHeld;
  }

  /** One will not be needed again. */
  forget(key: number): void {
    if (this.#usedAt.delete(key)) this.#dropped.push(key);
  }

  /**
   * Forgets those that were last needed before then.
   *
   * @returns whether as many were forgotten as stay: then a collection is worth its time, which goes with what stays
   */
  forgetUnused(before: number): boolean {
    const { count } = this;
    for (const [key, usedAt] of this.#usedAt) {
      if (usedAt >= before) break;
      this.forget(key);
    }
    return this.count < count && this.count <= count / 2;
  }

  /** The keys of what the worker is to let go of. It is told: they are not given again. */
  takeDropped(): readonly number[] {
    const dropped = this.#dropped;
    if (dropped.length > 0) this.#dropped = [];
    return dropped;
  }
}
