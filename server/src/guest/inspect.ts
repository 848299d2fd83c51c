/**
 * Renders a value for people, in the manner of Node's util.inspect, within a bound on depth, items and length.
 *
 * Only looks: no getter, no proxy trap, no method of the guest runs.
 */

import { domExceptionText } from "./dom-exceptions.js";
import { isPromise } from "./host.js";
import {
  ArrayPrototype,
  arrayBufferLength,
  bigintToString,
  dateToIso,
  dateValue,
  ErrorPrototype,
  FunctionPrototype,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwnValue,
  isArray,
  isFiniteNumber,
  mapForEach,
  mapSize,
  numberToString,
  ObjectPrototype,
  ownKeys,
  ownValue,
  regexpFlags,
  regexpSource,
  setForEach,
  setSize,
  slice,
  stringify,
  symbolToString,
  toLowerCase,
  typedArrayLength,
  typedArrayTag,
} from "./intrinsics.js";
import { isProxy } from "./proxies.js";

const MAXIMUM_ITEMS = 100;
const MAXIMUM_STRING = 10_000;
const LARGE_BIGINT = 2n ** 4096n;
const CHAIN_LIMIT = 100;

/** @param limit the most UTF-16 units of the result; what is longer ends in an ellipsis */
export function inspect(value: unknown, limit: number, depth = 2): string {
  const text = typeof value === "string" ? quoted(value) : render(value, depth, limit);
  return text.length > limit ? `${slice(text, 0, limit - 1)}…` : text;
}

function quoted(text: string): string {
  const cut = text.length > MAXIMUM_STRING;
  const body = stringify(cut ? slice(text, 0, MAXIMUM_STRING) : text);
  return cut ? `${body}… ${text.length - MAXIMUM_STRING} more characters` : body;
}

function render(value: unknown, depth: number, limit: number): string {
  switch (typeof value) {
    case "string":
      return quoted(value);
    case "bigint":
      // Writing out a large one takes the engine longer than anybody would wait.
      return value < LARGE_BIGINT && value > -LARGE_BIGINT ? `${bigintToString(value)}n` : "[BigInt]";
    case "symbol":
      return symbolToString(value);
    case "number":
      return value === 0 && 1 / value < 0 ? "-0" : numberToString(value);
    case "function":
      return isProxy(value) ? "[Proxy]" : functionLabel(value);
    case "object":
      return value === null ? "null" : isProxy(value) ? "[Proxy]" : renderObject(value, depth, limit);
    default:
      return value === undefined ? "undefined" : value === true ? "true" : "false";
  }
}

function functionLabel(value: object): string {
  const name = ownValue(value, "name");
  const kind = className(value);
  const label = kind === "" || kind === "Function" ? "Function" : kind;
  return typeof name === "string" && name !== "" ? `[${label}: ${slice(name, 0, 100)}]` : `[${label} (anonymous)]`;
}

function renderObject(value: object, depth: number, limit: number): string {
  if (isError(value)) return errorText(value);
  const brand = brandOf(value);
  if (brand === "Date") {
    return isFiniteNumber(dateValue(value)) ? dateToIso(value) : "Invalid Date";
  }
  if (brand === "RegExp") return `/${regexpSource(value)}/${regexpFlags(value)}`;
  const name = className(value);
  const label = name === "" ? "[Object: null prototype]" : name;
  if (isArray(value)) return renderItems(value, depth, limit, "[", "]", label === "Array" ? "" : `${label} `);
  if (depth < 0) return `[${label}]`;
  if (brand === "Map") return renderMap(value, depth, limit, `${label}(${mapSize(value)}) `);
  if (brand === "Set") return renderSet(value, depth, limit, `${label}(${setSize(value)}) `);
  if (brand === "Promise") return "Promise {}";
  if (brand === "ArrayBuffer") return `ArrayBuffer { byteLength: ${arrayBufferLength(value)} }`;
  if (typedArrayTag(value) !== undefined) {
    return renderItems(value, depth, limit, "[", "]", `${label}(${typedArrayLength(value)}) `);
  }
  return renderItems(value, depth, limit, "{", "}", label === "Object" ? "" : `${label} `);
}

/** Items of an array or properties of an object, own and enumerable; accessors are named, not run. */
function renderItems(value: object, depth: number, limit: number, open: string, close: string, label: string): string {
  const asList = open === "[";
  if (depth < 0) return asList ? `[${label === "" ? "Array" : slice(label, 0, label.length - 1)}]` : `[Object]`;
  const keys = ownKeys(value);
  const parts = new Parts(limit);
  for (let i = 0; i < keys.length && parts.open; i++) {
    const key = keys[i] as string | symbol;
    const descriptor = getOwnPropertyDescriptor(value, key);
    if (descriptor === undefined || descriptor.enumerable !== true) continue;
    const shown = hasOwnValue(descriptor) ? render(descriptor.value, depth - 1, limit) : "[Getter]";
    parts.add(asList && isIndex(key) ? shown : `${keyText(key)}: ${shown}`);
  }
  return `${label}${parts.joined(open, close)}`;
}

function renderMap(value: object, depth: number, limit: number, label: string): string {
  const parts = new Parts(limit);
  mapForEach(value, (item, key) => {
    if (parts.open) parts.add(`${render(key, depth - 1, limit)} => ${render(item, depth - 1, limit)}`);
  });
  return `${label}${parts.joined("{", "}")}`;
}

