/** `performance.now` and `performance.timeOrigin`, in whole milliseconds: finer clocks are for measuring one's neighbours. */
import { clock } from "../host-asks.js";
import { timeOrigin } from "../time-origin.js";
import { asInterface } from "../webidl.js";

const BY_PLATFORM = Symbol();

/** The process that a session moved to may count from somewhat earlier. */
let latest = 0;

/** Whole milliseconds since the session began to run; what `performance.now` and events tell. */
export function sinceOrigin(): number {
  const now = whole(clock() - timeOrigin());
  if (now > latest) latest = now;
  return latest;
}

function whole(milliseconds: number): number {
  return milliseconds - (milliseconds % 1);
}

class Performance {
  readonly #brand = true;

  constructor() {
    if ((arguments[0] as unknown) !== BY_PLATFORM) throw new TypeError("Illegal constructor");
  }

  get timeOrigin(): number {
    void this.#brand;
    return whole(timeOrigin());
  }

  now(): number {
    void this.#brand;
    return sinceOrigin();
  }

  toJSON(): { timeOrigin: number } {
    return { timeOrigin: this.timeOrigin };
  }
}

asInterface(Performance, "Performance");

const performance = Reflect.construct(Performance, [BY_PLATFORM]) as Performance;

export { Performance, performance };
