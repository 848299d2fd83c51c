/** Leads positions in compiled templates back to the templates, and shows the line that is meant. */
import { indexOf, jsonParse, SafeMap, slice } from "../../intrinsics.js";

/** What a template is put in by: see compile/template-generator.ts. */
export type SiteEntry = readonly [file: number, parent: number, line: number, column: number];

/** What is kept of a compiled template for the sake of its places. */
export interface Kept {
  /** JSON text; see compile/template-writer.ts. */
  readonly map: string;
  readonly sites: readonly SiteEntry[];
  readonly files: readonly string[];
  readonly sources: readonly string[];
}

/** File names of compiled templates begin with it. Mirrored in engine/worker/template-evaluator.ts. */
const MARK = "livescope:template#";
/** Characters of a line that are shown. */
const WIDEST = 120;

let kept: Map<number, Kept> | undefined;

export function keep(number: number, template: Kept): void {
  kept ??= new SafeMap();
  kept.set(number, template);
}

export function forget(number: number): Kept | undefined {
  const template = kept?.get(number);
  kept?.delete(number);
  return template;
}

/** A stack whose lines in compiled templates are lines of templates; under the innermost stands what is written there. */
export function withTemplatePlaces(stack: string): string {
  if (indexOf(stack, MARK) < 0) return stack;
  let result = "";
  let isShown = false;
  for (let from = 0; from < stack.length; ) {
    const end = indexOf(stack, "\n", from);
    const next = end < 0 ? stack.length : end + 1;
    const at = indexOf(slice(stack, from, next), MARK);
    if (at < 0) {
      result += slice(stack, from, next);
      from = next;
      continue;
    }
    const line = slice(stack, from, end < 0 ? stack.length : end);
    from = next;
    result += templateLines(line, at, !isShown);
    isShown = true;
  }
  return result;
}

/** @param at where the file name begins in the line */
function templateLines(line: string, at: number, isShown: boolean): string {
  const number = readNumber(line, at + MARK.length);
  const row = readNumber(line, ended + 1);
  const column = readNumber(line, ended + 1);
  const template = kept?.get(number);
  const head = slice(line, 0, at);
  const tail = slice(line, ended);
  if (template === undefined) return `${head}template${tail}\n`;
  const group = groupAt(jsonParse(template.map) as number[], row, column);
  if (group === undefined) return `${head + (template.files[0] as string) + tail}\n`;
  let lines = "";
  let { site, line: templateLine, column: templateColumn } = group;
  while (site >= 0) {
    const entry = template.sites[site] as SiteEntry;
    const place = `${template.files[entry[0]] as string}:${templateLine}:${templateColumn}`;
    lines += `${lines === "" ? head + place + tail : `    at <anonymous> (${place})`}\n`;
    if (isShown && group.site === site)
      lines += shown(template.sources[entry[0]] as string, templateLine, templateColumn);
    site = entry[1];
    templateLine = entry[2];
    templateColumn = entry[3];
  }
  return lines;
}

interface Group {
  readonly site: number;
  readonly line: number;
  readonly column: number;
}

/** What is written behind a piece of the author's code belongs to it. */
function groupAt(map: readonly number[], line: number, column: number): Group | undefined {
  let low = 0;
  let high = map.length / 5;
  while (low < high) {
    const middle = (low + high) >> 1;
    const at = middle * 5;
    const isBefore = (map[at] as number) < line || (map[at] === line && (map[at + 1] as number) <= column);
    if (isBefore) low = middle + 1;
    else high = middle;
  }
  // What stands before the code on its line calls it, or is about it.
  let at = (low - 1) * 5;
  if (low * 5 < map.length && map[low * 5] === line && (low === 0 || map[at] !== line)) at = low * 5;
  if (at < 0) return undefined;
  const offset = map[at] === line ? column - (map[at + 1] as number) : 0;
  return {
    site: map[at + 2] as number,
    line: map[at + 3] as number,
    column: (map[at + 4] as number) + (offset > 0 ? offset : 0),
  };
}

let ended = 0;

function readNumber(text: string, from: number): number {
  let number = 0;
  ended = from;
  // Guest code writes what it likes into a stack; a longer number is none of ours.
  while (ended < text.length && ended - from < 9) {
    const digit = indexOf("0123456789", text[ended] as string);
    if (digit < 0) break;
    number = number * 10 + digit;
    ended++;
  }
  return number;
}

/** The place of a warning, as a stack. */
export function placesText({ sites, files }: Kept, site: number, line: number, column: number): string {
  let text = "";
  let at = site;
  let row = line;
  let place = column;
  while (at >= 0) {
    const entry = sites[at] as SiteEntry;
    text += `    at ${files[entry[0]] as string}:${row}:${place}\n`;
    at = entry[1];
    row = entry[2];
    place = entry[3];
  }
  return text;
}

/** The stack of a template that does not compile. */
export function stackOf(
  places: readonly (readonly [file: string, line: number, column: number])[],
  textOf: (file: string) => string | undefined,
): string {
  let text = "";
  for (let i = 0; i < places.length; i++) {
    const place = places[i] as (typeof places)[number];
    const file = place[0];
    const line = place[1];
    const column = place[2];
    text += `    at ${file}:${line}:${column}\n`;
    const source = i === 0 ? textOf(file) : undefined;
    if (source !== undefined) text += shown(source, line, column);
  }
  return text;
}

/** The line, and a mark under the column. */
function shown(source: string, line: number, column: number): string {
  let from = 0;
  for (let at = 1; at < line; at++) {
    const end = indexOf(source, "\n", from);
    if (end < 0) return "";
    from = end + 1;
  }
  const end = indexOf(source, "\n", from);
  const before = column > WIDEST / 2 ? column - WIDEST / 2 : 1;
  const start = from + before - 1;
  const stop = end < 0 ? source.length : end;
  const text = slice(source, start, stop < start + WIDEST ? stop : start + WIDEST);
  const number = `      ${line} | `;
  let mark = "";
  for (let i = 0; i < number.length - 2; i++) mark += " ";
  mark += "| ";
  for (let i = 0; i < column - before; i++) mark += text[i] === "\t" ? "\t" : " ";
  return `${number + text}\n${mark}^\n`;
}
