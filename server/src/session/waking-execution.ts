/** An execution in a session that is being woken: it begins when the session is there. */
import type { Execution } from "./execution.js";
import type { Outcome } from "./outcome.js";

export class WakingExecution<T> implements Execution {
  readonly outcome: Promise<Outcome>;
  readonly #requestId: string;
  #execution: Execution | undefined;
  #isCancelled = false;
  #credit = 0;

  /**
   * @param requestId of the command, or empty
   * @param waking the session to be
   * @param begin begins it, at once when the session is awake: what came later is not to overtake it
   */
  constructor(requestId: string, waking: Promise<T>, begin: (awake: T) => Execution) {
    this.#requestId = requestId;
    this.outcome = waking.then((awake) => this.#begin(begin(awake)));
    // Whoever asks for it hears of a failure.
    this.outcome.catch(() => undefined);
  }

  /** Empty as long as nobody knows it: without a request id it is drawn when it begins. */
  get executionId(): string {
    return this.#execution?.executionId ?? this.#requestId;
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#execution?.cancel();
  }

  allow(credit: number): void {
    if (this.#execution === undefined) this.#credit += credit;
    else this.#execution.allow(credit);
  }

  #begin(execution: Execution): Promise<Outcome> {
    this.#execution = execution;
    if (this.#credit > 0) execution.allow(this.#credit);
    // One that was cancelled before it began is answered as any that is cancelled: it never runs.
    if (this.#isCancelled) execution.cancel();
    return execution.outcome;
  }
}
