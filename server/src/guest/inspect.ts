/**
 * What kind of value something is, and how it looks to people. Only looks: no getter, no proxy trap, no method of the
 * guest runs. What is quickly said is said here; the rest by the library `inspect`.
 */

import { ClassId } from "./classes.js";
import { domExceptionText } from "./dom-exceptions.js";
import { classOf } from "./host-asks.js";
import {
  ArrayPrototype,
  ErrorPrototype,
  FunctionPrototype,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwn,
  isArray,
  numberToString,
  ObjectPrototype,
  ownKeys,
  slice,
} from "./intrinsics.js";
import { library } from "./libraries.js";
import { bigintToString, symbolToString, toLowerCase, typedArrayTag } from "./methods.js";
import { hasOwnValue, ownValue } from "./properties.js";
import { isProxy } from "./proxies.js";

const CHAIN_LIMIT = 100;
/** Beyond it, turning a number into text takes longer than anybody would wait. */
const LARGE_BIGINT = 2n ** 64n;
/** A function that owns more than its length and name, and maybe its prototype, has something to show. */
const FUNCTION_KEYS = 2;

/** The exports of library/inspect.ts. */
interface InspectLibrary {
  preview(value: unknown, limit: number, depth: number): string;
  write(level: string, values: readonly unknown[]): void;
  callMethod(name: string, values: readonly unknown[]): void;
}

export function inspectLibrary(): InspectLibrary {
  return library("inspect") as unknown as InspectLibrary;
}

/**
 * A preview, on one line.
 *
 * @param limit the most UTF-16 units of the result; what is longer ends in an ellipsis
 * @param depth levels of nesting that are shown
 */
export function inspect(value: unknown, limit: number, depth = 2): string {
  const text = simpleText(value) ?? inspectLibrary().preview(value, limit, depth);
  return text.length > limit ? `${slice(text, 0, limit - 1)}…` : text;
}

/** What needs no library: primitives but strings, and plain functions. */
export function simpleText(value: unknown): string | undefined {
  switch (typeof value) {
    case "undefined":
      return "undefined";
    case "boolean":
      return value ? "true" : "false";
    case "number":
      return value === 0 && 1 / value < 0 ? "-0" : numberToString(value);
    case "bigint":
      return value < LARGE_BIGINT && value > -LARGE_BIGINT ? `${bigintToString(value)}n` : undefined;
    case "symbol":
      return symbolToString(value);
    case "function":
      return isProxy(value) ? "[Proxy]" : plainFunctionText(value);
    default:
      return value === null ? "null" : undefined;
  }
}

/** Not of classes, whose prototype is read-only, nor of async and generator functions, which inherit from others. */
function plainFunctionText(value: object): string | undefined {
  if (getPrototypeOf(value) !== FunctionPrototype) return undefined;
  const prototype = getOwnPropertyDescriptor(value, "prototype");
  // One that was given, as any property can be, is shown.
  if (prototype !== undefined) {
    const isOwn = hasOwnValue(prototype) && prototype.writable === true && prototype.enumerable !== true;
    if (!isOwn) return undefined;
  }
  const expected = prototype === undefined ? FUNCTION_KEYS : FUNCTION_KEYS + 1;
  if (ownKeys(value).length !== expected || !hasOwn(value, "name") || !hasOwn(value, "length")) return undefined;
  const name = ownValue(value, "name");
  return typeof name === "string" && name !== "" ? `[Function: ${slice(name, 0, 100)}]` : "[Function (anonymous)]";
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

/** Kinds that have names of their own. */
function brandOf(value: object): string {
  switch (classOf(value)) {
    case ClassId.DATE:
      return "date";
    case ClassId.REGEXP:
      return "regexp";
    case ClassId.MAP:
      return "map";
    case ClassId.SET:
      return "set";
    case ClassId.PROMISE:
      return "promise";
    case ClassId.ARRAY_BUFFER:
      return "arraybuffer";
    default:
      return "object";
  }
}

/** What `typeof` says, except that null, arrays and the engine's own kinds of objects have names of their own. */
export function typeName(value: unknown): string {
  if (typeof value !== "object") return typeof value;
  if (value === null) return "null";
  if (isProxy(value)) return "object";
  if (isArray(value)) return "array";
  if (isError(value)) return "error";
  const array = typedArrayTag(value);
  return array === undefined ? brandOf(value) : toLowerCase(array);
}

/** An error of the engine's, or whatever inherits from Error. */
export function isError(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  if (classOf(value) === ClassId.ERROR) return true;
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
