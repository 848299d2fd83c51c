/**
 * Calls that have one answer, or the bytes of a snapshot, and have not got it. A server that stops waits for them, since what they
 * asked for may be done.
 */
import { SessionError } from "../session/errors.js";

export class OpenCalls {
  #open = 0;
  #isOver = false;
  #onNone: () => void = () => undefined;

  /** One more; `end` is to be called when it is answered. */
  begin(): void {
    this.#open++;
  }

  /** @throws SessionError DRAINING where none is taken any more */
  checkNotOver(): void {
    if (this.#isOver) throw new SessionError("DRAINING", "the server is stopping; try again elsewhere or later");
  }

  end(): void {
    if (--this.#open === 0) this.#onNone();
  }

  /** From now on none is taken. Resolves when all have their answer, or so many milliseconds are over. */
  finish(patience: number): Promise<void> {
    this.#isOver = true;
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, patience);
      this.#onNone = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
