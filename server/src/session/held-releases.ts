/**
 * Handles that were given back while an atomic execution holds the session. Whoever does that is told so at once, and does not do it
 * again; so where that execution is undone, and the handles are there again, it is done in their place.
 */
import type { ReleaseInput } from "./asks.js";
import { type EventLoop, type Input, KERNEL_TURN_BUDGET } from "./event-loop.js";
import type { SessionTurns } from "./session-turns.js";

/** Ids beyond which nothing is noted of more. */
const MOST_NOTED = 100_000;

export class HeldReleases {
  readonly #loop: EventLoop;
  readonly #turns: SessionTurns;
  #noted: ReleaseInput[] = [];
  /** Ids in all of it, and one more for each. */
  #size = 0;
  /** What waits to be done again. */
  #repeated: Input[] = [];

  constructor(loop: EventLoop, turns: SessionTurns) {
    this.#loop = loop;
    this.#turns = turns;
  }

  /** Handles were given back. */
  note(input: ReleaseInput): void {
    const size = this.#size + 1 + input.handleIds.length;
    if (!this.#loop.isHeld || size > MOST_NOTED) return;
    this.#noted.push(input);
    this.#size = size;
  }

  /** What was done stands. */
  forget(): void {
    this.#noted = [];
    this.#size = 0;
  }

  /** What was done is undone. It is done before anything else runs: who comes next may get the same handles. */
  repeat(): void {
    const budget = { cpuTime: KERNEL_TURN_BUDGET };
    this.#repeated = this.#noted.map((input) => this.#turns.input(0, input, budget));
    for (const input of this.#repeated) this.#loop.addAgain(input);
    this.forget();
  }

  /** The session is put back to where the handles are to be there. */
  giveUp(): void {
    for (const input of this.#repeated.splice(0)) this.#loop.remove(input);
  }

  /** Nothing waits any more. */
  onStill(): void {
    this.#repeated = [];
  }
}
