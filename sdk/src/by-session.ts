/** Things of sessions, by the ids of these: there may be thousands of sessions, and what is looked for is of one. */
export class BySession<T> {
  readonly #things = new Map<string, Set<T>>();

  /** The sessions that have one. */
  get sessionIds(): readonly string[] {
    return [...this.#things.keys()];
  }

  hasAnyOf(sessionId: string): boolean {
    return this.#things.has(sessionId);
  }

  /** Those of one session, in the order they came. A copy: others may come and go meanwhile. */
  of(sessionId: string): readonly T[] {
    return [...(this.#things.get(sessionId) ?? [])];
  }

  add(sessionId: string, thing: T): void {
    const things = this.#things.get(sessionId);
    if (things === undefined) this.#things.set(sessionId, new Set([thing]));
    else things.add(thing);
  }

  delete(sessionId: string, thing: T): void {
    const things = this.#things.get(sessionId);
    things?.delete(thing);
    if (things?.size === 0) this.#things.delete(sessionId);
  }

  clear(): void {
    this.#things.clear();
  }
}
