/** Strings, keys and padding as Node writes them. */
import { charCodeAt, indexOf, list, numberToString, slice, symbolToString } from "./captured.js";

const LONGEST_STRING = 10_000;

/** In the quotes that need the fewest escapes; control characters and lone surrogates escaped. */
export function quoted(text: string): string {
  let quote = "'";
  if (indexOf(text, "'") >= 0) {
    if (indexOf(text, '"') < 0) quote = '"';
    else if (indexOf(text, "`") < 0 && indexOf(text, "${") < 0) quote = "`";
  }
  let result = quote;
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const escaped = escapeOf(text, i, quote);
    if (escaped === "") continue;
    result += slice(text, from, i) + escaped;
    from = i + 1;
  }
  return result + slice(text, from) + quote;
}

/** The escape of one UTF-16 unit; empty for one that stands for itself. */
function escapeOf(text: string, index: number, quote: string): string {
  const code = charCodeAt(text, index);
  if (code >= 0x20 && code < 0x7f) {
    if (code === 0x5c) return "\\\\";
    return text[index] === quote ? `\\${quote}` : "";
  }
  switch (code) {
    case 8:
      return "\\b";
    case 9:
      return "\\t";
    case 10:
      return "\\n";
    case 12:
      return "\\f";
    case 13:
      return "\\r";
  }
  if (code < 0xa0) return `\\x${code < 16 ? "0" : ""}${upperHex(code)}`;
  if (code < 0xd800 || code > 0xdfff) return "";
  const pairs = code < 0xdc00 ? isLow(text, index + 1) : isHigh(text, index - 1);
  return pairs ? "" : `\\u${numberToString(code, 16)}`;
}

function upperHex(code: number): string {
  const digits = "0123456789ABCDEF";
  return code < 16 ? (digits[code] as string) : (digits[code >> 4] as string) + (digits[code & 15] as string);
}

function isHigh(text: string, index: number): boolean {
  const code = index < 0 ? 0 : charCodeAt(text, index);
  return code >= 0xd800 && code < 0xdc00;
}

function isLow(text: string, index: number): boolean {
  const code = charCodeAt(text, index);
  return code >= 0xdc00 && code < 0xe000;
}

/** A string inside a value: long ones are cut, and where they do not fit in the line broken after their newlines. */
export function quotedLines(text: string, width: number, indentation: number): string {
  const more = text.length - LONGEST_STRING;
  const tail = more > 0 ? `... ${more} more character${more > 1 ? "s" : ""}` : "";
  const kept = more > 0 ? slice(text, 0, LONGEST_STRING) : text;
  if (kept.length <= 16 || kept.length <= width - indentation - 4) return quoted(kept) + tail;
  let result = "";
  let from = 0;
  while (from < kept.length) {
    const newline = indexOf(kept, "\n", from);
    const end = newline < 0 ? kept.length : newline + 1;
    result += `${from === 0 ? "" : ` +\n${spaces(indentation + 2)}`}${quoted(slice(kept, from, end))}`;
    from = end;
  }
  return result + tail;
}

/** A property's key as it stands before the colon. */
export function keyText(key: string | symbol, isHidden: boolean): string {
  if (typeof key === "symbol") return `[${symbolText(key)}]`;
  if (key === "__proto__") return "['__proto__']";
  if (isHidden) return `[${key}]`;
  return isName(key) ? key : quoted(key);
}

export function symbolText(symbol: symbol): string {
  return symbolToString(symbol);
}

function isName(key: string): boolean {
  for (let i = 0; i < key.length; i++) {
    const code = charCodeAt(key, i);
    const isLetter = (code >= 65 && code <= 90) || (code >= 97 && code <= 122) || code === 95;
    if (!isLetter && (i === 0 || code < 48 || code > 57)) return false;
  }
  return key !== "";
}

/** True for the keys that number an array's items. */
export function isIndex(key: string | symbol): boolean {
  if (typeof key !== "string" || key.length > 10) return false;
  const number = +key;
  return number >= 0 && number < 4294967295 && number % 1 === 0 && numberToString(number) === key;
}

export function spaces(count: number): string {
  let text = "";
  for (let i = 0; i < count; i++) text += " ";
  return text;
}

/** Puts an indentation behind every newline. */
export function indented(text: string, indentation: string): string {
  if (indentation === "") return text;
  let result = "";
  let from = 0;
  for (let at = indexOf(text, "\n"); at >= 0; at = indexOf(text, "\n", from)) {
    result += slice(text, from, at + 1) + indentation;
    from = at + 1;
  }
  return result + slice(text, from);
}

export function lines(text: string): string[] {
  const found = list<string>();
  let from = 0;
  for (let at = indexOf(text, "\n"); at >= 0; at = indexOf(text, "\n", from)) {
    found[found.length] = slice(text, from, at);
    from = at + 1;
  }
  found[found.length] = slice(text, from);
  return found;
}

/** Columns that a terminal gives the text: wide characters take two, combining ones none. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (let i = 0; i < text.length; i++) {
    const code = charCodeAt(text, i);
    if (code < 0x300) columns += code < 0x20 || (code >= 0x7f && code < 0xa0) ? 0 : 1;
    else if (code >= 0xd800 && code < 0xdc00 && isLow(text, i + 1)) {
      i++;
      // Emoji, and the ideographs beyond the basic plane.
      columns += code >= 0xd83c ? (code <= 0xd83e || code >= 0xd840 ? 2 : 1) : 1;
    } else columns += isZeroWidth(code) ? 0 : isWide(code) ? 2 : 1;
  }
  return columns;
}

function isZeroWidth(code: number): boolean {
  return (
    code <= 0x36f ||
    (code >= 0x200b && code <= 0x200f) ||
    (code >= 0x20d0 && code <= 0x20ff) ||
    (code >= 0xfe00 && code <= 0xfe0f) ||
    (code >= 0xfe20 && code <= 0xfe2f)
  );
}

function isWide(code: number): boolean {
  return (
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0x303e) ||
    (code >= 0x3041 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6)
  );
}
