/** Writes a value as a graph. Getters of what is copied run, as they do in structured cloning; nothing else of the guest. */

import { withCallersPositions, withoutMarks } from "../../callers-positions.js";
import { describeHandleInGraph } from "../../describe-handle.js";
import { domExceptionText } from "../../dom-exceptions.js";
import { isKernelFrame, isKernelsCall } from "../../frames.js";
import { toBase64 } from "../../host-asks.js";
import {
  apply,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwn,
  indexOf,
  isFiniteNumber,
  numberToString,
  objectKeys,
  SafeMap,
  slice,
  stringify,
} from "../../intrinsics.js";
import {
  arrayBufferLength,
  bigintToString,
  dateToIso,
  dateValue,
  mapForEach,
  regexpFlags,
  regexpSource,
  setForEach,
  typedArrayLength,
  typedArrayTag,
} from "../../methods.js";
import * as natives from "../../natives.js";
import { originals } from "../../originals.js";
import { hasOwnValue, messageText, ownValue } from "../../properties.js";
import { isProxy } from "../../proxies.js";
import { kindOf } from "./kind.js";
import { createList, type List } from "./list.js";
import { nameOfErrorPrototype } from "./names.js";
import { HOLE, INFINITE, NAN, NEGATIVE_INFINITE, NEGATIVE_ZERO, SPARSE, UNDEFINED } from "./special.js";

const HANDLE_ID = "0000000000000000";
const HANDLE_BEGIN = `["Handle","${HANDLE_ID}`;
const LAST_INDEX = 4_294_967_294;
const LONGEST_CHAIN = 100;

/** The value does not travel as a graph. */
class GivenUp {}
const GIVEN_UP = new GivenUp();

/** Asks a captured method of a value. */
// biome-ignore lint/complexity/noBannedTypes: any method
function ask<T>(method: Function, value: object): T {
  return apply(method, value, []) as T;
}

/**
 * @param limit the most UTF-16 units that the text may have
 * @param fits asked of the whole text
 * @param retain gives the id of a handle; asked only when all else is written, so that a value that is given up leaves none
 * @returns undefined where the value does not fit, or stays where it is as a whole
 */
export function encodeGraph(
  value: unknown,
  limit: number,
  fits: (text: string) => boolean,
  retain: (value: unknown) => string,
): string | undefined {
  try {
    return new Graph(limit).write(value, fits, retain);
  } catch (error) {
    if (error === GIVEN_UP) return undefined;
    throw error;
  }
}

class Graph {
  readonly #nodes: List<string> = createList();
  readonly #objects: List<object> = createList();
  readonly #places: List<number> = createList();
  readonly #live: List<number> = createList();
  readonly #known = new SafeMap<unknown, number>();
  #room: number;

  constructor(limit: number) {
    this.#room = limit;
  }

  write(value: unknown, fits: (text: string) => boolean, retain: (value: unknown) => string): string {
    const root = this.#reference(value);
    if (root < 0) return numberToString(root);
    for (let i = 0; i < this.#objects.length; i++) {
      this.#put(this.#places[i] as number, this.#node(this.#objects[i] as object, i));
    }
    const text = this.#text();
    if (!fits(text)) throw GIVEN_UP;
    if (this.#live.length === 0) return text;
    for (let i = 0; i < this.#live.length; i++) {
      const at = this.#live[i] as number;
      const place = this.#places[at] as number;
      const description = slice(this.#nodes[place] as string, HANDLE_BEGIN.length);
      this.#nodes[place] = `["Handle","${retain(this.#objects[at])}${description}`;
    }
    return this.#text();
  }

  #text(): string {
    let text = `[${this.#nodes[0]}`;
    for (let i = 1; i < this.#nodes.length; i++) text += `,${this.#nodes[i]}`;
    return `${text}]`;
  }

  /** Where a value stands, or the number that stands for it. */
  #reference(value: unknown): number {
    switch (typeof value) {
      case "undefined":
        return UNDEFINED;
      case "number":
        return this.#number(value);
      case "string":
        return this.#primitive(stringify(value));
      case "boolean":
        return this.#primitive(value ? "true" : "false");
      case "bigint":
        return this.#primitive(`["BigInt","${bigintToString(value)}"]`);
      default:
        return value === null ? this.#primitive("null") : this.#object(value as object);
    }
  }

  #number(value: number): number {
    if (value === 0) return 1 / value < 0 ? NEGATIVE_ZERO : this.#primitive("0");
    if (isFiniteNumber(value)) return this.#primitive(numberToString(value));
    return value > 0 ? INFINITE : value < 0 ? NEGATIVE_INFINITE : NAN;
  }

