/** Numbers, texts and bytes on their way between a worker and the kernel; guest/protocol.ts is the other end. */
import type { Instance } from "./instance.js";
import { CELLS_FOR_NUMBERS, Cell } from "./layout.js";
import { type TextOut, withStrings, withTexts } from "./long-strings.js";
import type { EncodedEffects, EncodedInput } from "./messages.js";

/**
 * Puts the numbers of an input where the kernel reads them; gives the text it is called with.
 *
 * @param address of the cells
 */
export function writeNumbers(instance: Instance, address: number, input: EncodedInput): string {
  const cells = address >> 2;
  const { numbers, text } = input.strings.length === 0 ? input : withStrings(input);
  const words = instance.words;
  if (numbers.length > CELLS_FOR_NUMBERS) {
    words[cells + Cell.INPUT_LENGTH] = -1;
    return `[${numbers.join(",")}]\n${text}`;
  }
  words[cells + Cell.INPUT_LENGTH] = numbers.length;
  for (let i = 0; i < numbers.length; i++) words[cells + Cell.INPUT + i] = numbers[i] as number;
  return text;
}

/**
 * Takes the numbers of the effects from where the kernel put them.
 *
 * @param text what the kernel's flush gave
 * @param kept what it gave beside that
 */
export function readEffects(
  instance: Instance,
  address: number,
  text: string,
  kept: { readonly bytesOut: readonly Uint8Array[]; readonly textsOut: readonly TextOut[] },
): EncodedEffects {
  const { bytesOut: bytes, textsOut: texts } = kept;
  const cells = address >> 2;
  const { words } = instance;
  const count = words[cells + Cell.EFFECT_COUNT] ?? 0;
  const held = count < 0 ? CELLS_FOR_NUMBERS : count * 4;
  const numbers: number[] = [];
  for (let at = cells + Cell.EFFECTS; numbers.length < held; at++) numbers.push(words[at] as number);
  const effects = count >= 0 ? { numbers, text, bytes } : withRest(numbers, text, bytes);
  return texts.length > 0 ? withTexts(effects, texts) : effects;
}

/** Numbers that are too many for the cells stand before the text. */
function withRest(numbers: readonly number[], text: string, bytes: readonly Uint8Array[]): EncodedEffects {
  const end = text.indexOf("\n");
  const rest = JSON.parse(text.slice(0, end)) as number[][];
  return { numbers: [...numbers, ...rest.flat()], text: text.slice(end + 1), bytes };
}

/** Base64 of an ArrayBuffer of the guest: here it takes a hundredth of the time. Gives an owned `JSValue*`. */
export function writeBase64(instance: Instance, context: number, buffer: number): number {
  const { buffer: bytes } = instance.readArrayBuffer(context, buffer);
  return instance.newString(context, Buffer.from(bytes).toString("base64"));
}

/** The ArrayBuffer that a string of the guest tells in base64, an owned `JSValue*`; 0 for undefined where it tells none. */
export function readBase64(instance: Instance, context: number, text: number): number {
  const base64 = instance.readString(context, text);
  const bytes = Buffer.from(base64, "base64");
  return bytes.toString("base64") === base64 ? instance.newArrayBuffer(context, bytes) : 0;
}
