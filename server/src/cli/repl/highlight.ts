/** Colours for values that the session has printed as text, by the rules by which Node colours its own. */
import type { Paint } from "../terminal.js";

type Style = Parameters<Paint>[0];

/** In the order in which they are tried. None of them may capture. */
const TOKENS: readonly (readonly [style: Style, pattern: string])[] = [
  ["green", String.raw`'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"`],
  ["green", "`(?:[^`\\\\]|\\\\.)*`"],
  ["green", String.raw`\bSymbol\([^)\n]*\)`],
  ["magenta", String.raw`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\b`],
  ["cyan", String.raw`\[(?:class|Function|AsyncFunction|GeneratorFunction|AsyncGeneratorFunction)\b[^\]\n]*\]`],
  ["cyan", String.raw`\[(?:Object|Array|Getter|Setter|Getter/Setter|Proxy|Circular \*\d+|[A-Z]\w*)\]`],
  ["yellow", String.raw`(?<![\w$(])-?(?:\d+(?:\.\d+)?(?:e[+-]\d+)?n?|NaN|Infinity)(?![\w$:]| more )`],
  ["yellow", String.raw`(?<![\w$])(?:true|false)(?![\w$:])`],
  ["gray", String.raw`(?<![\w$])undefined(?![\w$:])|<\d+ empty items?>`],
  ["bold", String.raw`(?<![\w$])null(?![\w$:])`],
];

const ANY = new RegExp(TOKENS.map(([, pattern]) => `(${pattern})`).join("|"), "gu");

/** In characters. Guests may have written the text, and one full of quotes without an end takes the square of its length. */
const LONGEST = 8_192;

/** Colours a text that `console.dir` printed. One that is very long stays as it is. */
export function highlight(text: string, paint: Paint): string {
  if (text.length > LONGEST) return text;
  return text.replace(ANY, (token, ...found: unknown[]) => {
    const index = TOKENS.findIndex((_, at) => found[at] !== undefined);
    return paint(TOKENS[index]?.[0] ?? "reset", token);
  });
}
