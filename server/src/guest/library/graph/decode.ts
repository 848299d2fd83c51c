/**
 * Reads a graph. Its text is anybody's: whatever it says, no guest code runs and nothing but the value comes of it.
 *
 * The nodes that JSON.parse gives become the arrays and objects of the value themselves, filled in place: writing to a
 * property that is there already meets no setter of the guest.
 */
import { holdsHandle, valueOfHandle } from "../../handle-lookup.js";
import { fromBase64 } from "../../host-asks.js";
import {
  apply,
  construct,
  create,
  defineProperty,
  deleteProperty,
  hasOwn,
  isArray,
  isFiniteNumber,
  jsonParse,
  KernelError,
  objectKeys,
  SafeMap,
  setPrototypeOf,
  slice,
  stringify,
} from "../../intrinsics.js";
import { dateToIso, dateValue } from "../../methods.js";
import { originals } from "../../originals.js";
import { createList, type List } from "./list.js";
import { errorPrototypeOfName, viewOfName } from "./names.js";
import { HOLE, INFINITE, NAN, NEGATIVE_INFINITE, NEGATIVE_ZERO, SPARSE, UNDEFINED } from "./special.js";

/** The text is no graph. */
export class Malformed {
  constructor(readonly why: string) {}
}

/** A handle in it names nothing; nothing was made of the value. */
export class MissingHandle {
  constructor(readonly id: string) {}
}

const LONGEST_ARRAY = 4_294_967_295;

type Node = Record<string | number, unknown> & { length?: number };

/**
 * The value that a graph tells.
 *
 * @throws Malformed, MissingHandle
 */
export function decodeGraph(text: string): unknown {
  try {
    const nodes = jsonParse(text);
    if (typeof nodes === "number") return special(nodes);
    if (!isArray(nodes)) throw new Malformed("it is no array");
    return new Reader(nodes).read();
  } catch (error) {
    if (error instanceof Malformed || error instanceof MissingHandle) throw error;
    throw new Malformed("it is no JSON, or names what cannot be made");
  }
}

class Reader {
  readonly #nodes: readonly unknown[];
  /** What each node stands for: empty at first where it holds others. */
  readonly #values: List<unknown> = createList();
  /** Values that were asked for before it was their turn. */
  readonly #early = new SafeMap<number, unknown>();
  /** Errors and arrays with properties, which are finished last. */
  readonly #late: List<number> = createList();

  constructor(nodes: readonly unknown[]) {
    this.#nodes = nodes;
  }

  read(): unknown {
    const count = this.#nodes.length;
    if (count === 0) throw new Malformed("it has no nodes");
    for (let i = 0; i < count; i++) this.#values[i] = this.#early.has(i) ? this.#early.get(i) : this.#empty(i);
    for (let i = 0; i < count; i++) this.#fill(i);
    for (let i = 0; i < this.#late.length; i++) this.#finish(this.#late[i] as number);
    return this.#values[0];
  }

  /** What an array or a buffer, wherever it stands, will be. */
  #ahead(index: number): unknown {
    if (index < this.#values.length) return this.#values[index];
    if (!this.#early.has(index)) this.#early.set(index, this.#empty(index));
    return this.#early.get(index);
  }

  #empty(index: number): unknown {
    const node = this.#nodes[index];
    if (typeof node !== "object" || node === null || !isArray(node) || node.length === 0) return node;
    if (typeof node[0] === "string") return this.#emptyOf(index, node[0], node as unknown as Node);
    return node[0] === SPARSE ? this.#emptySparse(node) : node;
  }

  #emptySparse(node: readonly unknown[]): unknown[] {
    const length = node.length > 1 ? node[1] : undefined;
    if (typeof length !== "number" || !isBelow(length, LONGEST_ARRAY + 1) || node.length % 2 !== 0) {
      throw new Malformed("a sparse array has no length, or an index without a value");
    }
    const array: unknown[] = [];
    array.length = length;
    return array;
  }

