/**
 * What crosses between host and kernel: numbers in cells of the memory, and one text of all the texts that the numbers
 * measure, in UTF-16 units, one after the other. So neither side parses what it only passes on. Numbers that are too many
 * for the cells stand in front of the text, as one line of JSON. Mirrored by engine/kernel-protocol.ts.
 *
 * Payloads hold neither NUL nor lone surrogates, which would not survive the crossing: they are JSON text, ids or names.
 */
import { CELLS_FOR_NUMBERS, cells, EFFECTS, INPUT, INPUT_LENGTH, setEffectCount } from "./host.js";
import { indexOf, jsonParse, slice } from "./intrinsics.js";

/** First number of an input's header. */
export const InputKind = {
  EXECUTE: 1,
  CALL: 2,
  INSPECT: 3,
  RELEASE: 4,
  DEFINE_GLOBALS: 5,
  TIMER: 6,
  DROP_TIMER: 7,
  CREDIT: 8,
  LOOK: 9,
  EXPOSE: 10,
  HOST_RESULT: 11,
  ADD_MODULES: 12,
  RESTORED: 13,
  RENDER: 20,
} as const;

/**
 * How a value is written. Bytes do not travel in the text: it has their number among those that came, or leave, with it. Outside, a long
 * string is JSON text, which the host reads and writes in a fraction of the time: it comes as it is, and when it leaves the text has its
 * number.
 */
export const Arm = { UNDEFINED: 0, JSON: 1, HANDLE: 2, GRAPH: 3, BYTES: 4, HOST_FUNCTION: 5, STRING: 6 } as const;

/** How a caller wants its result. */
export const Encoding = { UNSPECIFIED: 0, FULL: 1, JSON: 2, HANDLE: 3, NONE: 4 } as const;

/** First number of an effect's header entry. */
export const EffectKind = {
  VALUE: 1,
  EXCEPTION: 2,
  REFUSED: 3,
  ANSWER: 4,
  EMITTED: 5,
  HOST_CALL: 6,
  HOST_FUNCTION_RELEASED: 7,
  WARNING: 8,
  TEMPLATE_WARNING: 20,
} as const;

/** Why an input was refused before any guest code ran. */
export const Refusal = {
  HANDLE_NOT_FOUND: 1,
  INVALID_JSON: 2,
  NOT_AN_OBJECT: 3,
  INVALID_GRAPH: 4,
  MODULE_EXISTS: 5,
  NAME_FIXED: 6,
  TEMPLATE_NOT_FOUND: 20,
} as const;

// The input that is being read. Turns never overlap, so there is one; and a turn makes no object for it.
let text = "";
let at = 0;
let next = 0;
let header: readonly number[] | undefined;

/** From now on the numbers and texts of this input are read, front to back. */
export function beginInput(input: string): void {
  text = input;
  at = 0;
  next = 0;
  header = undefined;
  if ((cells[INPUT_LENGTH] as number) >= 0) return;
  const end = indexOf(input, "\n");
  header = jsonParse(slice(input, 0, end)) as number[];
  at = end + 1;
}

export function readNumber(): number {
  const index = next++;
  return (header === undefined ? cells[INPUT + index] : header[index]) as number;
}

/** The next text; its length is the next number, negative where there is none. */
export function readOptionalText(): string | undefined {
  const length = readNumber();
  if (length < 0) return undefined;
  const start = at;
  at += length;
  return slice(text, start, at);
}

let effects = 0;
let overflow = "";
let payload = "";

/** Adds one effect to what leaves at the end of the turn. */
export function emitEffect(kind: number, subject: number, detail: number, text: string): void {
  const place = EFFECTS + effects * 4;
  if (effects * 4 < CELLS_FOR_NUMBERS) {
    cells[place] = kind;
    cells[place + 1] = subject;
    cells[place + 2] = detail;
    cells[place + 3] = text.length;
  } else {
    overflow += `${overflow === "" ? "" : ","}[${kind},${subject},${detail},${text.length}]`;
  }
  effects++;
  payload = payload === "" ? text : payload + text;
}

/** Takes the text of all effects of the turn; their numbers stand in the cells, those beyond in front of it. */
export function takeEffects(): string {
  const all = overflow === "" ? payload : `[${overflow}]\n${payload}`;
  setEffectCount(overflow === "" ? effects : -1);
  effects = 0;
  overflow = "";
  payload = "";
  text = "";
  return all;
}
