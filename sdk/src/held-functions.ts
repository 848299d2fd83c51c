import { BySession } from "./by-session.js";
import type { Provided } from "./host-functions.js";

/** The functions that sessions hold as values: by their ids, and by the session that each was passed to. */
export class HeldFunctions {
  readonly #byId = new Map<string, Provided>();
  readonly #ids = new BySession<string>();

  get size(): number {
    return this.#byId.size;
  }

  /** The sessions that hold one. */
  get sessionIds(): readonly string[] {
    return this.#ids.sessionIds;
  }

  get(id: string): Provided | undefined {
    return this.#byId.get(id);
  }

  isAnyOf(sessionId: string): boolean {
    return this.#ids.hasAnyOf(sessionId);
  }

  /** Those of one session, by their ids. */
  of(sessionId: string): [id: string, provided: Provided][] {
    return this.#ids.of(sessionId).map((id) => [id, this.#byId.get(id) as Provided]);
  }

  add(id: string, provided: Provided): void {
    this.#ids.add(provided.scope.sessionId, id);
    this.#byId.set(id, provided);
  }

  delete(id: string): void {
    const sessionId = this.#byId.get(id)?.scope.sessionId;
    if (sessionId === undefined) return;
    this.#byId.delete(id);
    this.#ids.delete(sessionId, id);
  }

  clear(): void {
    this.#byId.clear();
    this.#ids.clear();
  }
}
