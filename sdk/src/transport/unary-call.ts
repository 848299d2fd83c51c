/** A request on its way to its one answer: the time it may take, and what stops it. */
export class UnaryCall {
  /** Stops what is being done for it at the moment, which then rejects. */
  stop: () => void = () => undefined;
  /** It may have reached the server. */
  wasSent = false;
  readonly #deadline: number;
  #interruption: { readonly error: unknown } | undefined;

  /** @param timeout milliseconds; left out: as long as it takes */
  constructor(timeout = Number.POSITIVE_INFINITY) {
    this.#deadline = performance.now() + timeout;
  }

  /** In milliseconds. */
  get timeLeft(): number {
    return Math.max(0, this.#deadline - performance.now());
  }

  /** Nobody waits for it any more. */
  interrupt(error: unknown): void {
    this.#interruption ??= { error };
    this.stop();
  }

  /** @throws the error that it was interrupted with, if it was */
  throwIfInterrupted(): void {
    if (this.#interruption) throw this.#interruption.error;
  }
}
