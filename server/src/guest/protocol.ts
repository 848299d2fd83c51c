/**
 * The texts that cross between host and kernel: one line of JSON with numbers (the header), then the payload texts it
 * measures, in UTF-16 units, one after the other. So neither side parses what it only passes on. Mirrored by
 * engine/kernel-protocol.ts.
 *
 * Payloads hold neither NUL nor lone surrogates, which would not survive the crossing: they are JSON text, ids or names.
 */
import { indexOf, jsonParse, slice } from "./intrinsics.js";

/** First number of an input's header. */
export const InputKind = { EXECUTE: 1, CALL: 2, INSPECT: 3, RELEASE: 4, DEFINE_GLOBALS: 5 } as const;

/** How a value in an input is written. */
export const Arm = { UNDEFINED: 0, JSON: 1, HANDLE: 2 } as const;

/** How a caller wants its result. */
export const Encoding = { UNSPECIFIED: 0, FULL: 1, JSON: 2, HANDLE: 3, NONE: 4 } as const;

/** First number of an effect's header entry. */
export const EffectKind = { VALUE: 1, EXCEPTION: 2, REFUSED: 3, ANSWER: 4, COUNTS: 5 } as const;

/** Why an input was refused before any guest code ran. */
export const Refusal = { HANDLE_NOT_FOUND: 1, INVALID_JSON: 2, NOT_AN_OBJECT: 3 } as const;

/** Reads an input front to back: numbers from the header, texts from the payload. */
export class InputReader {
  readonly #header: readonly number[];
  readonly #text: string;
  #nextNumber = 0;
  #at: number;

  constructor(text: string) {
    const end = indexOf(text, "\n");
    this.#header = jsonParse(slice(text, 0, end)) as number[];
    this.#text = text;
    this.#at = end + 1;
  }

  number(): number {
    return this.#header[this.#nextNumber++] as number;
  }

  /** The next text; its length is the next number, negative where there is none. */
  optionalText(): string | undefined {
    const length = this.number();
    if (length < 0) return undefined;
    const start = this.#at;
    this.#at += length;
    return slice(this.#text, start, this.#at);
  }

  text(): string {
    return this.optionalText() ?? "";
  }
}

let header = "";
let payload = "";

/** Adds one effect to what leaves at the end of the turn; of `numbers` the kernel passes at most three. */
export function emitEffect(kind: number, subject: number, detail: number, text: string): void {
  header += `${header === "" ? "" : ","}[${kind},${subject},${detail},${text.length}]`;
  payload += text;
}

/** Takes all effects of the turn. */
export function takeEffects(): string {
  const text = `[${header}]\n${payload}`;
  header = "";
  payload = "";
  return text;
}
