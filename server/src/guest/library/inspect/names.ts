/** What stands before the braces: the class of an object, its toStringTag, and what a function is called. */
import {
  dataProperty,
  functionToString,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  indexOf,
  isProxy,
  slice,
  toStringTag,
} from "./captured.js";

const CHAIN_LIMIT = 100;
const NAME_LIMIT = 200;

/** An own property that is plain data; undefined for an accessor. */
export function ownData(value: object, key: PropertyKey): unknown {
  const descriptor = getOwnPropertyDescriptor(value, key);
  return descriptor === undefined || !isData(descriptor) ? undefined : descriptor.value;
}

/** A descriptor of the engine owns either `value` or `get` and `set`. */
export function isData(descriptor: PropertyDescriptor): boolean {
  return getOwnPropertyDescriptor(descriptor, "value") !== undefined;
}

/**
 * The name of the nearest class in the prototype chain that the object is an instance of; null when it has no prototype.
 * @param describe names a prototype that belongs to no class
 */
export function constructorName(value: object, describe: (prototype: object) => string): string | null {
  let holder: object | null = value;
  for (let i = 0; i < CHAIN_LIMIT && holder !== null && !isProxy(holder); i++) {
    const maker = ownData(holder, "constructor");
    if (typeof maker === "function" && !isProxy(maker)) {
      const name = ownData(maker, "name");
      if (typeof name === "string" && name !== "" && isInstance(value, maker)) return slice(name, 0, NAME_LIMIT);
    }
    holder = getPrototypeOf(holder);
  }
  const prototype = getPrototypeOf(value);
  if (prototype === null) return null;
  return isProxy(prototype) ? "Object" : `Object <${describe(prototype)}>`;
}

function isInstance(value: object, maker: object): boolean {
  const prototype = ownData(maker, "prototype");
  if ((typeof prototype !== "object" && typeof prototype !== "function") || prototype === null) return false;
  let holder = getPrototypeOf(value);
  for (let i = 0; i < CHAIN_LIMIT && holder !== null; i++) {
    if (holder === prototype) return true;
    if (isProxy(holder)) return false;
    holder = getPrototypeOf(holder);
  }
  return false;
}

/** The object's `Symbol.toStringTag`; empty where it has none, or shows it anyhow as a property of its own. */
export function tagOf(value: object): string {
  const own = getOwnPropertyDescriptor(value, toStringTag);
  if (own !== undefined && own.enumerable === true) return "";
  const tag = dataProperty(value, toStringTag);
  return typeof tag === "string" ? slice(tag, 0, NAME_LIMIT) : "";
}

/** `Name `, `Name [tag] `, or `[fallback: null prototype] `; ends in a space. */
export function prefixOf(className: string | null, tag: string, fallback: string, size = ""): string {
  if (className === null) {
    const label = `[${fallback}${size}: null prototype] `;
    return tag !== "" && tag !== fallback ? `${label}[${tag}] ` : label;
  }
  return tag !== "" && tag !== className ? `${className}${size} [${tag}] ` : `${className}${size} `;
}

/** `[Function: name]`, `[class A extends B]` and their relatives. */
export function functionLabel(value: object, className: string | null, tag: string): string {
  if (isClass(value)) return classLabel(value, className, tag);
  const kind =
    className === "AsyncFunction" || className === "GeneratorFunction" || className === "AsyncGeneratorFunction"
      ? className
      : "Function";
  const name = ownData(value, "name");
  let label = `[${kind}${className === null ? " (null prototype)" : ""}`;
  label += typeof name === "string" && name !== "" ? `: ${slice(name, 0, NAME_LIMIT)}]` : " (anonymous)]";
  if (className !== null && className !== kind) label += ` ${className}`;
  return tag !== "" && tag !== className ? `${label} [${tag}]` : label;
}

function classLabel(value: object, className: string | null, tag: string): string {
  const name = ownData(value, "name");
  let label = `class ${typeof name === "string" && name !== "" ? slice(name, 0, NAME_LIMIT) : "(anonymous)"}`;
  if (className !== null && className !== "Function") label += ` [${className}]`;
  if (tag !== "" && tag !== className) label += ` [${tag}]`;
  if (className === null) return `[${label} extends null]`;
  const base = getPrototypeOf(value);
  const baseName = base === null || isProxy(base) ? "" : ownData(base, "name");
  return typeof baseName === "string" && baseName !== "" ? `[${label} extends ${baseName}]` : `[${label}]`;
}

/** Only of classes and of built-in constructors is the prototype read-only; and only classes have a source. */
function isClass(value: object): boolean {
  const prototype = getOwnPropertyDescriptor(value, "prototype");
  if (prototype === undefined || !isData(prototype) || prototype.writable !== false) return false;
  return indexOf(slice(functionToString(value), 0, 5), "class") === 0;
}
