/** Streams that end when the server stops, and not before. What comes while it waits for others ends at once. */

export class OpenStreams {
  readonly #ends = new Set<() => void>();
  #isOver = false;

  /**
   * @param end tells the client that the server stops, and ends the stream
   * @returns to be called when the stream has ended
   */
  add(end: () => void): () => void {
    this.#ends.add(end);
    // Whoever adds it is not done with it yet.
    if (this.#isOver) queueMicrotask(() => this.#ends.delete(end) && end());
    return () => void this.#ends.delete(end);
  }

  endAll(): void {
    this.#isOver = true;
    for (const end of this.#ends) end();
    this.#ends.clear();
  }
}