  #emptyOf(index: number, type: string, node: Node): unknown {
    switch (type) {
      case "Date":
        return dateOf(textAt(node, 1));
      case "BigInt":
        return bigintOf(textAt(node, 1));
      case "RegExp":
        return regexpOf(node);
      case "ArrayBuffer":
        return bufferOf(textAt(node, 1));
      case "Object":
        return this.#boxed(node);
      case "Map":
        return construct(originals.Map, []);
      case "Set":
        return construct(originals.Set, []);
      case "null":
        return create(null);
      case "Error":
        this.#late[this.#late.length] = index;
        return this.#emptyError(node);
      case "Array":
        this.#late[this.#late.length] = index;
        return this.#emptyArray(node);
      case "Handle":
        return handleOf(textAt(node, 1));
      default:
        return this.#view(type, node);
    }
  }

  #boxed(node: Node): unknown {
    const index = elementAt(node, 1);
    const value = typeof index === "number" && index < 0 ? special(index) : this.#raw(index);
    const isBigint = isArray(value) && value.length > 0 && value[0] === "BigInt";
    if (isBigint) return apply(originals.Object, undefined, [bigintOf(textAt(value as unknown as Node, 1))]);
    if (value === null || value === undefined || typeof value === "object") {
      throw new Malformed("an Object must be of a string, a number, a boolean or a BigInt");
    }
    return apply(originals.Object, undefined, [value]);
  }

  #emptyError(node: Node): object {
    const told = this.#record(elementAt(node, 1));
    const type = hasOwn(told, "type") ? this.#raw(told.type) : "Error";
    const proto = typeof type === "string" ? errorPrototypeOfName.get(type) : undefined;
    if (proto === undefined) throw new Malformed("an Error has a type that is not known");
    const error = construct(KernelError, []) as object;
    setPrototypeOf(error, proto);
    define(error, "stack", "", false);
    return error;
  }

  #emptyArray(node: Node): unknown {
    const place = elementAt(node, 1);
    const items = this.#raw(place);
    if (!isArray(items) || (items.length > 0 && typeof items[0] === "string")) {
      throw new Malformed("an Array must be of an array");
    }
    this.#record(elementAt(node, 2));
    return this.#ahead(place as number);
  }

  #view(type: string, node: Node): unknown {
    const View = viewOfName.get(type);
    if (View === undefined) throw new Malformed(`${stringify(slice(type, 0, 40))} is no type`);
    const place = elementAt(node, 1);
    const raw = this.#raw(place);
    if (!isArray(raw) || raw.length === 0 || raw[0] !== "ArrayBuffer") {
      throw new Malformed(`a ${type} must be of an ArrayBuffer`);
    }
    const buffer = this.#ahead(place as number);
    const length = node.length ?? 0;
    if (length === 2) return construct(View as never, [buffer]);
    const offset = elementAt(node, 2);
    const count = elementAt(node, 3);
    if (!isCount(offset) || !isCount(count)) throw new Malformed(`a ${type} lies outside its buffer`);
    return construct(View as never, [buffer, offset, count]);
  }

  #raw(index: unknown): unknown {
    if (typeof index !== "number" || !isBelow(index, this.#nodes.length)) throw new Malformed("it names no node");
    return this.#nodes[index];
  }

  #record(index: unknown): Record<string, unknown> {
    const node = this.#raw(index);
    if (typeof node !== "object" || node === null || isArray(node)) throw new Malformed("a node should be an object");
    return node as Record<string, unknown>;
  }

  #value(reference: unknown): unknown {
    if (typeof reference !== "number") throw new Malformed("a node holds what is no index");
    if (reference < 0) return special(reference);
    if (!isBelow(reference, this.#nodes.length)) throw new Malformed("it names no node");
    return this.#values[reference];
  }

  #fill(index: number): void {
    const node = this.#nodes[index];
    if (typeof node !== "object" || node === null) return;
    if (!isArray(node)) {
      const keys = objectKeys(node);
      for (let i = 0; i < keys.length; i++) {
        const key = keys[i] as string;
        (node as Record<string, unknown>)[key] = this.#value((node as Record<string, unknown>)[key]);
      }
    } else if (node.length > 0 && typeof node[0] === "string") {
      this.#fillOf(node[0], node, this.#values[index]);
    } else if (node.length > 0 && node[0] === SPARSE) {
      this.#fillSparse(node, this.#values[index] as unknown[]);
    } else {
      for (let i = 0; i < node.length; i++) {
        if (node[i] === HOLE) deleteProperty(node, i);
        else node[i] = this.#value(node[i]);
      }
    }
  }

  #fillOf(type: string, node: readonly unknown[], value: unknown): void {
    switch (type) {
      case "Set":
        for (let i = 1; i < node.length; i++) apply(originals.setAdd as never, value, [this.#value(node[i])]);
        break;
      case "Map":
        if (node.length % 2 === 0) throw new Malformed("a Map has a key without a value");
        for (let i = 1; i < node.length; i += 2) {
          apply(originals.mapSet as never, value, [this.#value(node[i]), this.#value(node[i + 1])]);
        }
        break;
      case "null":
        if (node.length % 2 === 0) throw new Malformed("an object has a key without a value");
        for (let i = 1; i < node.length; i += 2) {
          const key = node[i];
          if (typeof key !== "string") throw new Malformed("an object has a key that is no string");
          (value as Record<string, unknown>)[key] = this.#value(node[i + 1]);
        }
        break;
    }
  }

  #fillSparse(node: readonly unknown[], array: unknown[]): void {
    for (let i = 2; i < node.length; i += 2) {
      const place = node[i];
      if (typeof place !== "number" || !isBelow(place, array.length)) {
        throw new Malformed("a sparse array has an element outside its length");
      }
      define(array, place, this.#value(node[i + 1]), true);
    }
  }

  #finish(index: number): void {
    const node = this.#nodes[index] as unknown as Node;
    if (node[0] === "Error") {
      this.#finishError(this.#record(node[1]), this.#values[index] as object);
    } else {
      this.#assign(this.#values[index] as object, this.#record(node[2]));
    }
  }

  /** @param told about the error, its values in place already */
  #finishError(told: Record<string, unknown>, error: object): void {
    if (hasOwn(told, "name")) define(error, "name", stringOf(told.name), false);
    if (hasOwn(told, "message")) define(error, "message", stringOf(told.message), false);
    if (hasOwn(told, "stack")) define(error, "stack", stringOf(told.stack), false);
    if (hasOwn(told, "cause")) define(error, "cause", told.cause, false);
    if (hasOwn(told, "errors")) define(error, "errors", told.errors, false);
    if (!hasOwn(told, "properties")) return;
    const { properties } = told;
    if (typeof properties !== "object" || properties === null || isArray(properties)) {
      throw new Malformed("the properties of an Error must be an object");
    }
    this.#assign(error, properties as Record<string, unknown>);
  }

  #assign(target: object, properties: Record<string, unknown>): void {
    const keys = objectKeys(properties);
    for (let i = 0; i < keys.length; i++) define(target, keys[i] as string, properties[keys[i] as string], true);
  }
}

