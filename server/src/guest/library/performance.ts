/** `performance.now` and `performance.timeOrigin`, in whole milliseconds: finer clocks are for measuring one's neighbours. */
import { clock } from "../host-asks.js";
import { dateNow } from "../intrinsics.js";
import { timeOrigin } from "../time-origin.js";
import { asInterface } from "../webidl.js";

const BY_PLATFORM = Symbol();

class Performance {
  /** So much the machine's clock is ahead. It may be set; what lasts is measured by the one that is not. */
  readonly #ahead = dateNow() - clock();
  /** The process that a session moved to may count from somewhat earlier. */
  #latest = 0;

  constructor() {
    if ((arguments[0] as unknown) !== BY_PLATFORM) throw new TypeError("Illegal constructor");
  }

  get timeOrigin(): number {
    void this.#latest;
    return timeOrigin();
  }

  now(): number {
    this.#latest = Math.max(this.#latest, Math.floor(clock() + this.#ahead) - timeOrigin());
    return this.#latest;
  }

  toJSON(): { timeOrigin: number } {
    return { timeOrigin: this.timeOrigin };
  }
}

asInterface(Performance, "Performance");

const performance = Reflect.construct(Performance, [BY_PLATFORM]) as Performance;

export { Performance, performance };
