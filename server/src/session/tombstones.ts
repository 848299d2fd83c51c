/** Ids of sessions that are gone are remembered, so that whoever comes late learns why. */
import { SessionError } from "./errors.js";

export type Ending = "SESSION_DELETED" | "SESSION_EXPIRED" | "SESSION_LOST";

const KEPT = 10_000;

const MESSAGES: Readonly<Record<Ending, string>> = {
  SESSION_DELETED: "the session was deleted; create a new one",
  SESSION_EXPIRED: "the session was not used for its idle_ttl and is gone; create a new one",
  SESSION_LOST: "the session was of a server that has ended; create a new one",
};

export class Tombstones {
  /** The oldest first. */
  readonly #endings = new Map<string, Ending>();

  add(sessionId: string, ending: Ending): void {
    this.#endings.delete(sessionId);
    this.#endings.set(sessionId, ending);
    if (this.#endings.size <= KEPT) return;
    const [oldest] = this.#endings.keys();
    if (oldest !== undefined) this.#endings.delete(oldest);
  }

  has(sessionId: string): boolean {
    return this.#endings.has(sessionId);
  }

  /** There is a session of this id again. */
  delete(sessionId: string): void {
    this.#endings.delete(sessionId);
  }

  /** @throws SessionError when a session of this id is known to be gone */
  check(sessionId: string): void {
    const ending = this.#endings.get(sessionId);
    if (ending !== undefined) throw hasEnded(sessionId, ending);
  }
}

/** What those are told who ask for a session that is gone. */
export function hasEnded(sessionId: string, ending: Ending): SessionError {
  return new SessionError(ending, MESSAGES[ending], { ids: { session_id: sessionId } });
}
