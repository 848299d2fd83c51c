/** The session that a REPL works in, which may become another one, and all that it made on the way. */
import type { ConsoleEntry, Livescope, Session, Snapshot } from "@livescope/sdk";
import { ExecutionError, GuestError, LivescopeError } from "@livescope/sdk";
import type { SourceFile } from "../source-file.js";
import { type Evaluated, Evaluator } from "./evaluator.js";
import { Steps } from "./steps.js";

export interface WorkspaceOptions {
  /** Of each execution, in milliseconds; left out: the session's limit. */
  readonly timeout: number | undefined;
  /** Take a snapshot before each input. */
  readonly undo: boolean;
  /** Leave the sessions that were made, at the end. */
  readonly keep: boolean;
}

/** Disposed, it deletes the sessions that it made, and the snapshots of its steps. */
export class Workspace implements AsyncDisposable {
  readonly #client: Livescope;
  readonly #options: WorkspaceOptions;
  /** All sessions that it worked in. */
  readonly #sessions: { readonly session: Session; readonly isMade: boolean }[] = [];
  #session: Session;
  #evaluator: Evaluator;
  #steps: Steps;
  #remembers: boolean;

  /** @param isMade the session was made for it, and is its to delete */
  constructor(client: Livescope, session: Session, isMade: boolean, options: WorkspaceOptions) {
    this.#client = client;
    this.#options = options;
    this.#remembers = options.undo;
    this.#sessions.push({ session, isMade });
    this.#session = session;
    this.#evaluator = new Evaluator(session, options.timeout);
    this.#steps = new Steps(client, session);
  }

  get session(): Session {
    return this.#session;
  }

  /**
   * Takes the snapshot that `.undo` would go back to.
   *
   * @throws LivescopeError if there can be none; nothing is remembered from then on
   */
  async remember(input: string, signal: AbortSignal): Promise<void> {
    if (!this.#remembers) return;
    try {
      await this.#steps.remember(input, signal);
    } catch (error) {
      if (error instanceof LivescopeError) {
        this.#remembers = false;
        // What comes now is in no step: going back to an older one would undo more than it says.
        await this.#steps.clear();
      }
      throw error;
    }
  }

  /** @throws as `session.execute` */
  async evaluate(
    source: SourceFile,
    options: { readonly signal: AbortSignal; readonly onConsole: (entry: ConsoleEntry) => void },
  ): Promise<Evaluated> {
    try {
      return await this.#evaluator.evaluate(source, options);
    } catch (error) {
      if (this.#remembers && changedNothing(error)) this.#steps.dropLast();
      throw error;
    }
  }

  /** @returns what was undone, the newest first */
  async undo(count: number): Promise<string[]> {
    await this.#evaluator.forget();
    return await this.#steps.undo(count);
  }

  /** Goes on in a copy. */
  async fork(): Promise<void> {
    await this.#goTo(await this.#session.fork(), true);
  }

  /**
   * Goes on in a session that is there.
   *
   * @throws NotFoundError
   */
  async attach(sessionId: string): Promise<void> {
    const { durability } = await this.#client.attach(sessionId).info();
    await this.#goTo(this.#client.attach(sessionId, { durability }), false);
  }

  /** Takes a snapshot that stays. */
  snapshot(labels: Readonly<Record<string, string>>): Promise<Snapshot> {
    return this.#session.snapshot({ labels });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave();
    const left = this.#sessions.filter(({ isMade }) => !(isMade && this.#options.keep));
    await Promise.allSettled(left.map(({ session }) => session[Symbol.asyncDispose]()));
  }

  async #goTo(session: Session, isMade: boolean): Promise<void> {
    await this.#leave();
    this.#sessions.push({ session, isMade });
    this.#session = session;
    this.#evaluator = new Evaluator(session, this.#options.timeout);
    this.#steps = new Steps(this.#client, session);
    this.#remembers = this.#options.undo;
  }

  async #leave(): Promise<void> {
    await this.#evaluator.forget();
    await this.#steps.clear();
  }
}

function changedNothing(error: unknown): boolean {
  if (error instanceof GuestError) return error.phase === "PARSE";
  return error instanceof ExecutionError && error.undone && error.usage.turns <= 1;
}
