/** What was compiled lately, by source: for all sessions of the worker, and so counted to none. When there is more than fits it begins anew. */
const MOST_SOURCES = 1000;
const LONGEST_SOURCE = 65_536;
/** By estimate. Code that suspends becomes several times as long. */
const MOST_BYTES = 16 << 20;

export class SourceCache<Compiled> {
  readonly #kept = new Map<string, Compiled>();
  #bytes = 0;

  get(source: string, compile: () => Compiled): Compiled {
    const kept = this.#kept.get(source);
    if (kept !== undefined || this.#kept.has(source)) return kept as Compiled;
    const compiled = compile();
    if (source.length >= LONGEST_SOURCE) return compiled;
    // Twice: names in what was made of it are parts of the text that was compiled, which is then kept as well.
    const bytes = 2 * bytesOf(source) + bytesOf(compiled);
    this.#bytes += bytes;
    if (this.#kept.size >= MOST_SOURCES || this.#bytes > MOST_BYTES) {
      this.#kept.clear();
      this.#bytes = bytes;
    }
    this.#kept.set(source, compiled);
    return compiled;
  }
}

/** Bytes of a text, or of an object with all in it, about. */
function bytesOf(value: unknown): number {
  if (typeof value === "string") return 2 * value.length;
  if (typeof value !== "object" || value === null) return 0;
  let bytes = 0;
  for (const part of Object.values(value)) bytes += 32 + bytesOf(part);
  return bytes;
}
