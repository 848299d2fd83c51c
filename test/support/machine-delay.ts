/** How long this machine keeps those waiting who want to run: tests of promised times must not blame the server for it. */

const EVERY = 5;
/** Timers are late by so much on an idle machine. */
const USUAL = 5;

export class MachineDelay implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #last = performance.now();
  #sum = 0;

  constructor() {
    this.#timer = setInterval(() => this.#tick(), EVERY);
    this.#timer.unref();
  }

  /** Milliseconds by which timers of this process have been late since it began to measure, together. */
  get sum(): number {
    this.#tick();
    return this.#sum;
  }

  #tick(): void {
    const now = performance.now();
    this.#sum += Math.max(0, now - this.#last - EVERY - USUAL);
    this.#last = now;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
