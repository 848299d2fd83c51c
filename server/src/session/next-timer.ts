/** The next timer of a session, as its kernel told it last: waited for, and given a turn when it is due. */
import { clock, type TurnResult } from "../engine/engine.js";
import type { Input } from "./event-loop.js";

export interface TimerRecord {
  /** When it is due, as `clock()` tells the time; Infinity where there is none. */
  readonly at: number;
  /** Number of the execution that set it; 0 for none. */
  readonly owner: number;
}

/** What it asks of its session. */
export interface NextTimerHost {
  /** True while guest code may run: an execution is open. */
  readonly hasOpenExecutions: boolean;
  /**
   * The input that calls the timer that is due.
   *
   * @param owner number of the execution that set it; 0 for none in flight
   * @param over is called when it has had its turn, and is not given again
   */
  timer(owner: number, over: () => void): Input;
}

/** Timers of Node count to 2 ** 31 - 1 milliseconds; a later one is looked at again then. */
const LONGEST_TIMER = 2 ** 31 - 1;

const NONE: TimerRecord = { at: Number.POSITIVE_INFINITY, owner: 0 };

export class NextTimer {
  readonly #host: NextTimerHost;
  readonly #onDue: () => void;
  #next = NONE;
  #timeout: NodeJS.Timeout | undefined;
  #isTaken = false;

  /** @param onDue it may be due: it is worth another look */
  constructor(host: NextTimerHost, onDue: () => void) {
    this.#host = host;
    this.#onDue = onDue;
  }

  get record(): TimerRecord {
    return this.#next;
  }

  get isSet(): boolean {
    return this.#next.at !== Number.POSITIVE_INFINITY;
  }

  /** The session's memory is another one, of which this was told. */
  restore(record: TimerRecord): void {
    this.#next = record;
  }

  /** A turn was committed. */
  note({ nextTimer, nextTimerOwner: owner }: TurnResult & { readonly kind: "committed" }): void {
    this.#next = nextTimer < 0 ? NONE : { at: clock() + nextTimer, owner };
  }

  /** The input that calls it, once, where it is due. Where it will be, `onDue` is called then. */
  takeDue(): Input | undefined {
    clearTimeout(this.#timeout);
    if (this.#isTaken || !this.isSet || !this.#host.hasOpenExecutions) return undefined;
    const left = this.#next.at - clock();
    if (left > 0) {
      this.#timeout = setTimeout(this.#onDue, Math.min(left, LONGEST_TIMER));
      return undefined;
    }
    this.#isTaken = true;
    return this.#host.timer(this.#next.owner, () => {
      this.#isTaken = false;
    });
  }

  /** Nothing that was taken comes to its turn. */
  stop(): void {
    clearTimeout(this.#timeout);
    this.#isTaken = false;
  }
}
