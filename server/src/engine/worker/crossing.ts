/** Numbers, texts and bytes on their way between a worker and the kernel; guest/protocol.ts is the other end. */
import type { Instance } from "./instance.js";
import { CELLS_FOR_NUMBERS, Cell } from "./layout.js";
import type { EncodedEffects, EncodedInput } from "./messages.js";

/** Arms of values, and effects that are values; as the kernel numbers them. */
const Arm = { JSON: 1, STRING: 6 } as const;
const EffectKind = { VALUE: 1, EMITTED: 5 } as const;

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
  words.set(numbers, cells + Cell.INPUT);
  return text;
}

/** Strings in place of their JSON text, where they survive the crossing. What is no JSON is left for the kernel to refuse. */
function withStrings({ numbers, text, strings }: EncodedInput): Pick<EncodedInput, "numbers" | "text"> {
  const changed = [...numbers];
  let rest = 0;
  let whole = "";
  for (let i = 0; i < strings.length; i += 2) {
    const [arm, begin] = [strings[i] as number, strings[i + 1] as number];
    const end = begin + (numbers[arm + 1] ?? 0);
    const string = stringOf(text.slice(begin, end));
    if (string === undefined) continue;
    changed[arm] = Arm.STRING;
    changed[arm + 1] = string.length;
    whole += text.slice(rest, begin) + string;
    rest = end;
  }
  return { numbers: changed, text: whole + text.slice(rest) };
}

/** Undefined where it would not cross whole, or is better left as it is. */
function stringOf(json: string): string | undefined {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value !== "string" || value.includes("\0") || !isWellFormed(value)) return undefined;
    // Of one that is told in escapes alone all that crosses with it would become twice as wide in the engine.
    return isWide(value) && !isWide(json) ? undefined : value;
  } catch {
    return undefined;
  }
}

/** Whether the engine takes two bytes for each unit of it. */
function isWide(text: string): boolean {
  return /[^\0-\xff]/.test(text);
}

/** Node has it; TypeScript's library for ES2023 does not know of it. */
function isWellFormed(text: string): boolean {
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

/** JSON text in place of the numbers that the kernel gave long strings. */
function withJson({ numbers, text, bytes }: EncodedEffects, strings: readonly string[]): EncodedEffects {
  const changed = [...numbers];
  let at = 0;
  let whole = "";
  for (let i = 0; i < numbers.length; i += 4) {
    const end = at + (numbers[i + 3] ?? 0);
    const told = text.slice(at, end);
    const shown = isString(numbers, i) ? (strings[Number(told)] ?? "") : told;
    if (isString(numbers, i)) changed[i + 2] = Arm.JSON;
    changed[i + 3] = shown.length;
    whole += shown;
    at = end;
  }
  return { numbers: changed, text: whole, bytes };
}

/** Whether the effect whose numbers begin there is a long string. */
function isString(numbers: readonly number[], at: number): boolean {
  const kind = numbers[at];
  return (kind === EffectKind.VALUE || kind === EffectKind.EMITTED) && numbers[at + 2] === Arm.STRING;
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
  kept: { readonly bytesOut: readonly Uint8Array[]; readonly stringsOut: readonly string[] },
): EncodedEffects {
  const { bytesOut: bytes, stringsOut: strings } = kept;
  const cells = address >> 2;
  const words = instance.words;
  const count = words[cells + Cell.EFFECT_COUNT] ?? 0;
  const held = count < 0 ? CELLS_FOR_NUMBERS : count * 4;
  const numbers = Array.from(words.subarray(cells + Cell.EFFECTS, cells + Cell.EFFECTS + held));
  const effects = count >= 0 ? { numbers, text, bytes } : withRest(numbers, text, bytes);
  return strings.length > 0 ? withJson(effects, strings) : effects;
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
