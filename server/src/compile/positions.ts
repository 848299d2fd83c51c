/**
 * Where the text of a compiled source stood in the caller's text.
 *
 * The engine counts columns in code points of what it was given; callers count UTF-16 units of what they sent. A source
 * needs a map only where these differ: behind text that a rewrite put in or took out, and behind characters beyond the
 * basic plane.
 */
import type MagicString from "magic-string";

/**
 * Groups of four numbers, ascending: line and column in the engine's count, then line and column in the caller's, all from
 * 1. A group holds for the rest of its line; on later lines without a group of their own its line offset alone holds.
 * guest/positions.ts reads it.
 */
export type Positions = readonly number[];

/** Counted from 1; columns in UTF-16 units. */
interface Place {
  readonly line: number;
  readonly column: number;
}

/** A piece of a generated line and where it came from; counted from 0, columns in UTF-16 units. */
type Segment = readonly [column: number, sourceLine: number, sourceColumn: number];

/** A source with more groups than this has no map: its columns are then the engine's. */
const MOST_GROUPS = 10_000;

const ASTRAL = /[\ud800-\udbff][\udc00-\udfff]/;
const ASTRAL_RUNS = /(?:[\ud800-\udbff][\udc00-\udfff])+/g;
const NO_TOKEN = /^[\s;]*$/;

/** @returns undefined where every position is the caller's own */
export function positionsOf(text: string, rewritten?: MagicString): Positions | undefined {
  if (rewritten === undefined && !ASTRAL.test(text)) return undefined;
  const lines = text.split("\n");
  const segments = rewritten === undefined ? lines.map((_, i): Segment[] => [[0, i, 0]]) : segmentsOf(rewritten);
  const groups = new Groups();
  for (const [i, line] of lines.entries()) {
    const pieces = withAstral(line, segments[i] ?? []);
    let counted = 0;
    let points = 0;
    for (const [j, [column, sourceLine, sourceColumn]] of pieces.entries()) {
      // From piece to piece: counted from its begin for each of them, a long line takes seconds.
      points += codePoints(line.slice(counted, column));
      counted = column;
      if (NO_TOKEN.test(line.slice(column, pieces[j + 1]?.[0]))) continue;
      groups.add(i + 1, points + 1, sourceLine + 1, sourceColumn + 1);
    }
  }
  return groups.result();
}

function segmentsOf(rewritten: MagicString): Segment[][] {
  const { mappings } = rewritten.generateDecodedMap({ hires: false });
  return mappings.map((line) =>
    line.flatMap(([column, , sourceLine, sourceColumn]): Segment[] =>
      sourceLine === undefined || sourceColumn === undefined ? [] : [[column, sourceLine, sourceColumn]],
    ),
  );
}

/** Adds a segment behind each run of characters that the engine counts as one and the caller as two. */
function withAstral(line: string, segments: readonly Segment[]): readonly Segment[] {
  if (!ASTRAL.test(line)) return segments;
  const added: Segment[] = [];
  let last = 0;
  for (const run of line.matchAll(ASTRAL_RUNS)) {
    const end = run.index + run[0].length;
    while ((segments[last + 1]?.[0] ?? Number.POSITIVE_INFINITY) <= end) last++;
    const within = segments[last];
    if (within !== undefined && within[0] < end) added.push([end, within[1], within[2] + end - within[0]]);
  }
  return [...segments, ...added].sort(([a], [b]) => a - b);
}

function codePoints(text: string): number {
  let count = text.length;
  for (const [run] of text.matchAll(ASTRAL_RUNS)) count -= run.length / 2;
  return count;
}

/** Collects what does not follow from the groups before it. */
class Groups {
  readonly #numbers: number[] = [];
  #line = 1;
  #column = 1;
  #sourceLine = 1;
  #sourceColumn = 1;

  add(line: number, column: number, sourceLine: number, sourceColumn: number): void {
    const expectedLine = this.#sourceLine + line - this.#line;
    const expectedColumn = line === this.#line ? this.#sourceColumn + column - this.#column : column;
    if (expectedLine === sourceLine && expectedColumn === sourceColumn) return;
    this.#numbers.push(line, column, sourceLine, sourceColumn);
    this.#line = line;
    this.#column = column;
    this.#sourceLine = sourceLine;
    this.#sourceColumn = sourceColumn;
  }

  result(): Positions | undefined {
    const { length } = this.#numbers;
    return length === 0 || length > 4 * MOST_GROUPS ? undefined : this.#numbers;
  }
}

/** Line and column of an offset, as the caller counts them. */
export function placeOf(text: string, offset: number): Place {
  return placesOf(text)(offset);
}

/** The same for many offsets of a text, each behind the one before. */
export function placesOf(text: string): (offset: number) => Place {
  let line = 1;
  let start = 0;
  let end = text.indexOf("\n");
  return (offset) => {
    while (end !== -1 && end < offset) {
      line++;
      start = end + 1;
      end = text.indexOf("\n", start);
    }
    return { line, column: offset - start + 1 };
  };
}