  #primitive(text: string): number {
    const place = this.#nodes.length;
    this.#put(place, text);
    return place;
  }

  /** Its node is written later: values may be nested as deep as they like. */
  #object(value: object): number {
    const known = this.#known.get(value);
    if (known !== undefined) return known;
    const place = this.#nodes.length;
    this.#nodes[place] = "";
    this.#known.set(value, place);
    this.#places[this.#objects.length] = place;
    this.#objects[this.#objects.length] = value;
    return place;
  }

  #put(place: number, text: string): void {
    this.#nodes[place] = text;
    this.#take(text.length + 1);
  }

  #take(units: number): void {
    this.#room -= units;
    if (this.#room < 0) throw GIVEN_UP;
  }

  #node(value: object, at: number): string {
    switch (kindOf(value)) {
      case "plain":
        return this.#record(value, objectKeys(value));
      case "nullPrototype":
        return this.#nullPrototype(value);
      case "Array":
        return this.#array(value as unknown[]);
      case "Error":
        return `["Error",${this.#error(value)}]`;
      case "view":
        return this.#view(value, typedArrayTag(value) as string, at);
      case "DataView":
        return this.#view(value, "DataView", at);
      case "ArrayBuffer":
        return ask(originals.detached, value) ? this.#handle(at) : this.#buffer(value as ArrayBuffer);
      case "Date":
        return this.#date(value);
      case "RegExp":
        return this.#regexp(value);
      case "Map":
        return this.#map(value);
      case "Set":
        return this.#set(value);
      case "Number":
        return `["Object",${this.#reference(ask(natives.numberOf, value))}]`;
      case "String":
        return `["Object",${this.#reference(ask(natives.stringOf, value))}]`;
      case "Boolean":
        return `["Object",${this.#reference(ask(natives.booleanOf, value))}]`;
      case "BigInt":
        return `["Object",${this.#reference(ask(natives.bigintOf, value))}]`;
      default:
        return this.#handle(at);
    }
  }

  #handle(at: number): string {
    if (this.#places[at] === 0) throw GIVEN_UP;
    this.#live[this.#live.length] = at;
    return describeHandleInGraph(this.#objects[at], HANDLE_ID);
  }

  /** Properties that a getter of one before them removed are left out. */
  #record(value: object, keys: readonly string[]): string {
    let text = "";
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as string;
      if (!hasOwn(value, key)) continue;
      const item = `${stringify(key)}:${this.#reference((value as Record<string, unknown>)[key])}`;
      text = text === "" ? item : `${text},${item}`;
    }
    return `{${text}}`;
  }

  #nullPrototype(value: object): string {
    const keys = objectKeys(value);
    let text = '["null"';
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as string;
      if (!hasOwn(value, key)) continue;
      text += `,${stringify(key)},${this.#reference((value as Record<string, unknown>)[key])}`;
    }
    return `${text}]`;
  }

  #array(value: readonly unknown[]): string {
    const keys = objectKeys(value);
    const length = value.length;
    let indices = keys.length;
    if (indices !== length || (length > 0 && keys[length - 1] !== numberToString(length - 1))) {
      indices = 0;
      while (indices < keys.length && isIndex(keys[indices] as string)) indices++;
    }
    if (indices === keys.length) return this.#items(value, keys, indices, length);
    const extra = createList<string>();
    for (let i = indices; i < keys.length; i++) extra[i - indices] = keys[i] as string;
    const items = this.#nodes.length;
    this.#nodes[items] = "";
    const properties = this.#nodes.length;
    this.#nodes[properties] = "";
    this.#put(items, this.#items(value, keys, indices, length));
    this.#put(properties, this.#record(value, extra as readonly string[]));
    return `["Array",${items},${properties}]`;
  }

  /** The shorter of the two ways to write an array: all its places, or those that are taken. */
  #items(value: readonly unknown[], keys: readonly string[], indices: number, length: number): string {
    const digits = numberToString(length).length;
    const isSparse = (length - indices) * 3 > 4 + digits + indices * (digits + 1);
    let text = isSparse ? `${SPARSE},${length}` : "";
    let place = 0;
    for (let i = 0; i < indices; i++) {
      const key = keys[i] as string;
      if (isSparse) {
        if (hasOwn(value, key)) text += `,${key},${this.#reference(value[key as unknown as number])}`;
        continue;
      }
      for (; place < +key; place++) text += place === 0 ? `${HOLE}` : `,${HOLE}`;
      const item = hasOwn(value, key) ? this.#reference(value[place]) : HOLE;
      text += place === 0 ? `${item}` : `,${item}`;
      place++;
    }
    if (!isSparse) for (; place < length; place++) text += place === 0 ? `${HOLE}` : `,${HOLE}`;
    return `[${text}]`;
  }

  #date(value: object): string {
    const isValid = isFiniteNumber(dateValue(value));
    return `["Date","${isValid ? dateToIso(value) : ""}"]`;
  }

  #regexp(value: object): string {
    const source = stringify(regexpSource(value));
    const flags = regexpFlags(value);
    const lastIndex = ownValue(value, "lastIndex");
    const counts = typeof lastIndex === "number" && lastIndex > 0 && lastIndex % 1 === 0;
    if (counts && lastIndex <= LAST_INDEX) return `["RegExp",${source},"${flags}",${numberToString(lastIndex)}]`;
    return flags === "" ? `["RegExp",${source}]` : `["RegExp",${source},"${flags}"]`;
  }

  #map(value: object): string {
    let text = '["Map"';
    mapForEach(value, (item, key) => {
      text += `,${this.#reference(key)}`;
      text += `,${this.#reference(item)}`;
    });
    return `${text}]`;
  }

  #set(value: object): string {
    let text = '["Set"';
    setForEach(value, (item) => {
      text += `,${this.#reference(item)}`;
    });
    return `${text}]`;
  }

  #buffer(value: ArrayBuffer): string {
    if ((arrayBufferLength(value) / 3) * 4 > this.#room) throw GIVEN_UP;
    return `["ArrayBuffer","${toBase64(value)}"]`;
  }

  #view(value: object, type: string, at: number): string {
    const isData = type === "DataView";
    const buffer = ask<ArrayBuffer>(isData ? natives.viewBuffer : originals.bytesBuffer, value);
    if (ask(originals.detached, buffer)) return this.#handle(at);
    let offset = 0;
    let bytes = 0;
    let length = 0;
    try {
      offset = ask(isData ? natives.viewOffset : originals.bytesOffset, value);
      bytes = ask(isData ? natives.viewLength : originals.bytesLength, value);
      length = isData ? bytes : typedArrayLength(value);
    } catch {
      // A buffer that shrank below a DataView of it: what is left is nothing.
    }
    const place = this.#object(buffer);
    const isWhole = bytes === arrayBufferLength(buffer);
    return isWhole ? `["${type}",${place}]` : `["${type}",${place},${offset},${length}]`;
  }

  /** Gives the place of an object that tells about the error; no getter of it runs. */
  #error(value: object): number {
    const type = errorType(value);
    const parts = createList<string>();
    const add = (key: string, item: unknown): void => {
      parts[parts.length] = `"${key}":${this.#reference(item)}`;
    };
    add("type", type);
    const dom = domExceptionText(value);
    const name = dom === undefined ? inheritedValue(value, "name") : dom.name;
    if (typeof name === "string" && name !== type) add("name", name);
    const message = dom === undefined ? messageText(ownValue(value, "message")) : dom.message;
    if (message !== undefined) add("message", withoutMarks(message));
    const stack = ownValue(value, "stack");
    if (typeof stack === "string" && stack !== "") add("stack", withCallersPositions(withoutKernel(stack)));
    if (isOwnData(value, "cause")) add("cause", ownValue(value, "cause"));
    const hasErrors = type === "AggregateError" && isOwnData(value, "errors");
    if (hasErrors) add("errors", ownValue(value, "errors"));
    const extra = createList<string>();
    const keys = objectKeys(value);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as string;
      const isTold = key === "name" || key === "message" || key === "stack" || key === "cause";
      if (!isTold && !(hasErrors && key === "errors")) extra[extra.length] = key;
    }
    if (extra.length > 0) {
      const properties = this.#nodes.length;
      this.#nodes[properties] = "";
      this.#put(properties, this.#record(value, extra as readonly string[]));
      parts[parts.length] = `"properties":${properties}`;
    }
    let text = parts[0] as string;
    for (let i = 1; i < parts.length; i++) text += `,${parts[i]}`;
    return this.#primitive(`{${text}}`);
  }
}

