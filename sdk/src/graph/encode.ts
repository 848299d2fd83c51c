import { types } from "node:util";
import { handleOfPlace, placeOf } from "../guest-place.js";
import { Handle } from "../handle.js";
import { errorNames, Special } from "./special.js";

/**
 * Writes a value in the graph encoding of docs/protocol.md: what structured cloning would copy, with its sharing, and handles
 * in it by their ids. `path` is what errors call the value.
 * @throws {TypeError} if something in it cannot be copied
 */
export function encodeGraph(value: unknown, path: string, idOf: (handle: Handle, path: string) => string): string {
  return new GraphWriter(path, idOf).write(value);
}

/** Where an object was met first, for errors. */
interface Place {
  readonly parent: number;
  readonly step: string;
}

/** What objects of the language's classes hold is asked of those, and not of classes derived from them: structured cloning asks no method. */
class GraphWriter {
  readonly #root: string;
  readonly #idOf: (handle: Handle, path: string) => string;
  readonly #nodes: string[] = [];
  readonly #known = new Map<object, number>();
  /** Objects whose nodes are to be written, each with its index: values may be nested as deep as they like. */
  readonly #objects: [object: object, index: number][] = [];
  readonly #places: Place[] = [];
  #current = 0;

  constructor(root: string, idOf: (handle: Handle, path: string) => string) {
    this.#root = root;
    this.#idOf = idOf;
  }

  write(value: unknown): string {
    const root = this.#reference(value, "");
    if (root < 0) return String(root);
    for (this.#current = 0; this.#current < this.#objects.length; this.#current++) {
      const [object, index] = this.#objects[this.#current] as [object, number];
      this.#nodes[index] = this.#node(object);
    }
    return `[${this.#nodes.join(",")}]`;
  }

