/** Renders one value and what is inside it, in the manner of Node's util.inspect. */
import { ClassId } from "../../classes.js";
import { bufferParts, viewParts } from "./binary.js";
import {
  bigintToString,
  classOf,
  dateToIso,
  dateValue,
  getOwnPropertyDescriptor,
  isArray,
  isError,
  isFiniteNumber,
  isProxy,
  list,
  mapSize,
  numberToString,
  ownKeys,
  regexpFlags,
  regexpSource,
  setSize,
  slice,
  typedArrayLength,
  typedArrayTag,
} from "./captured.js";
import { arrayParts, mapParts, promiseParts, propertyParts, setParts, typedArrayParts } from "./contents.js";
import type { Context } from "./context.js";
import { errorKeys, errorText } from "./errors.js";
import { joined } from "./layout.js";
import { constructorName, functionLabel, prefixOf, tagOf } from "./names.js";
import { boxed } from "./primitives.js";
import { isIndex, quotedLines, symbolText } from "./text.js";

const LARGE_BIGINT = 2n ** 4096n;
/** Arrays longer than this are not searched for properties beside their items: the engine would list all their indices. */
const LONGEST_SEARCHED = 10_000;

/** @param level of nesting, 0 for the outermost */
export function render(context: Context, value: unknown, level: number): string {
  if (typeof value === "function" || (typeof value === "object" && value !== null)) {
    return renderObject(context, value, level);
  }
  const text = renderPrimitive(context, value);
  context.spent += text.length;
  return text;
}

function renderPrimitive(context: Context, value: unknown): string {
  switch (typeof value) {
    case "string":
      return quotedLines(value, context.singleLine ? 1 / 0 : context.width, context.indentation);
    case "number":
      return numberText(value);
    case "bigint":
      return bigintText(value);
    case "symbol":
      return symbolText(value);
    default:
      return value === undefined ? "undefined" : value === null ? "null" : value === true ? "true" : "false";
  }
}

export function numberText(value: number): string {
  return value === 0 && 1 / value < 0 ? "-0" : numberToString(value);
}

/** Writing out a large one takes the engine longer than anybody would wait. */
export function bigintText(value: bigint): string {
  return value < LARGE_BIGINT && value > -LARGE_BIGINT ? `${bigintToString(value)}n` : "[BigInt]";
}

function renderObject(context: Context, value: object, level: number): string {
  if (isProxy(value)) {
    context.spent += 7;
    return "[Proxy]";
  }
  for (let i = 0; i < context.open.length; i++) if (context.open[i] === value) return circularReference(context, value);
  const shape = shapeOf(context, value, level);
  const isEmpty = shape.parts === undefined && shape.keys.length === 0;
  if (isEmpty) {
    const text = shape.base === "" ? shape.open + shape.close : shape.base;
    context.spent += text.length;
    return text;
  }
  if (level > context.depth) {
    context.spent += shape.label.length;
    return shape.label;
  }
  return renderContents(context, value, level, shape);
}

function circularReference(context: Context, value: object): string {
  let number = context.circular.get(value);
  if (number === undefined) {
    number = context.circular.size + 1;
    context.circular.set(value, number);
  }
  return `[Circular *${number}]`;
}

function renderContents(context: Context, value: object, level: number, shape: Shape): string {
  context.open[context.open.length] = value;
  context.lastLevel = level;
  const parts = list<string>();
  const items = shape.parts?.(parts);
  propertyParts(context, value, shape.keys, parts, level);
  context.open.length--;
  let base = shape.base;
  const number = context.circular.get(value);
  if (number !== undefined) base = base === "" ? `<ref *${number}>` : `<ref *${number}> ${base}`;
  const text = joined(context, parts, base, shape.open, shape.close, items, level);
  context.spent += shape.open.length + base.length + 4;
  return text;
}

/** Adds the parts of a value that are no properties; gives the items they show if they are those of a list. */
type Parts = (into: string[]) => readonly unknown[] | undefined;

/** How a kind of object is written; what absent fields would say is said by empty ones. */
interface Shape {
  /** What stands before the braces, or alone where there is nothing to put between them. */
  readonly base: string;
  readonly open: string;
  readonly close: string;
  /** Undefined where properties are all there is to show. */
  readonly parts: Parts | undefined;
  readonly keys: readonly (string | symbol)[];
  /** What stands for the object where it is nested too deep. */
  readonly label: string;
}

