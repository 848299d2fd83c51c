import type { Provided } from "./host-functions.js";

/** The functions that sessions hold as values: by their ids, and by the session that each was passed to. */
export class HeldFunctions {
  readonly #byId = new Map<string, Provided>();
  readonly #idsOf = new Map<string, Set<string>>();

  get size(): number {
    return this.#byId.size;
  }

  /** The sessions that hold one. */
  get sessionIds(): readonly string[] {
    return [...this.#idsOf.keys()];
  }

  get(id: string): Provided | undefined {
    return this.#byId.get(id);
  }

  isAnyOf(sessionId: string): boolean {
    return this.#idsOf.has(sessionId);
  }

  /** Those of one session, by their ids. */
  of(sessionId: string): [id: string, provided: Provided][] {
    const ids = [...(this.#idsOf.get(sessionId) ?? [])];
    return ids.map((id) => [id, this.#byId.get(id) as Provided]);
  }

  add(id: string, provided: Provided): void {
    const { sessionId } = provided.scope;
    const ids = this.#idsOf.get(sessionId) ?? new Set();
    this.#idsOf.set(sessionId, ids.add(id));
    this.#byId.set(id, provided);
  }

  delete(id: string): void {
    const sessionId = this.#byId.get(id)?.scope.sessionId;
    if (sessionId === undefined) return;
    this.#byId.delete(id);
    const ids = this.#idsOf.get(sessionId);
    ids?.delete(id);
    if (ids?.size === 0) this.#idsOf.delete(sessionId);
  }

  clear(): void {
    this.#byId.clear();
    this.#idsOf.clear();
  }
}