function renderSet(value: object, depth: number, limit: number, label: string): string {
  const parts = new Parts(limit);
  setForEach(value, (item) => {
    if (parts.open) parts.add(render(item, depth - 1, limit));
  });
  return `${label}${parts.joined("{", "}")}`;
}

/** Collects rendered items until their number or length reaches the bound. */
class Parts {
  readonly #limit: number;
  #inline = "";
  #count = 0;
  #more = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get open(): boolean {
    return this.#more === 0;
  }

  add(text: string): void {
    if (this.#count >= MAXIMUM_ITEMS || this.#inline.length > this.#limit) {
      this.#more++;
      return;
    }
    this.#inline += this.#count === 0 ? text : `, ${text}`;
    this.#count++;
  }

  joined(open: string, close: string): string {
    const rest = this.#more > 0 ? `${this.#count > 0 ? ", " : ""}…` : "";
    const body = this.#inline + rest;
    if (body === "") return open + close;
    return `${open} ${body} ${close}`;
  }
}

function isIndex(key: string | symbol): boolean {
  if (typeof key !== "string" || key === "") return false;
  const number = +key;
  return number >= 0 && number % 1 === 0 && numberToString(number) === key;
}

function keyText(key: string | symbol): string {
  if (typeof key === "symbol") return `[${symbolToString(key)}]`;
  return isPlainName(key) ? key : stringify(key);
}

function isPlainName(key: string): boolean {
  if (key.length === 0 || key.length > 100) return false;
  for (let i = 0; i < key.length; i++) {
    const c = key[i] as string;
    const letter = (c >= "a" && c <= "z") || (c >= "A" && c <= "Z") || c === "_" || c === "$";
    if (!letter && !(i > 0 && c >= "0" && c <= "9")) return false;
  }
  return true;
}

/** The name of the constructor that made an object, as far as data properties tell; empty for a null prototype. */
export function className(value: object): string {
  if (isProxy(value)) return "Proxy";
  let proto = getPrototypeOf(value);
  for (let i = 0; i < CHAIN_LIMIT && proto !== null && !isProxy(proto); i++) {
    const maker = ownValue(proto, "constructor");
    if (typeof maker === "function" && !isProxy(maker)) {
      const name = ownValue(maker, "name");
      if (typeof name === "string" && name !== "") return slice(name, 0, 100);
    }
    if (proto === ObjectPrototype || proto === ArrayPrototype || proto === FunctionPrototype) break;
    proto = getPrototypeOf(proto);
  }
  return proto === null ? "" : "Object";
}

type Brand = "Date" | "RegExp" | "Map" | "Set" | "Promise" | "ArrayBuffer" | "";

/** What the engine itself takes an object for, whatever its prototype says. */
function brandOf(value: object): Brand {
  if (answers(dateValue, value)) return "Date";
  if (answers(mapSize, value)) return "Map";
  if (answers(setSize, value)) return "Set";
  if (isPromise(value)) return "Promise";
  if (answers(arrayBufferLength, value)) return "ArrayBuffer";
  if (ownKeysIncludeLastIndex(value) && answers(regexpSource, value)) return "RegExp";
  return "";
}

/** What `typeof` says, except that null, arrays and the engine's own kinds of objects have names of their own. */
export function typeName(value: unknown): string {
  if (typeof value !== "object") return typeof value;
  if (value === null) return "null";
  if (isProxy(value)) return "object";
  if (isArray(value)) return "array";
  if (isError(value)) return "error";
  const brand = typedArrayTag(value) ?? brandOf(value);
  return brand === "" ? "object" : toLowerCase(brand);
}

function answers(ask: (value: object) => unknown, value: object): boolean {
  try {
    ask(value);
    return true;
  } catch {
    return false;
  }
}

/** RegExp.prototype answers its own `source` too; only real ones own `lastIndex`. */
function ownKeysIncludeLastIndex(value: object): boolean {
  return getOwnPropertyDescriptor(value, "lastIndex") !== undefined;
}

export function isError(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  let proto: object | null = value;
  for (let i = 0; i < CHAIN_LIMIT; i++) {
    if (isProxy(proto)) return false;
    proto = getPrototypeOf(proto);
    if (proto === ErrorPrototype) return true;
    if (proto === null) return false;
  }
  return false;
}

/** A property that is plain data, own or inherited; undefined where a getter or a proxy stands in the way. */
export function dataProperty(value: object, key: PropertyKey): unknown {
  if (key === "name" || key === "message") {
    const text = domExceptionText(value);
    if (text !== undefined) return text[key];
  }
  let object: object | null = value;
  for (let i = 0; i < CHAIN_LIMIT && object !== null && !isProxy(object); i++) {
    const descriptor = getOwnPropertyDescriptor(object, key);
    if (descriptor !== undefined) return hasOwnValue(descriptor) ? descriptor.value : undefined;
    object = getPrototypeOf(object);
  }
  return undefined;
}

/** `Name: message`, as `Error.prototype.toString` would say it. */
function errorText(value: object): string {
  const name = dataProperty(value, "name");
  const message = dataProperty(value, "message");
  const head = typeof name === "string" && name !== "" ? slice(name, 0, 200) : "Error";
  return typeof message === "string" && message !== "" ? `${head}: ${slice(message, 0, MAXIMUM_STRING)}` : head;
}
