/** How the parts of a value become lines: on one line while they fit, long lists in columns, else one part a line. */

import { indexOf, list } from "./captured.js";
import type { Context } from "./context.js";
import { spaces } from "./text.js";

/** Levels of nesting that may share a line, and what columns are bounded by. */
const COMPACT = 3;
const SHORTEST_IN_COLUMNS = 6;
const SEPARATOR = 2;

/**
 * @param base what stands before the opening brace; may be empty
 * @param items of an array, when the parts are its items
 * @param level of the value within what is rendered
 */
export function joined(
  context: Context,
  parts: string[],
  base: string,
  open: string,
  close: string,
  items: readonly unknown[] | undefined,
  level: number,
): string {
  const before = base === "" ? open : `${base} ${open}`;
  const count = parts.length;
  let rows = parts;
  if (!context.singleLine) {
    if (items !== undefined && count > SHORTEST_IN_COLUMNS) rows = inColumns(context, parts, items);
  }
  if (rows.length === count && (context.singleLine || context.lastLevel - level < COMPACT)) {
    const line = onOneLine(context, rows, base, count + context.indentation + open.length + base.length + 10);
    if (line !== undefined) return `${before}${line === "" ? "" : ` ${line}`} ${close}`;
  }
  const newline = `\n${spaces(context.indentation)}`;
  let text = before;
  for (let i = 0; i < rows.length; i++) text += `${i === 0 ? "" : ","}${newline}  ${rows[i] as string}`;
  return `${text}${newline}${close}`;
}

/** The parts with commas between; undefined where they are too long for a line, or take several themselves. */
function onOneLine(context: Context, parts: string[], base: string, start: number): string | undefined {
  if (!context.singleLine) {
    let length = parts.length + start;
    if (length + parts.length > context.width) return undefined;
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i] as string;
      length += part.length;
      if (length > context.width || indexOf(part, "\n") >= 0) return undefined;
    }
    if (indexOf(base, "\n") >= 0) return undefined;
  }
  let line = "";
  for (let i = 0; i < parts.length; i++) line += i === 0 ? (parts[i] as string) : `, ${parts[i] as string}`;
  return line;
}

/** Short items go into columns as wide as their longest, in about as many rows as makes a block of pleasant shape. */
function inColumns(context: Context, parts: string[], items: readonly unknown[]): string[] {
  const hasRest = parts.length > context.maximumItems;
  const count = hasRest ? parts.length - 1 : parts.length;
  let total = 0;
  let longest = 0;
  for (let i = 0; i < count; i++) {
    const { length } = parts[i] as string;
    total += length + SEPARATOR;
    if (length > longest) longest = length;
  }
  const widest = longest + SEPARATOR;
  if (widest * 3 + context.indentation >= context.width) return parts;
  if (total / widest <= 5 && longest > 6) return parts;
  const columns = numberOfColumns(context, parts.length, count, total, widest);
  if (columns <= 1) return parts;
  const widths = list<number>();
  for (let column = 0; column < columns; column++) {
    let width = 0;
    for (let i = column; i < count; i += columns) {
      const { length } = parts[i] as string;
      if (length > width) width = length;
    }
    widths[column] = width + SEPARATOR;
  }
  const toTheRight = areNumbers(items, count);
  const rows = list<string>();
  for (let from = 0; from < count; from += columns) {
    const end = from + columns < count ? from + columns : count;
    let row = "";
    for (let i = from; i < end; i++) {
      const isLast = i === end - 1;
      const cell = isLast ? (parts[i] as string) : `${parts[i] as string}, `;
      const width = (widths[i - from] as number) - (isLast ? SEPARATOR : 0);
      const padding = spaces(width - cell.length);
      row += toTheRight ? padding + cell : isLast ? cell : cell + padding;
    }
    rows[rows.length] = row;
  }
  if (hasRest) rows[rows.length] = parts[count] as string;
  return rows;
}

function numberOfColumns(context: Context, all: number, count: number, total: number, widest: number): number {
  const bias = (widest - total / all) ** 0.5;
  const biased = widest - 3 - bias > 1 ? widest - 3 - bias : 1;
  // A character is about two and a half times as high as it is wide.
  let columns = ((2.5 * biased * count) ** 0.5 / biased + 0.5) | 0;
  const fitting = ((context.width - context.indentation) / widest) | 0;
  if (columns > fitting) columns = fitting;
  if (columns > COMPACT * 4) columns = COMPACT * 4;
  return columns > 15 ? 15 : columns;
}

function areNumbers(items: readonly unknown[], count: number): boolean {
  for (let i = 0; i < count; i++) {
    if (i >= items.length) return false;
    const type = typeof items[i];
    if (type !== "number" && type !== "bigint") return false;
  }
  return true;
}
