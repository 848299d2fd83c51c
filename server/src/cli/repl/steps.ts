/** What `.undo` goes back to: a snapshot from before each input. */
import type { Livescope, Session, Snapshot } from "@livescope/sdk";

/** The most inputs that can be undone. */
const MOST_STEPS = 100;
/** How long a snapshot stays whose REPL was killed, in milliseconds. */
const SNAPSHOT_TTL = 24 * 60 * 60 * 1_000;

interface Step {
  readonly input: string;
  readonly snapshot: Snapshot;
}

/** Owns its snapshots: whoever has made it clears it. */
export class Steps {
  readonly #client: Livescope;
  readonly #session: Session;
  readonly #steps: Step[] = [];

  constructor(client: Livescope, session: Session) {
    this.#client = client;
    this.#session = session;
  }

  /**
   * Remembers the session as it is, before an input.
   *
   * @throws LivescopeError where no snapshot can be taken
   */
  async remember(input: string, signal: AbortSignal): Promise<void> {
    const snapshot = await this.#session.snapshot({ ttl: SNAPSHOT_TTL, labels: { for: "undo" }, signal });
    this.#steps.push({ input, snapshot });
    if (this.#steps.length > MOST_STEPS) this.#forget(this.#steps.splice(0, 1));
  }

  /** Forgets the last input: it changed nothing. */
  dropLast(): void {
    this.#forget(this.#steps.splice(-1));
  }

  /**
   * Puts the session back to what it was before the last inputs.
   *
   * @returns what was undone, the newest first
   * @throws StatusError
   */
  async undo(count: number): Promise<string[]> {
    const [step] = this.#steps.slice(-count);
    if (step === undefined) return [];
    await this.#session.rollback(step.snapshot);
    const undone = this.#steps.splice(-count);
    this.#forget(undone);
    return undone.map(({ input }) => input).reverse();
  }

  /** Deletes all snapshots. Those that cannot be deleted end by themselves. */
  async clear(): Promise<void> {
    await Promise.allSettled(this.#steps.splice(0).map(({ snapshot }) => this.#client.deleteSnapshot(snapshot)));
  }

  #forget(steps: readonly Step[]): void {
    for (const { snapshot } of steps) this.#client.deleteSnapshot(snapshot).catch(() => undefined);
  }
}
