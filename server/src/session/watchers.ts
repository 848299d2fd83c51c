/** Who is told what happens in a session, whoever asked for it. */
import type { ConsoleEntry, Outcome } from "./outcome.js";
import type { SessionInfo } from "./session-info.js";

export interface Watcher {
  /** Guest code wrote to its console. `executionId` is empty where no open execution owns the entry. */
  console(executionId: string, entry: ConsoleEntry): void;
  /** An execution ended. @param encoding of its values, as in the contract */
  finished(outcome: Outcome, encoding: number): void;
  /** Its state, labels, limits or idle_ttl are others now. */
  changed(session: SessionInfo): void;
  /** The session is gone; nothing follows. */
  ended(error: Error): void;
}

export class Watchers implements Watcher {
  readonly #watchers = new Set<Watcher>();

  get isEmpty(): boolean {
    return this.#watchers.size === 0;
  }

  /** @returns ends it */
  add(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  console(executionId: string, entry: ConsoleEntry): void {
    for (const watcher of this.#watchers) watcher.console(executionId, entry);
  }

  finished(outcome: Outcome, encoding: number): void {
    for (const watcher of this.#watchers) watcher.finished(outcome, encoding);
  }

  changed(session: SessionInfo): void {
    for (const watcher of this.#watchers) watcher.changed(session);
  }

  ended(error: Error): void {
    for (const watcher of this.#watchers) watcher.ended(error);
    this.#watchers.clear();
  }
}
