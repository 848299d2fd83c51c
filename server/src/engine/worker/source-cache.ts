/** What was compiled lately, by source; when there is more than fits it begins anew. */
const MOST_SOURCES = 1000;
const LONGEST_SOURCE = 65_536;

export class SourceCache<Compiled> {
  readonly #kept = new Map<string, Compiled>();

  get(source: string, compile: () => Compiled): Compiled {
    const kept = this.#kept.get(source);
    if (kept !== undefined) return kept;
    const compiled = compile();
    if (this.#kept.size >= MOST_SOURCES) this.#kept.clear();
    if (source.length < LONGEST_SOURCE) this.#kept.set(source, compiled);
    return compiled;
  }
}
