/** Guest code as it is generated, with a map that leads each of its lines back to a template. */
import type { Code } from "./template-nodes.js";

/** A place in a template, counted from 1; columns in UTF-16 units. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** Where a template stands in what is generated: 0 is the template that is rendered; see `CompiledTemplate.sites`. */
export type Site = number;

/** Finds places by offsets. */
export class Lines {
  readonly #starts: number[] = [0];

  constructor(text: string) {
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) this.#starts.push(at + 1);
  }

  place(offset: number): Place {
    let low = 0;
    let high = this.#starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#starts[middle] as number) <= offset) low = middle;
      else high = middle;
    }
    return { line: low + 1, column: offset - (this.#starts[low] as number) + 1 };
  }
}

const ASTRAL_RUNS = /(?:[\ud800-\udbff][\udc00-\udfff])+/g;

export class CodeWriter {
  readonly #parts: string[] = [];
  readonly #map: number[] = [];
  #line = 1;
  #length = 0;

  /** UTF-16 units written. */
  get length(): number {
    return this.#length;
  }

  /** Groups of five: line and column here, site, line and column there; columns here count code points, as the engine does. */
  get map(): readonly number[] {
    return this.#map;
  }

  /** @param text has no line break */
  add(text: string): void {
    this.#parts.push(text);
    this.#length += text.length;
  }

  /** Code of a template, on lines of its own: a comment at its end reaches no further. */
  code(before: string, { text }: Code, place: Place, site: Site, after: string): void {
    this.add("\n");
    this.#line++;
    let { line, column } = place;
    let before_ = before;
    for (let from = 0; ; ) {
      const end = text.indexOf("\n", from);
      const row = end < 0 ? text.slice(from) : text.slice(from, end);
      this.#mark(before_.length, row, line, column, site);
      if (end < 0) break;
      this.#line++;
      line++;
      column = 1;
      before_ = "";
      from = end + 1;
    }
    this.add(`${before}${text}\n${after}`);
    this.#line++;
  }

  /** A group for the begin of the row, and one behind each run of characters that the engine counts as one. */
  #mark(indent: number, row: string, line: number, column: number, site: Site): void {
    this.#map.push(this.#line, indent + 1, site, line, column);
    let pairs = 0;
    for (const run of row.matchAll(ASTRAL_RUNS)) {
      const end = run.index + run[0].length;
      pairs += run[0].length / 2;
      this.#map.push(this.#line, indent + end - pairs + 1, site, line, column + end);
    }
  }

  toString(): string {
    return this.#parts.join("");
  }
}
