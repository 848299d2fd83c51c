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

export class CodeWriter {
  readonly #parts: string[] = [];
  readonly #map: number[] = [];
  #line = 1;
  #length = 0;

  /** UTF-16 units written. */
  get length(): number {
    return this.#length;
  }

  /** Groups of five: line and column here, site, line and column there. Columns count UTF-16 units. */
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
    const { column } = place;
    let { line } = place;
    this.#map.push(this.#line, before.length + 1, site, line, column);
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) {
      this.#line++;
      line++;
      this.#map.push(this.#line, 1, site, line, 1);
    }
    this.add(`${before}${text}\n${after}`);
    this.#line++;
  }

  toString(): string {
    return this.#parts.join("");
  }
}
