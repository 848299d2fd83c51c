/** What stands between the braces: items, entries and properties, each rendered and added to a list of parts. */
import {
  getOwnPropertyDescriptor,
  list,
  mapForEach,
  mapSize,
  ownKeys,
  promiseResult,
  promiseState,
  setForEach,
  setSize,
  typedArrayLength,
} from "./captured.js";
import type { Context } from "./context.js";
import { isData } from "./names.js";
import { isIndex, keyText } from "./text.js";
import { bigintText, numberText, render } from "./value.js";

/** What is inside stands two columns further to the right. */
function inner(context: Context, value: unknown, level: number): string {
  context.indentation += 2;
  const text = render(context, value, level + 1);
  context.indentation -= 2;
  return text;
}

export function propertyParts(
  context: Context,
  value: object,
  keys: readonly (string | symbol)[],
  parts: string[],
  level: number,
): void {
  for (let i = 0; i < keys.length; i++) {
    if (context.isFull) {
      parts[parts.length] = more(keys.length - i, "propert", "y", "ies");
      return;
    }
    const key = keys[i] as string | symbol;
    const descriptor = descriptorOf(value, key);
    const name = keyText(key, descriptor !== undefined && descriptor.enumerable !== true);
    const text = descriptor === undefined ? "<uninitialized>" : propertyText(context, descriptor, level);
    context.spent += name.length;
    parts[parts.length] = `${name}: ${text}`;
  }
}

/** Undefined for a variable of a module that has no value yet. */
function descriptorOf(value: object, key: string | symbol): PropertyDescriptor | undefined {
  try {
    return getOwnPropertyDescriptor(value, key);
  } catch {
    return undefined;
  }
}

function propertyText(context: Context, descriptor: PropertyDescriptor, level: number): string {
  if (isData(descriptor)) return inner(context, descriptor.value, level);
  if (descriptor.get === undefined) return descriptor.set === undefined ? "undefined" : "[Setter]";
  return descriptor.set === undefined ? "[Getter]" : "[Getter/Setter]";
}

function more(count: number, word: string, one = "", many = "s"): string {
  return `... ${count} more ${word}${count === 1 ? one : many}`;
}

/** @returns the items that are shown, as far as they are data */
export function arrayParts(context: Context, array: readonly unknown[], parts: string[], level: number): unknown[] {
  const items = list<unknown>();
  const { length } = array;
  let index = 0;
  while (index < length && parts.length < context.maximumItems && !context.isFull) {
    const descriptor = getOwnPropertyDescriptor(array, index);
    if (descriptor === undefined) {
      const end = endOfHole(array, index);
      parts[parts.length] = `<${end - index} empty item${end - index === 1 ? "" : "s"}>`;
      items[items.length] = undefined;
      index = end;
      continue;
    }
    parts[parts.length] = propertyText(context, descriptor, level);
    items[items.length] = isData(descriptor) ? descriptor.value : undefined;
    index++;
  }
  if (index < length) parts[parts.length] = more(length - index, "item");
  return items;
}

/** A longer hole is measured by listing the keys that there are, which takes as long as the array is full. */
const LONGEST_PROBED = 1_000;

function endOfHole(array: readonly unknown[], from: number): number {
  let index = from + 1;
  while (index < array.length && index - from < LONGEST_PROBED) {
    if (getOwnPropertyDescriptor(array, index) !== undefined) return index;
    index++;
  }
  if (index === array.length) return index;
  const keys = ownKeys(array);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string | symbol;
    if (isIndex(key) && +(key as string) >= index) return +(key as string);
  }
  return array.length;
}

export function typedArrayParts(context: Context, array: object, parts: string[]): unknown[] {
  const items = list<unknown>();
  const length = typedArrayLength(array);
  const shown = length < context.maximumItems ? length : context.maximumItems;
  for (let i = 0; i < shown; i++) {
    const item = (array as (number | bigint)[])[i] as number | bigint;
    items[i] = item;
    parts[i] = typeof item === "number" ? numberText(item) : bigintText(item);
    context.spent += (parts[i] as string).length;
  }
  if (shown < length) parts[shown] = more(length - shown, "item");
  return items;
}

export function setParts(context: Context, set: object, parts: string[], level: number): undefined {
  const size = setSize(set);
  let shown = 0;
  setForEach(set, (item) => {
    if (parts.length >= context.maximumItems || context.isFull) return;
    parts[parts.length] = inner(context, item, level);
    shown++;
  });
  if (shown < size) parts[parts.length] = more(size - shown, "item");
}

export function mapParts(context: Context, map: object, parts: string[], level: number): undefined {
  const size = mapSize(map);
  let shown = 0;
  mapForEach(map, (item, key) => {
    if (parts.length >= context.maximumItems || context.isFull) return;
    parts[parts.length] = `${inner(context, key, level)} => ${inner(context, item, level)}`;
    shown++;
  });
  if (shown < size) parts[parts.length] = more(size - shown, "item");
}

const PENDING = 0;
const REJECTED = 2;

export function promiseParts(context: Context, promise: object, parts: string[], level: number): undefined {
  const state = promiseState(promise);
  if (state === PENDING) {
    parts[0] = "<pending>";
    context.spent += 9;
    return;
  }
  const text = inner(context, promiseResult(promise), level);
  parts[0] = state === REJECTED ? `<rejected> ${text}` : text;
}
