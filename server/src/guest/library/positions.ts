/**
 * Leads positions in compiled sources back to the caller's. A source whose positions are not the caller's own runs under its
 * file name and a mark with a number; the map of that number lies here, in the session's memory, because functions outlive
 * the execution that made them. What leaves the session is freed of marks.
 */

import { indexOf, jsonParse, SafeMap, slice } from "../intrinsics.js";
import { MARK } from "../positions.js";

/** UTF-16 units of maps that a session keeps; beyond, the oldest are forgotten, and their sources keep the engine's columns. */
const MOST_TEXT = 262_144;

/** Maps as JSON text, by the number of their mark; see compile/positions.ts. */
const maps = new SafeMap<number, string>();
const numbers = new SafeMap<string, number>();
let oldest = 1;
let next = 1;
let size = 0;

/** The mark for sources with this map; the same map has the same mark. @param map JSON text */
export function markFor(map: string): string {
  let number = numbers.get(map);
  if (number === undefined) {
    number = keep(map);
    numbers.set(map, number);
  }
  return MARK + number;
}

/** A mark that no other source has. @param map empty for none */
export function freshMark(map: string): string {
  return MARK + (map === "" ? next++ : keep(map));
}

function keep(map: string): number {
  const number = next++;
  maps.set(number, map);
  size += map.length;
  while (size > MOST_TEXT && oldest < number) forgetOldest();
  return number;
}

function forgetOldest(): void {
  const map = maps.get(oldest);
  if (map !== undefined) {
    maps.delete(oldest);
    numbers.delete(map);
    size -= map.length;
  }
  oldest++;
}

/** A text, such as a stack, with the caller's file names and positions. */
export function unmarked(text: string): string {
  let at = indexOf(text, MARK);
  let result = "";
  let from = 0;
  while (at >= 0) {
    result += slice(text, from, at);
    from = at + MARK.length;
    const number = readNumber(text, from);
    from = ended;
    result += place(text, maps.get(number));
    from = ended;
    at = indexOf(text, MARK, from);
  }
  return result + slice(text, from);
}

/** Where the number that was read last ended. */
let ended = 0;

/** The number at this place of a text; -1 where there is none. */
function readNumber(text: string, from: number): number {
  ended = from;
  let number = 0;
  // Guest code writes what it likes into a stack; a longer number is none of ours.
  while (ended - from < 9) {
    const digit = indexOf("0123456789", slice(text, ended, ended + 1));
    if (digit < 0 || ended >= text.length) break;
    number = number * 10 + digit;
    ended++;
  }
  return ended === from ? -1 : number;
}

/** The `:line:column` at the current place, mapped; what is no position stays. */
function place(text: string, map: string | undefined): string {
  const start = ended;
  if (map === undefined || slice(text, start, start + 1) !== ":") return "";
  const line = readNumber(text, start + 1);
  if (line < 0 || slice(text, ended, ended + 1) !== ":") {
    ended = start;
    return "";
  }
  const column = readNumber(text, ended + 1);
  if (column < 0) {
    ended = start;
    return "";
  }
  return mapped(jsonParse(map) as number[], line, column);
}

function mapped(groups: readonly number[], line: number, column: number): string {
  let low = 0;
  let high = groups.length / 4;
  // The last group that does not lie behind the position.
  while (low < high) {
    const middle = (low + high) >> 1;
    const isBefore =
      (groups[middle * 4] as number) < line ||
      (groups[middle * 4] === line && (groups[middle * 4 + 1] as number) <= column);
    if (isBefore) low = middle + 1;
    else high = middle;
  }
  if (low === 0) return `:${line}:${column}`;
  const at = (low - 1) * 4;
  const sourceLine = (groups[at + 2] as number) + line - (groups[at] as number);
  let sourceColumn = groups[at] === line ? (groups[at + 3] as number) + column - (groups[at + 1] as number) : column;
  // Inside what a rewrite put in, no position is beyond that of the text behind it, what it moved there left aside.
  let behind = low * 4;
  while (groups[behind] === line && (groups[behind + 3] as number) < (groups[at + 3] as number)) behind += 4;
  if (behind < groups.length && groups[behind] === line && groups[behind + 2] === sourceLine) {
    const bound = groups[behind + 3] as number;
    if (sourceColumn > bound) sourceColumn = bound;
  }
  return `:${sourceLine}:${sourceColumn}`;
}
