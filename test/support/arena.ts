/**
 * Where programs are let loose on a server: a process of its own with two workers, and beside whoever misbehaves a canary that
 * works on. It holds the server to what must be so after everything that a guest does.
 */
import { Livescope, StatusError } from "@livescope/sdk";
import { Canary } from "./canary.js";
import { Harm, Late } from "./harm.js";
import { MachineDelay } from "./machine-delay.js";
import { ServerProcess } from "./server-process.js";

/** How long after its deadline an answer may come, in milliseconds, and where a worker had to be ended for it. */
const LATE_BY = 250;
const LATE_BY_KILLED = 500;
/** When the machine kept the server waiting for longer, what came late says nothing about the server: it is done again. */
const UNFAIR = 100;
const ATTEMPTS = 5;

export class Arena implements AsyncDisposable {
  readonly client: Livescope;
  readonly #server: ServerProcess;
  readonly #delay: MachineDelay;
  readonly #canary: Canary;

  /** @param preload URL of a module that the server's process loads first */
  static async start(preload?: string): Promise<Arena> {
    const server = await ServerProcess.start(["--workers", "2"], { preload });
    const client = await Livescope.connect(server.address);
    const delay = new MachineDelay(server.pid);
    return new Arena(server, client, delay, await Canary.start(client, delay));
  }

  private constructor(server: ServerProcess, client: Livescope, delay: MachineDelay, canary: Canary) {
    this.#server = server;
    this.client = client;
    this.#delay = delay;
    this.#canary = canary;
  }

  /**
   * Does something while the canary works, and then looks whether the server is as it was.
   * @param work done again if something was late and the machine is to blame
   * @throws Harm
   */
  async survive<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const began = performance.now();
      try {
        const done = await this.#canary.during(work);
        await this.#check();
        return done;
      } catch (error) {
        await this.#check();
        if (attempt === ATTEMPTS || !isLate(error) || this.#delay.since(began) < UNFAIR) throw error;
      }
    }
  }

  /**
   * Waits for an answer.
   * @param deadline milliseconds after which it is due
   * @throws Harm when it is late
   */
  async inTime<T>(deadline: number, ask: () => Promise<T>): Promise<T> {
    const { ended } = await this.#server.testify();
    const began = performance.now();
    const answer = await ask();
    const late = performance.now() - began - deadline;
    if (late > LATE_BY) {
      const delayed = this.#delay.since(began);
      const wasKilled = (await this.#server.testify()).ended > ended;
      if (late - delayed > (wasKilled ? LATE_BY_KILLED : LATE_BY)) {
        const whose = `${Math.round(delayed)} of them the machine's`;
        throw new Late(`an answer came ${Math.round(late)} ms after its deadline, ${whose}`);
      }
    }
    return answer;
  }

  /** True while nothing that was done to the server is left of it: it serves for more. */
  async isWell(): Promise<boolean> {
    try {
      await this.#check();
      return true;
    } catch {
      return false;
    }
  }

  /** Bytes of memory that the server's process holds. */
  async residentBytes(): Promise<number> {
    return (await this.#server.testify()).residentBytes;
  }

  /** Looks a last time, and ends the server. @throws Harm when the canary did not count each of its calls once */
  async close(): Promise<void> {
    try {
      await this.#check();
      await this.#canary.check();
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#delay[Symbol.dispose]();
    this.client.close();
    await this.#server[Symbol.asyncDispose]();
  }

  async #check(): Promise<void> {
    const { exit, log } = this.#server;
    if (exit !== undefined) throw new Harm(`the server ended: ${exit}\n${log}`);
    const { died, changed } = await this.#server.testify();
    if (died > 0) throw new Harm(`${died} worker threads ended that nobody ended`);
    if (changed.length > 0) throw new Harm(`the server's own ${changed.join()} were changed`);
    if (log !== "") throw new Harm(`the server logged a failure of its own: ${log}`);
  }
}

/** True for what says that something was late; the SDK waits for an answer no longer than a second after its deadline. */
export function isLate(error: unknown): boolean {
  return error instanceof Late || (error instanceof StatusError && error.code === "DEADLINE_EXCEEDED");
}
