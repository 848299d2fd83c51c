/**
 * What the worker reads and writes in place of the kernel, on its way between the two. Long strings: outside they are JSON text, like most
 * values; the engine takes several times as long as V8 to read that, or to write it. So they come to the kernel as they are, and of those
 * that leave the worker writes the text, as it does of objects (plain-writer.ts, graph-writer.ts).
 */
import type { EncodedEffects, EncodedInput } from "./messages.js";
import { isWellFormed } from "./well-formed.js";

/** Arms of values, and effects that are values; as the kernel numbers them. */
const Arm = { JSON: 1, GRAPH: 3, STRING: 6 } as const;
const EffectKind = { VALUE: 1, EMITTED: 5 } as const;

/** What the host has written of a value in place of the kernel. */
export interface TextOut {
  readonly arm: "json" | "graph";
  readonly text: string;
}

/** Strings in place of their JSON text, where they survive the crossing. What is no JSON is left for the kernel to refuse. */
export function withStrings({ numbers, text, strings }: EncodedInput): Pick<EncodedInput, "numbers" | "text"> {
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

/** Texts in place of the numbers that the kernel gave them. */
export function withTexts({ numbers, text, bytes }: EncodedEffects, texts: readonly TextOut[]): EncodedEffects {
  const changed = [...numbers];
  let at = 0;
  let whole = "";
  for (let i = 0; i < numbers.length; i += 4) {
    const end = at + (numbers[i + 3] ?? 0);
    let shown = text.slice(at, end);
    if (isKept(numbers, i)) {
      const kept = texts[Number(shown)];
      changed[i + 2] = kept?.arm === "graph" ? Arm.GRAPH : Arm.JSON;
      shown = kept?.text ?? "";
    }
    changed[i + 3] = shown.length;
    whole += shown;
    at = end;
  }
  return { numbers: changed, text: whole, bytes };
}

/** Whether the effect whose numbers begin there is a value that the host has written. */
function isKept(numbers: readonly number[], at: number): boolean {
  const kind = numbers[at];
  return (kind === EffectKind.VALUE || kind === EffectKind.EMITTED) && numbers[at + 2] === Arm.STRING;
}
