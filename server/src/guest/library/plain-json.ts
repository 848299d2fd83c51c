/**
 * Writes values that JSON carries unchanged as JSON text; runs no guest code.
 *
 * First it looks, then the engine writes. Looking asks for each property whether a getter stands behind it, which costs a
 * tenth of asking for its descriptor. Before it looks the host has, by the same rules, and has written most: engine/worker/plain-writer.ts.
 */
import { ClassId } from "../classes.js";
import { NOT_PLAIN } from "../host.js";
import { classOf, writePlain } from "../host-asks.js";
import {
  ArrayPrototype,
  getPrototypeOf,
  hasOwn,
  isArray,
  isFiniteNumber,
  isWellFormed,
  lookupGetter,
  numberToString,
  ObjectPrototype,
  objectKeys,
  SafeMap,
  stringify,
} from "../intrinsics.js";
import { library } from "../libraries.js";
import { globalObject } from "../names.js";
import { DATA_BYTES, DATA_COST, DATA_UNIT_COST } from "../plain-json.js";
import { isProxy } from "../proxies.js";

/** Nesting that every reader of a google.protobuf.Value can follow. */
const DATA_DEPTH = 48;
/** Beyond it a recursive walk would meet the stack limit of the guest. */
const JSON_DEPTH = 200;
/** What it costs at least as JSON text, and each of its UTF-16 units. */
const JSON_COST = 1;

type PlainText = typeof import("./plain-text.js");

const stringifyValue = stringify as (value: unknown) => string;

// What is looked at. Looking never nests, so there is one; and a turn makes no object for it.
let asData = false;
/** Objects met so far: JSON text loses that two places share one. In data for people nobody minds. */
let met: SafeMap<object, true> | undefined;
let room = 0;
/** How deep it is nested. */
let deepest = 0;

/** See ../plain-json.ts. */
export function write(value: unknown, forPeople: boolean, limit: number, looked: number): string | undefined {
  if (looked === 0 && typeof value === "object" && value !== null) {
    const written = writePlain(value, forPeople ? -limit : limit);
    if (typeof written === "string") return written;
    if (written === NOT_PLAIN) return undefined;
  }
  asData = forPeople;
  room = forPeople ? DATA_BYTES : limit;
  met = undefined;
  deepest = 0;
  const isObject = typeof value === "object" && value !== null;
  if (isObject && !forPeople) met = new SafeMap<object, true>();
  const plain = isPlain(value, 0);
  met = undefined;
  if (!plain) return undefined;
  return isObject && mayBeRewritten() ? (library("plain-text") as PlainText).write(value) : stringifyValue(value);
}

function isPlain(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case "string":
      // A google.protobuf.Value cannot hold a lone surrogate, which JSON text escapes.
      return hasRoom(value.length) && (!asData || isWellFormed(value));
    case "number":
      return isFiniteNumber(value) && (value !== 0 || 1 / value > 0) && hasRoom(0);
    case "boolean":
      return hasRoom(0);
    case "object":
      return hasRoom(0) && (value === null || isPlainObject(value, depth));
    default:
      return false;
  }
}

function isPlainObject(value: object, depth: number): boolean {
  if (depth >= (asData ? DATA_DEPTH : JSON_DEPTH) || isProxy(value) || value === globalObject) return false;
  if (depth >= deepest) deepest = depth + 1;
  if (met !== undefined) {
    if (met.has(value)) return false;
    met.set(value, true);
  }
  const proto = getPrototypeOf(value);
  if (isArray(value)) return proto === ArrayPrototype && isPlainArray(value, depth + 1);
  if (proto !== ObjectPrototype || !isOrdinary(value)) return false;
  const keys = objectKeys(value);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    if (!isPlain(key, 0)) return false;
    if (lookupGetter(value, key) !== undefined || !isPlain((value as Record<string, unknown>)[key], depth + 1)) {
      return false;
    }
  }
  return true;
}

/** What was made as something else keeps that in slots, whatever its prototype says; and of some the engine would ask guest code. */
function isOrdinary(value: object): boolean {
  const made = classOf(value);
  return made === ClassId.OBJECT || made === ClassId.ARGUMENTS || made === ClassId.STRICT_ARGUMENTS;
}

/** Indices come first, in order: so if there are as many keys as elements and the last is that of the last, all are there. */
function isPlainArray(value: readonly unknown[], depth: number): boolean {
  const keys = objectKeys(value);
  const length = value.length;
  if (keys.length !== length || (length > 0 && keys[length - 1] !== numberToString(length - 1))) return false;
  for (let i = 0; i < length; i++) {
    if (lookupGetter(value, i) !== undefined || !isPlain(value[i], depth)) return false;
  }
  return true;
}

function hasRoom(units: number): boolean {
  room -= asData ? DATA_COST + units * DATA_UNIT_COST : JSON_COST + units;
  return room >= 0;
}

/** The engine would ask guest code how to write an object, or show it what it writes. */
function mayBeRewritten(): boolean {
  if (
    hasOwn(ObjectPrototype, "toJSON") ||
    hasOwn(ArrayPrototype, "toJSON") ||
    getPrototypeOf(ArrayPrototype) !== ObjectPrototype
  )
    return true;
  // What it is within it puts into an array, where setters of these indices would see it.
  for (let i = 0; i < deepest; i++) if (i in ArrayPrototype) return true;
  return false;
}
