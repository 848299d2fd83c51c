/** Puts the arguments of a console method into one text, `%` formats included, as Node's util.format does. */
import { ClassId } from "../../classes.js";
import { charCodeAt, classOf, dateValue, indexOf, parseFloatOf, parseIntOf, plainJson, slice } from "./captured.js";
import { Context } from "./context.js";
import { symbolText } from "./text.js";
import { bigintText, numberText, render } from "./value.js";

/** @param limit UTF-16 units after which no more is rendered; the text may be a little longer */
export function format(values: readonly unknown[], limit: number): string {
  if (values.length === 0) return "";
  const first = values[0];
  let next = 1;
  let text: string;
  if (typeof first !== "string") {
    text = shown(first, limit);
  } else if (values.length === 1) {
    return first;
  } else {
    text = "";
    let from = 0;
    for (let at = indexOf(first, "%"); at >= 0 && at + 1 < first.length; at = indexOf(first, "%", at)) {
      const letter = charCodeAt(first, at + 1);
      if (letter === PERCENT) {
        text += slice(first, from, at + 1);
      } else {
        const replacement = next < values.length ? replacementOf(letter, values[next], limit) : undefined;
        if (replacement === undefined) {
          at++;
          continue;
        }
        text += slice(first, from, at) + replacement;
        next++;
      }
      at += 2;
      from = at;
    }
    text += slice(first, from);
  }
  while (next < values.length && text.length <= limit) text += ` ${shown(values[next++], limit - text.length)}`;
  return text;
}

/** A string as it is, anything else rendered. */
export function shown(value: unknown, limit: number): string {
  return typeof value === "string" ? value : inspect(value, 2, limit);
}

export function inspect(value: unknown, depth: number, limit: number, showHidden = false): string {
  return render(new Context(depth, limit, showHidden, false), value, 0);
}

const PERCENT = 0x25;

/** What a format makes of a value; undefined if the letter is no format. */
function replacementOf(letter: number, value: unknown, limit: number): string | undefined {
  switch (letter) {
    case 0x73: // s
      return asString(value, limit);
    case 0x64: // d
      return asNumber(value);
    case 0x69: // i
      if (typeof value === "bigint") return bigintText(value);
      return typeof value === "symbol" || isObject(value) ? "NaN" : numberText(parseIntOf(`${value as string}`));
    case 0x66: // f
      return typeof value === "symbol" || isObject(value) ? "NaN" : numberText(parsed(value));
    case 0x6a: // j
      return asJson(value, limit);
    case 0x6f: // o
      return inspect(value, 4, limit, true);
    case 0x4f: // O
      return inspect(value, 2, limit);
    case 0x63: // c
      return "";
    default:
      return undefined;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "function" || (typeof value === "object" && value !== null);
}

/** An object is rendered, not asked for its own string: that would run its code. */
function asString(value: unknown, limit: number): string {
  if (typeof value === "string") return value;
  if (typeof value === "symbol") return symbolText(value);
  return inspect(value, 0, limit);
}

function asNumber(value: unknown): string {
  if (typeof value === "bigint") return bigintText(value);
  if (typeof value === "symbol") return "NaN";
  if (isObject(value)) return numberText(classOf(value) === ClassId.DATE ? dateValue(value) : 0 / 0);
  return numberText(+(value as number));
}

/** The number that a primitive's text begins with. */
function parsed(value: unknown): number {
  return typeof value === "bigint" ? parseFloatOf(bigintText(value)) : parseFloatOf(`${value as string}`);
}

function asJson(value: unknown, limit: number): string {
  if (value === undefined || typeof value === "function" || typeof value === "symbol") return "undefined";
  return plainJson(value, false, limit) ?? inspect(value, 2, limit);
}