function special(reference: number): unknown {
  switch (reference) {
    case UNDEFINED:
      return undefined;
    case NAN:
      return 0 / 0;
    case INFINITE:
      return 1 / 0;
    case NEGATIVE_INFINITE:
      return -1 / 0;
    case NEGATIVE_ZERO:
      return -0;
    default:
      throw new Malformed("a negative number that stands for no value");
  }
}

function define(target: object, key: PropertyKey, value: unknown, enumerable: boolean): void {
  const descriptor = { __proto__: null, value, writable: true, enumerable, configurable: true } as PropertyDescriptor;
  if (!defineProperty(target, key, descriptor)) throw new Malformed("a property cannot be set");
}

function handleOf(id: string): unknown {
  if (!holdsHandle(id)) throw new MissingHandle(id);
  return valueOfHandle(id);
}

function dateOf(text: string): unknown {
  if (text === "") return construct(originals.Date, [0 / 0]);
  const date = construct(originals.Date, [text]) as object;
  const isExact = isFiniteNumber(dateValue(date)) && dateToIso(date) === text;
  if (!isExact) throw new Malformed("a Date must be as toISOString writes it");
  return date;
}

function bigintOf(text: string): unknown {
  const start = slice(text, 0, 1) === "-" ? 1 : 0;
  let isNumber = text.length > start;
  for (let i = start; i < text.length && isNumber; i++) {
    const digit = text[i] as string;
    isNumber = digit >= "0" && digit <= "9";
  }
  if (!isNumber) throw new Malformed("a BigInt must be decimal digits");
  return apply(originals.BigInt as never, undefined, [text]);
}

function regexpOf(node: Node): unknown {
  const length = node.length ?? 0;
  const flags = length > 2 ? textAt(node, 2) : "";
  const regexp = construct(originals.RegExp, [textAt(node, 1), flags]) as { lastIndex: number };
  if (length > 3) {
    const lastIndex = elementAt(node, 3);
    if (!isCount(lastIndex)) throw new Malformed("the lastIndex of a RegExp must be a count");
    regexp.lastIndex = lastIndex;
  }
  return regexp;
}

function bufferOf(text: string): ArrayBuffer {
  const buffer = fromBase64(text);
  if (buffer === undefined) throw new Malformed("an ArrayBuffer must be base64");
  return buffer;
}

function elementAt(node: Node, index: number): unknown {
  if (index >= (node.length ?? 0)) throw new Malformed("a node is too short");
  return node[index];
}

function textAt(node: Node, index: number): string {
  return stringOf(elementAt(node, index));
}

function stringOf(value: unknown): string {
  if (typeof value !== "string") throw new Malformed("a node holds what should be a string");
  return value;
}

function isBelow(value: number, bound: number): boolean {
  return value >= 0 && value < bound && value % 1 === 0;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && isBelow(value, LONGEST_ARRAY + 1);
}
