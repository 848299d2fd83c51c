/** Calls that have one answer and have not got it. A server that stops waits for them, since what they asked for may be done. */
import { setTimeout as sleep } from "node:timers/promises";
import { SessionError } from "../session/errors.js";

export class OpenCalls {
  readonly #open = new Set<Promise<unknown>>();
  #isOver = false;

  /** @throws SessionError DRAINING where none is taken any more */
  async run<T>(work: () => Promise<T> | T): Promise<T> {
    if (this.#isOver) throw new SessionError("DRAINING", "the server is stopping; try again elsewhere or later");
    const running = (async () => work())();
    this.#open.add(running);
    try {
      return await running;
    } finally {
      this.#open.delete(running);
    }
  }

  /** From now on none is taken. Resolves when all have their answer, or so many milliseconds are over. */
  async end(patience: number): Promise<void> {
    this.#isOver = true;
    const isOver = new AbortController();
    const waited = sleep(patience, undefined, { signal: isOver.signal }).catch(() => undefined);
    await Promise.race([Promise.allSettled(this.#open), waited]);
    isOver.abort();
  }
}
