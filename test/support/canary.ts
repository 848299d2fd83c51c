/** A session that goes about its work while somebody misbehaves: it counts its calls, and must be answered each time, in time. */
import type { Livescope, Session } from "@livescope/sdk";
import { Harm, Late } from "./harm.js";
import type { MachineDelay } from "./machine-delay.js";

/** How long an answer may take, in milliseconds, while others keep a worker busy. */
const ANSWERED_WITHIN = 250;
const PAUSE = 5;

export class Canary {
  readonly #session: Session;
  readonly #delay: MachineDelay;
  #counted = 0;

  static async start(client: Livescope, delay: MachineDelay): Promise<Canary> {
    const session = await client.createSession({ setup: "let count = 0; function next() { return ++count }" });
    return new Canary(session, delay);
  }

  private constructor(session: Session, delay: MachineDelay) {
    this.#session = session;
    this.#delay = delay;
  }

  /** Works on while something is done, at least one call long. @throws Harm when an answer is wrong, missing or late */
  async during<T>(work: () => Promise<T>): Promise<T> {
    let isDone = false;
    const working = (async () => {
      do {
        await this.#call();
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      } while (!isDone);
    })();
    // Until it is waited for below its failure is nobody's.
    working.catch(() => undefined);
    try {
      return await work();
    } finally {
      isDone = true;
      await working;
    }
  }

  /** Each call that was answered was counted, once, and none else. @throws Harm when that is not so */
  async check(): Promise<void> {
    const count = await this.#session.execute("count");
    if (count !== this.#counted) throw new Harm(`the canary counted ${count} calls of ${this.#counted}`);
  }

  async #call(): Promise<void> {
    const began = performance.now();
    const count = await this.#session.call("next");
    const took = performance.now() - began;
    if (count !== ++this.#counted) throw new Harm(`the canary was answered ${count} instead of ${this.#counted}`);
    if (took <= ANSWERED_WITHIN) return;
    const delayed = this.#delay.since(began);
    if (took - delayed <= ANSWERED_WITHIN) return;
    throw new Late(
      `the canary was answered after ${Math.round(took)} ms, ${Math.round(delayed)} of them the machine's`,
    );
  }
}