function shapeOf(context: Context, value: object, level: number): Shape {
  const className = constructorName(value, (prototype) => describePrototype(context, prototype, level));
  const tag = tagOf(value);
  const prefix = (fallback: string, size?: number): string =>
    prefixOf(className, tag, fallback, size === undefined ? "" : `(${size})`);
  const name = prefix("Object");
  const label = className === null ? slice(name, 0, name.length - 1) : `[${slice(name, 0, name.length - 1)}]`;
  const shape = (
    open: string,
    close: string,
    parts: Parts | undefined,
    keys = keysOf(context, value, false),
  ): Shape => ({
    base: "",
    open,
    close,
    parts,
    keys,
    label,
  });
  const based = (base: string, keys = keysOf(context, value, false)): Shape => ({
    base,
    open: "{",
    close: "}",
    parts: undefined,
    keys,
    label,
  });

  if (isArray(value)) {
    const start = className !== "Array" || tag !== "" ? prefix("Array", value.length) : "";
    const keys = value.length > LONGEST_SEARCHED ? list<string>() : keysOf(context, value, true);
    const parts: Parts = (into) => arrayParts(context, value, into, level);
    return shape(`${start}[`, "]", value.length === 0 ? undefined : parts, keys);
  }
  if (typeof value === "function") return based(functionLabel(value, className, tag));
  if (isError(value))
    return based(errorText(context, value, className, tag), errorKeys(value, keysOf(context, value, false)));

  const view = typedArrayTag(value);
  if (view !== undefined) {
    const length = typedArrayLength(value);
    const keys = length > LONGEST_SEARCHED ? list<string>() : keysOf(context, value, true);
    const parts: Parts = (into) => typedArrayParts(context, value, into);
    return shape(`${prefix(view, length)}[`, "]", length === 0 ? undefined : parts, keys);
  }
  const classId = classOf(value);
  switch (classId) {
    case ClassId.SET: {
      const parts: Parts = (into) => setParts(context, value, into, level);
      return shape(`${prefix("Set", setSize(value))}{`, "}", setSize(value) === 0 ? undefined : parts);
    }
    case ClassId.MAP: {
      const parts: Parts = (into) => mapParts(context, value, into, level);
      return shape(`${prefix("Map", mapSize(value))}{`, "}", mapSize(value) === 0 ? undefined : parts);
    }
    case ClassId.DATE: {
      const text = isFiniteNumber(dateValue(value)) ? dateToIso(value) : "Invalid Date";
      return based(className === "Date" && tag === "" ? text : prefix("Date") + text);
    }
    case ClassId.REGEXP: {
      const text = `/${regexpSource(value)}/${regexpFlags(value)}`;
      return based(className === "RegExp" && tag === "" ? text : prefix("RegExp") + text);
    }
    case ClassId.PROMISE:
      return shape(`${prefix("Promise")}{`, "}", (into) => promiseParts(context, value, into, level));
    case ClassId.ARRAY_BUFFER:
      return shape(`${prefix("ArrayBuffer")}{`, "}", (into) => bufferParts(context, value, into));
    case ClassId.DATA_VIEW:
      return shape(`${prefix("DataView")}{`, "}", (into) => viewParts(context, value, into, level));
    case ClassId.WEAK_MAP:
      return shape(`${prefix("WeakMap")}{`, "}", unknownItems);
    case ClassId.WEAK_SET:
      return shape(`${prefix("WeakSet")}{`, "}", unknownItems);
    case ClassId.ARGUMENTS:
    case ClassId.STRICT_ARGUMENTS:
      return shape("[Arguments] {", "}", undefined);
  }
  const box = boxed(value, classId, className, tag);
  if (box !== undefined) return based(box, keysOf(context, value, classId === ClassId.STRING));
  if (className === null && tag === "Module") return shape(`[${tag}: null prototype] {`, "}", undefined);
  return shape(className === "Object" && tag === "" ? "{" : `${prefix("Object")}{`, "}", undefined);
}

/** @param level of what inherits from it: a chain of prototypes is followed no deeper than a value */
function describePrototype(context: Context, prototype: object, level: number): string {
  if (level > context.depth) return "Complex prototype";
  const name = constructorName(prototype, (next) => describePrototype(context, next, level + 1));
  if (name !== null) return name;
  return keysOf(context, prototype, false).length === 0 ? "[Object: null prototype] {}" : "[Object: null prototype]";
}

const unknownItems: Parts = (into) => {
  into[0] = "<items unknown>";
  return undefined;
};

/** Own keys to be shown, strings before symbols. @param isList leaves indices out, which are items */
function keysOf(context: Context, value: object, isList: boolean): (string | symbol)[] {
  const all = ownKeys(value);
  const keys = list<string | symbol>();
  for (let i = 0; i < all.length; i++) {
    const key = all[i] as string | symbol;
    if (isList && isIndex(key)) continue;
    if (context.showHidden || getOwnPropertyDescriptor(value, key)?.enumerable === true) keys[keys.length] = key;
  }
  return keys;
}
