/** `performance.now` and `performance.timeOrigin`, in whole milliseconds: finer clocks are for measuring one's neighbours. */
import { dateNow } from "../intrinsics.js";
import { timeOrigin } from "../time-origin.js";
import { asInterface } from "../webidl.js";

const BY_PLATFORM = Symbol();

class Performance {
  /** The clock of the host may go back, or differ on the machine that a session moved to. */
  #latest = 0;

  constructor() {
    if ((arguments[0] as unknown) !== BY_PLATFORM) throw new TypeError("Illegal constructor");
  }

  get timeOrigin(): number {
    void this.#latest;
    return timeOrigin();
  }

  now(): number {
    this.#latest = Math.max(this.#latest, dateNow() - timeOrigin());
    return this.#latest;
  }

  toJSON(): { timeOrigin: number } {
    return { timeOrigin: this.timeOrigin };
  }
}

asInterface(Performance, "Performance");

const performance = Reflect.construct(Performance, [BY_PLATFORM]) as Performance;

export { Performance, performance };
