/** Ids that nobody can guess; for libraries. */
import { numberToString } from "./intrinsics.js";
import { padStart as nativePadStart } from "./natives.js";
import { IDS, nextWord } from "./random.js";
import { uncurried } from "./uncurried.js";

const padStart = uncurried<(text: string, length: number, fill: string) => string>(nativePadStart);

/** 64 random bits as 16 hexadecimal digits. */
export function randomId(): string {
  return hex(nextWord(IDS)) + hex(nextWord(IDS));
}

function hex(word: number): string {
  return padStart(numberToString(word, 16), 8, "0");
}
