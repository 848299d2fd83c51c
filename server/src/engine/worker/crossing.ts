/** Numbers and texts on their way between a worker and the kernel; guest/protocol.ts is the other end. */
import type { Instance } from "./instance.js";
import { CELLS_FOR_NUMBERS, Cell } from "./layout.js";
import type { EncodedEffects, EncodedInput } from "./messages.js";

/**
 * Puts the numbers of an input where the kernel reads them; gives the text it is called with.
 *
 * @param address of the cells
 */
export function writeNumbers(instance: Instance, address: number, { numbers, text }: EncodedInput): string {
  const cells = address >> 2;
  const words = instance.words;
  if (numbers.length > CELLS_FOR_NUMBERS) {
    words[cells + Cell.INPUT_LENGTH] = -1;
    return `[${numbers.join(",")}]\n${text}`;
  }
  words[cells + Cell.INPUT_LENGTH] = numbers.length;
  words.set(numbers, cells + Cell.INPUT);
  return text;
}

/**
 * Takes the numbers of the effects from where the kernel put them.
 *
 * @param text what the kernel's flush gave
 */
export function readEffects(instance: Instance, address: number, text: string): EncodedEffects {
  const cells = address >> 2;
  const words = instance.words;
  const count = words[cells + Cell.EFFECT_COUNT] ?? 0;
  const held = count < 0 ? CELLS_FOR_NUMBERS : count * 4;
  const numbers = Array.from(words.subarray(cells + Cell.EFFECTS, cells + Cell.EFFECTS + held));
  if (count >= 0) return { numbers, text };
  const end = text.indexOf("\n");
  const rest = JSON.parse(text.slice(0, end)) as number[][];
  return { numbers: [...numbers, ...rest.flat()], text: text.slice(end + 1) };
}