function isIndex(key: string): boolean {
  const number = +key;
  return number >= 0 && number <= LAST_INDEX && number % 1 === 0 && numberToString(number) === key;
}

function isOwnData(value: object, key: string): boolean {
  const descriptor = getOwnPropertyDescriptor(value, key);
  return descriptor !== undefined && hasOwnValue(descriptor);
}

/** The class of the realm's own that an error is of. */
function errorType(value: object): string {
  let proto = getPrototypeOf(value);
  for (let i = 0; i < LONGEST_CHAIN && proto !== null && !isProxy(proto); i++) {
    const type = nameOfErrorPrototype.get(proto);
    if (type !== undefined) return type;
    proto = getPrototypeOf(proto);
  }
  return "Error";
}

/** A property that is plain data, own or inherited. */
function inheritedValue(value: object, key: string): unknown {
  let object: object | null = value;
  for (let i = 0; i < LONGEST_CHAIN && object !== null && !isProxy(object); i++) {
    if (hasOwn(object, key)) return ownValue(object, key);
    object = getPrototypeOf(object);
  }
  return undefined;
}

/** A stack without the kernel's own frames, which tell no place (engine/worker/guest-bytecode.ts), and how these call guest code. */
function withoutKernel(stack: string): string {
  let kept = "";
  let above = "";
  for (let at = 0; at < stack.length; ) {
    const end = indexOf(stack, "\n", at);
    const line = slice(stack, at, end < 0 ? stack.length : end);
    if (!isKernelFrame(line)) kept += `${line}\n`;
    else if (isKernelsCall(above)) kept = slice(kept, 0, kept.length - above.length - 1);
    above = line;
    at += line.length + 1;
  }
  return kept;
}
