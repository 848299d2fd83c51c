/** Compiled templates are followed through their awaits like all other code; their maps then lead back through that too. */
import { parse } from "acorn";
import MagicString from "magic-string";
import { maySuspend, rewriteForLocals } from "./locals-transform.js";
import { LANGUAGE } from "./source-error.js";

interface Generated {
  readonly source: string;
  /** See `CodeWriter.map`. */
  readonly map: readonly number[];
}

/** Site, and line and column in the template, of a place in the generated code: line, column, and these. */
type Group = readonly [line: number, column: number, site: number, line: number, column: number];

const ASTRAL_RUNS = /(?:[\ud800-\udbff][\udc00-\udfff])+/g;

export function followTemplate({ source, map }: Generated): Generated {
  if (!maySuspend(source)) return { source, map };
  const edited = new MagicString(source);
  rewriteForLocals(parse(source, { ecmaVersion: LANGUAGE, sourceType: "script" }), edited, "sync");
  return { source: edited.toString(), map: mapThrough(map, source, edited) };
}

function mapThrough(map: readonly number[], source: string, edited: MagicString): number[] {
  const groups = Array.from({ length: map.length / 5 }, (_, i) => map.slice(i * 5, i * 5 + 5) as unknown as Group);
  const before = source.split("\n");
  const after = edited.toString().split("\n");
  const result: number[] = [];
  const { mappings } = edited.generateDecodedMap({ hires: false });
  for (const [row, segments] of mappings.entries()) {
    const text = after[row] ?? "";
    for (const [i, [column, , sourceRow, sourceColumn]] of segments.entries()) {
      if (sourceRow === undefined || sourceColumn === undefined) continue;
      const from = before[sourceRow] ?? "";
      const begin = countColumn(from, sourceColumn);
      const end = countColumn(from, sourceColumn + (segments[i + 1]?.[0] ?? text.length) - column);
      const shift = countColumn(text, column) - begin;
      const onLine = groups.filter(([line]) => line === sourceRow + 1);
      const covering = onLine.findLast((group) => group[1] <= begin);
      if (covering !== undefined) {
        const [, at, site, line, there] = covering;
        result.push(row + 1, begin + shift, site, line, there + begin - at);
      }
      for (const [, at, ...place] of onLine) {
        if (at > begin && at < end) result.push(row + 1, at + shift, ...place);
      }
    }
  }
  return result;
}

/** From 1, in code points, as the engine counts. */
function countColumn(text: string, end: number): number {
  let count = end;
  for (const run of text.slice(0, end).matchAll(ASTRAL_RUNS)) count -= run[0].length / 2;
  return count + 1;
}