  /** The index of a value's node, or the number that stands for the value. */
  #reference(value: unknown, step: string): number {
    switch (typeof value) {
      case "undefined":
        return Special.UNDEFINED;
      case "number":
        return this.#number(value);
      case "string":
        return this.#put(JSON.stringify(value));
      case "boolean":
        return this.#put(String(value));
      case "bigint":
        return this.#put(`["BigInt","${value}"]`);
      case "object":
        return value === null ? this.#put("null") : this.#object(value, step);
      default:
        if (placeOf(value) !== undefined) return this.#object(value as object, step);
        return this.#refuse(`a ${typeof value}`, { parent: this.#current, step });
    }
  }

  #number(value: number): number {
    if (Number.isNaN(value)) return Special.NAN;
    if (Object.is(value, -0)) return Special.NEGATIVE_ZERO;
    if (Number.isFinite(value)) return this.#put(String(value));
    return value > 0 ? Special.INFINITY : Special.NEGATIVE_INFINITY;
  }

  #put(text: string): number {
    return this.#nodes.push(text) - 1;
  }

  #object(object: object, step: string): number {
    const known = this.#known.get(object);
    if (known !== undefined) return known;
    const index = this.#put("");
    this.#known.set(object, index);
    this.#objects.push([object, index]);
    this.#places.push({ parent: this.#current, step });
    return index;
  }

  #node(object: object): string {
    const place = placeOf(object);
    if (place !== undefined) return this.#handle(handleOfPlace(place, this.#path()));
    if (object instanceof Handle) return this.#handle(object);
    if (Array.isArray(object)) return this.#array(object);
    if (ArrayBuffer.isView(object)) return this.#view(object);
    if (types.isAnyArrayBuffer(object)) return this.#buffer(object);
    if (types.isDate(object)) return `["Date","${dateText(object)}"]`;
    if (types.isRegExp(object)) return this.#regexp(object);
    if (types.isMap(object)) return this.#map(object);
    if (types.isSet(object)) return this.#set(object);
    if (isError(object)) return `["Error",${this.#error(object)}]`;
    if (types.isBoxedPrimitive(object)) return `["Object",${this.#reference(boxedIn(object), "")}]`;
    const kind = unclonableKind(object);
    if (kind !== undefined) return this.#refuse(kind);
    return Object.getPrototypeOf(object) === null ? this.#nullPrototype(object) : this.#record(object);
  }

  #handle(handle: Handle): string {
    return `["Handle",${JSON.stringify(this.#idOf(handle, this.#path()))}]`;
  }

  #record(object: object, keys = Object.keys(object)): string {
    const members = keys.map((key) => {
      const value = (object as Record<string, unknown>)[key];
      return `${JSON.stringify(key)}:${this.#reference(value, `.${key}`)}`;
    });
    return `{${members.join(",")}}`;
  }

  #nullPrototype(object: object): string {
    const members = Object.entries(object).map(
      ([key, value]) => `,${JSON.stringify(key)},${this.#reference(value, `.${key}`)}`,
    );
    return `["null"${members.join("")}]`;
  }

  #array(array: readonly unknown[]): string {
    const keys = Object.keys(array);
    const indices = keys.filter(isIndex);
    if (indices.length === keys.length) return this.#items(array, indices);
    const items = this.#put("");
    const properties = this.#put("");
    this.#nodes[items] = this.#items(array, indices);
    this.#nodes[properties] = this.#record(array, keys.slice(indices.length));
    return `["Array",${items},${properties}]`;
  }

  /** The shorter of the two ways to write an array: all its places, or those that are taken. */
  #items(array: readonly unknown[], indices: readonly string[]): string {
    const digits = String(array.length).length;
    const item = (index: number) => this.#reference(array[index], `[${index}]`);
    if ((array.length - indices.length) * 3 > 4 + digits + indices.length * (digits + 1)) {
      return `[${[Special.SPARSE, array.length, ...indices.flatMap((index) => [index, item(Number(index))])].join(",")}]`;
    }
    return `[${Array.from(array, (_, index) => (index in array ? item(index) : Special.HOLE)).join(",")}]`;
  }

  #buffer(buffer: ArrayBuffer | SharedArrayBuffer): string {
    if (isDetached(buffer)) this.#refuse("a detached ArrayBuffer");
    return `["ArrayBuffer","${Buffer.from(buffer).toString("base64")}"]`;
  }

  /** A Node Buffer shares its memory with others that are none of the guest's business, so it goes without the rest of it. */
  #view(view: ArrayBufferView): string {
    if (isDetached(view.buffer)) this.#refuse("a view of a detached ArrayBuffer");
    const name = viewName.call(view) ?? "DataView";
    const { byteOffset, byteLength } = view;
    if (Buffer.isBuffer(view)) return `["${name}",${this.#put(`["ArrayBuffer","${view.toString("base64")}"]`)}]`;
    const buffer = this.#object(view.buffer, ".buffer");
    if (byteLength === view.buffer.byteLength) return `["${name}",${buffer}]`;
    return `["${name}",${buffer},${byteOffset},${"length" in view ? view.length : byteLength}]`;
  }

  #regexp(regexp: RegExp): string {
    const { source, flags } = new RegExp(regexp);
    const { lastIndex } = regexp;
    const text = JSON.stringify(source);
    // Anything may have been assigned to it; what no text is long enough for counts as none, as in what a session sends.
    if (Number.isInteger(lastIndex) && lastIndex > 0 && lastIndex < 2 ** 32 - 1)
      return `["RegExp",${text},"${flags}",${lastIndex}]`;
    return flags === "" ? `["RegExp",${text}]` : `["RegExp",${text},"${flags}"]`;
  }

  #set(set: ReadonlySet<unknown>): string {
    const items = [...Set.prototype.values.call(set)].map((item) => `,${this.#reference(item, "(set)")}`);
    return `["Set"${items.join("")}]`;
  }

  #map(map: ReadonlyMap<unknown, unknown>): string {
    const entries = [...Map.prototype.entries.call(map)].map(
      ([key, value]) => `,${this.#reference(key, "(key)")},${this.#reference(value, `(${keyText(key)})`)}`,
    );
    return `["Map"${entries.join("")}]`;
  }

  /** The stack stays here: the client's files are none of the guest's business. */
  #error(error: Error): number {
    const type = errorType(error);
    const told: [string, number][] = [["type", this.#put(JSON.stringify(type))]];
    const tell = (key: string, value: unknown) => told.push([key, this.#reference(value, `.${key}`)]);
    if (typeof error.name === "string" && error.name !== type) tell("name", error.name);
    if (Object.hasOwn(error, "message") || error instanceof DOMException) tell("message", String(error.message));
    if (Object.hasOwn(error, "cause")) tell("cause", error.cause);
    const hasErrors = type === "AggregateError" && Object.hasOwn(error, "errors");
    if (hasErrors) tell("errors", (error as AggregateError).errors);
    const known = new Set(["name", "message", "stack", "cause", ...(hasErrors ? ["errors"] : [])]);
    const keys = Object.keys(error).filter((key) => !known.has(key));
    if (keys.length > 0) {
      const properties = this.#put("");
      this.#nodes[properties] = this.#record(error, keys);
      told.push(["properties", properties]);
    }
    return this.#put(`{${told.map(([key, index]) => `"${key}":${index}`).join(",")}}`);
  }

  #refuse(what: string, place?: Place): never {
    throw new TypeError(
      `${this.#path(place)} is ${what}, which cannot be copied: send data, or a handle of a value that the session has`,
    );
  }

  /** How one gets to the object that is being written, or to a place in it. */
  #path(place = this.#places[this.#current]): string {
    let path = "";
    for (let at = place; at !== undefined && at.step !== ""; at = this.#places[at.parent]) path = at.step + path;
    return this.#root + path;
  }
}

/** Says whether what a buffer held has gone elsewhere, as by `postMessage`: there is nothing to copy, and it is not empty. */
export function isDetached(buffer: ArrayBufferLike): boolean {
  if (buffer.byteLength > 0) return false;
  try {
    // Node 20 does not tell otherwise.
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

/** The name of a typed array's class of the language; undefined of a DataView. */
const viewName = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)
  ?.get as (this: ArrayBufferView) => string | undefined;

/** Empty for an invalid one. */
function dateText(date: Date): string {
  return Number.isNaN(Date.prototype.getTime.call(date)) ? "" : Date.prototype.toISOString.call(date);
}

function boxedIn(object: object): unknown {
  if (types.isNumberObject(object)) return Number.prototype.valueOf.call(object);
  if (types.isStringObject(object)) return String.prototype.valueOf.call(object);
  if (types.isBooleanObject(object)) return Boolean.prototype.valueOf.call(object);
  if (types.isBigIntObject(object)) return BigInt.prototype.valueOf.call(object);
  return Symbol.prototype.valueOf.call(object);
}

function isIndex(key: string): boolean {
  const index = Number(key);
  return Number.isInteger(index) && index >= 0 && index < 2 ** 32 - 1 && String(index) === key;
}

function keyText(key: unknown): string {
  return typeof key === "object" || typeof key === "function" ? typeof key : String(key).slice(0, 40);
}

/** A DOMException, such as the reason of an aborted signal, is none of the language's to Node 20. */
function isError(object: object): object is Error {
  return types.isNativeError(object) || object instanceof DOMException;
}

/** The class of the language that an error is of. */
function errorType(error: Error): string {
  for (let proto: unknown = Object.getPrototypeOf(error); proto; proto = Object.getPrototypeOf(proto)) {
    const maker: unknown = Object.hasOwn(proto, "constructor") ? (proto as object).constructor : undefined;
    if (typeof maker === "function" && errorNames.has(maker.name)) return maker.name;
  }
  return "Error";
}

/** What an object is that structured cloning refuses; undefined for one that it takes. */
function unclonableKind(object: object): string | undefined {
  if (types.isPromise(object)) return "a promise";
  if (types.isWeakMap(object)) return "a WeakMap";
  if (types.isWeakSet(object)) return "a WeakSet";
  if (object instanceof WeakRef) return "a WeakRef";
  if (types.isModuleNamespaceObject(object)) return "a module";
  if (types.isGeneratorObject(object)) return "a generator";
  if (typeof Reflect.get(object, Symbol.iterator) === "function" && typeof Reflect.get(object, "next") === "function") {
    return "an iterator";
  }
  return undefined;
}
