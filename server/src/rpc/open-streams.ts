/** Streams that end when the server stops, and not before. */

export class OpenStreams {
  readonly #ends = new Set<() => void>();

  /**
   * @param end tells the client that the server stops, and ends the stream
   * @returns to be called when the stream has ended
   */
  add(end: () => void): () => void {
    this.#ends.add(end);
    return () => void this.#ends.delete(end);
  }

  endAll(): void {
    for (const end of this.#ends) end();
    this.#ends.clear();
  }
}
