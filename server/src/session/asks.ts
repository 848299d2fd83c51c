/**
 * What is asked of a session beside its executions: of its kernel, in turns of the kernel's own, or of the server, while nothing of
 * the session runs. Whoever asked is told if the session ends before.
 */
import { clock } from "../engine/engine.js";
import type { TurnInput } from "../engine/kernel-protocol.js";
import type { Commits } from "./commits.js";
import { SessionError } from "./errors.js";
import { type EventLoop, type Input, KERNEL_TURN_BUDGET, type Pause } from "./event-loop.js";
import type { HeldReleases } from "./held-releases.js";
import { refusalOf } from "./refusals.js";
import type { SessionLife } from "./session-life.js";
import type { SessionRecord } from "./session-record.js";
import type { SessionTurns, TurnsSession } from "./session-turns.js";

export type ReleaseInput = TurnInput & { readonly kind: "release" };

export class Asks {
  readonly #session: TurnsSession;
  readonly #loop: EventLoop;
  readonly #turns: SessionTurns;
  readonly #life: SessionLife;
  readonly #commits: Commits;
  readonly #heldReleases: HeldReleases;
  readonly #asks = new Set<(error: SessionError) => void>();

  constructor(
    session: TurnsSession,
    loop: EventLoop,
    turns: SessionTurns,
    life: SessionLife,
    commits: Commits,
    heldReleases: HeldReleases,
  ) {
    this.#session = session;
    this.#loop = loop;
    this.#turns = turns;
    this.#life = life;
    this.#commits = commits;
    this.#heldReleases = heldReleases;
  }

  /** How many were not answered. */
  get size(): number {
    return this.#asks.size;
  }

  /** The session ends: whoever waits is told. */
  end(why: () => SessionError): void {
    for (const reject of this.#asks) reject(why());
  }

  /** A turn of the kernel's own. @throws SessionError when the kernel refuses, QUOTA_EXCEEDED, or when the session ends before */
  ask(input: TurnInput): Promise<{ count: number; text: string }> {
    if (this.#life.ended !== undefined) return Promise.reject(this.#life.ended);
    this.#life.use();
    return new Promise((resolve, reject) => {
      this.#asks.add(reject);
      let isRetry = false;
      const asking: Input = {
        owner: 0,
        isReading: input.kind === "inspect",
        begin: () => ({ input, budget: KERNEL_TURN_BUDGET, consoleBytes: 0 }),
        done: (result) => {
          this.#turns.passed();
          // For the sake of an execution, which has ended now; what is asked is none of it.
          const isStopped = result.kind === "undone" && result.reason === "stopped";
          // Where the engine failed, or its thread died, it may have been none's fault.
          const hasFailedOnce = result.kind === "undone" && result.reason === "trap" && !isRetry;
          if ((isStopped || hasFailedOnce) && this.#life.ended === undefined) {
            isRetry ||= hasFailedOnce;
            return this.#loop.addAgain(asking);
          }
          this.#asks.delete(reject);
          // Nobody waits for the store to hear what was there.
          const tell = (answer: { count: number; text: string }): void => {
            if (input.kind === "inspect") resolve(answer);
            else this.#commits.pass(() => resolve(answer), reject);
          };
          if (result.kind === "undone") {
            // With the session all is undone that has begun.
            if (this.#life.ended !== undefined) return reject(this.#life.ended);
            const message = "the session has not the memory or the time left to answer this";
            return reject(
              new SessionError("QUOTA_EXCEEDED", message, { ids: { session_id: this.#session.sessionId } }),
            );
          }
          for (const effect of result.effects) {
            if (effect.kind === "answer") {
              if (input.kind === "release" && effect.count > 0) this.#heldReleases.note(input);
              tell(effect);
            } else if (effect.kind === "refused") reject(refusalOf(effect, this.#session.sessionId));
            else this.#turns.apply(effect);
          }
          // What defines answers nothing.
          tell({ count: 0, text: "" });
        },
      };
      this.#loop.add(asking);
    });
  }

  /** Does something while nothing of the session runs. Rejects when the session ends before it is done. */
  pause<T>(work: () => Promise<T>): Promise<T> {
    return this.#atRest(work, (pause) => this.#loop.pause(pause));
  }

  /** As `pause`, before all that waits. */
  pauseNext<T>(work: () => Promise<T>): Promise<T> {
    return this.#atRest(work, (pause) => this.#loop.pauseNext(pause));
  }

  #atRest<T>(work: () => Promise<T>, enter: (pause: Pause) => void): Promise<T> {
    if (this.#life.ended !== undefined) return Promise.reject(this.#life.ended);
    this.#life.use();
    return new Promise((resolve, reject) => {
      this.#asks.add(reject);
      const atRest = async (): Promise<void> => {
        try {
          // What makes it durable has stored it.
          const { isDurable } = this.#commits;
          const done = await work();
          if (isDurable) this.#commits.pass(() => resolve(done), reject);
          else resolve(done);
        } catch (error) {
          reject(error);
        } finally {
          this.#asks.delete(reject);
        }
      };
      enter({ atRest });
    });
  }

  /** The session was at rest since its record was taken: the kernel hears of it before anything else runs. */
  async endRest({ takenAt, clock: then = takenAt, loop }: SessionRecord): Promise<void> {
    const isTimed = loop.nextTimer.at !== Number.POSITIVE_INFINITY;
    // In a session that is out of memory timers fall due as they would have without a rest.
    if (isTimed) await this.runAtRest({ kind: "restored", rest: clock() - then });
  }

  /** A turn of the kernel's own within a pause. Should it fail nothing has happened. */
  async runAtRest(input: TurnInput): Promise<void> {
    const header = { isMoreToCome: true, dropped: [] };
    const { consoleBytes } = this.#session.limits;
    const result = await this.#loop.runAtRest({ input, header, budget: KERNEL_TURN_BUDGET, consoleBytes });
    if (this.#life.ended !== undefined) return;
    if (result.kind === "committed") this.#turns.committed(0, result);
    else this.#turns.undone(0, result, true);
  }
}
