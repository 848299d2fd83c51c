/** `structuredClone` of the HTML standard. */
import { ClassId } from "../classes.js";
import { answers, isClosed, isError, unwrapped } from "../cloneable.js";
import { domExceptionText } from "../dom-exceptions.js";
import { classOf } from "../host-asks.js";
import { typedArrayTag } from "../methods.js";
import { isProxy } from "../proxies.js";
import { getterOf, requireArguments, toDictionary } from "../webidl.js";
import { DOMException } from "./dom-exception.js";

type Resizable = ArrayBuffer & {
  readonly resizable: boolean;
  readonly maxByteLength: number;
  readonly detached: boolean;
  transfer(): ArrayBuffer;
};
type ViewClass = new (buffer: unknown, offset: unknown, length: unknown) => object;

const { apply, defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Reflect;
const getTime = Date.prototype.getTime;
const mapSize = getterOf(Map.prototype, "size");
const setSize = getterOf(Set.prototype, "size");
const { forEach: forEachEntry } = Map.prototype;
const { forEach: forEachItem } = Set.prototype;
const source = getterOf(RegExp.prototype, "source");
const flags = getterOf(RegExp.prototype, "flags");
const bufferLength = getterOf(ArrayBuffer.prototype, "byteLength");
const typedArray = getPrototypeOf(Uint8Array.prototype) as object;
const TYPED_ARRAY = ["buffer", "byteOffset", "length"].map((key) => getterOf(typedArray, key));
const DATA_VIEW = ["buffer", "byteOffset", "byteLength"].map((key) => getterOf(DataView.prototype, key));
const VIEWS = globalThis as unknown as Readonly<Record<string, ViewClass>>;
const ERRORS = new Map<unknown, ErrorConstructor>(
  [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((cls) => [cls.prototype.name, cls]),
);

function refuse(value: unknown): never {
  const kind = typeof value;
  const what = kind === "object" ? "An object that is more than its data" : `A ${kind}`;
  throw new DOMException(`${what} could not be cloned.`, "DataCloneError");
}

/** Clones of one call, by what they are clones of. */
class Cloner {
  readonly #clones = new Map<object, object>();
  readonly #transferred: ReadonlySet<unknown>;

  constructor(transferred: ReadonlySet<unknown>) {
    this.#transferred = transferred;
  }

  clone(value: unknown): unknown {
    if (typeof value === "symbol" || typeof value === "function") refuse(value);
    if (typeof value !== "object" || value === null) return value;
    return this.#clones.get(value) ?? this.#object(value);
  }

  #object(value: object): object {
    if (isProxy(value)) refuse(value);
    if (Array.isArray(value)) return this.#properties(value, new Array<unknown>(value.length));
    if (classOf(value) === ClassId.OBJECT && value !== globalThis) {
      // Most are. All else is found out by methods of its kind, which throw at what is of another, and that takes its time.
      const exception = domExceptionText(value);
      if (exception === undefined) return this.#properties(value, {});
      return this.#domException(value, exception.name, exception.message);
    }
    if (answers(mapSize, value)) return this.#map(value);
    if (answers(setSize, value)) return this.#set(value);
    if (answers(bufferLength, value)) return this.#keep(value, this.#buffer(value as Resizable));
    if (ArrayBuffer.isView(value)) return this.#view(value);
    if (isError(value)) return this.#error(value);
    if (answers(getTime, value)) return this.#keep(value, new Date(apply(getTime, value, [])));
    if (getOwnPropertyDescriptor(value, "lastIndex") !== undefined && answers(source, value)) {
      return this.#keep(value, new RegExp(apply(source, value, []) as string, apply(flags, value, []) as string));
    }
    const primitive = unwrapped(value);
    if (primitive !== undefined) return this.#keep(value, Object(primitive) as object);
    if (isClosed(value)) refuse(value);
    return this.#properties(value, {});
  }

  #keep<T extends object>(value: object, clone: T): T {
    this.#clones.set(value, clone);
    return clone;
  }

  /** Own enumerable properties with string keys; getters run. */
  #properties<T extends object>(value: object, clone: T): T {
    this.#keep(value, clone);
    for (const key of Object.keys(value)) {
      if (getOwnPropertyDescriptor(value, key) === undefined) continue;
      setOwn(clone, key, this.clone((value as Record<string, unknown>)[key]), true);
    }
    return clone;
  }

  #map(value: object): Map<unknown, unknown> {
    const clone = this.#keep(value, new Map<unknown, unknown>());
    const entries: [unknown, unknown][] = [];
    apply(forEachEntry, value, [(item: unknown, key: unknown) => entries.push([key, item])]);
    for (const [key, item] of entries) clone.set(this.clone(key), this.clone(item));
    return clone;
  }

  #set(value: object): Set<unknown> {
    const clone = this.#keep(value, new Set<unknown>());
    const items: unknown[] = [];
    apply(forEachItem, value, [(item: unknown) => items.push(item)]);
    for (const item of items) clone.add(this.clone(item));
    return clone;
  }

  #buffer(value: Resizable): ArrayBuffer {
    if (value.detached) refuse(value);
    const options = value.resizable ? { maxByteLength: value.maxByteLength } : undefined;
    const clone = Reflect.construct(ArrayBuffer, [value.byteLength, options]) as ArrayBuffer;
    if (!this.#transferred.has(value)) copyBytes(value, clone);
    return clone;
  }

  /** Ends the cloning: what is transferred changes hands now that nothing can fail any more, with what getters wrote meanwhile. */
  transfer(): void {
    for (const buffer of this.#transferred) if ((buffer as Resizable).detached) refuse(buffer);
    for (const buffer of this.#transferred as ReadonlySet<Resizable>) {
      const clone = this.#clones.get(buffer);
      if (clone !== undefined) copyBytes(buffer, clone as ArrayBuffer);
      buffer.transfer();
    }
  }

  #view(value: object): object {
    const name = typedArrayTag(value);
    const [buffer, offset, length] = (name === undefined ? DATA_VIEW : TYPED_ARRAY).map((get) => apply(get, value, []));
    const cls = VIEWS[name ?? "DataView"] as ViewClass;
    return this.#keep(value, new cls(this.clone(buffer), offset, length));
  }

  #error(value: object): Error {
    const { name } = value as Error;
    const clone = this.#keep(value, new (ERRORS.get(name) ?? Error)());
    const message = ownData(value, "message");
    const stack = ownData(value, "stack");
    if (message !== undefined) setOwn(clone, "message", `${message as string}`, false);
    if (typeof stack === "string") setOwn(clone, "stack", stack, false);
    if (getOwnPropertyDescriptor(value, "cause") !== undefined) {
      setOwn(clone, "cause", this.clone((value as Error).cause), false);
    }
    return clone;
  }

  #domException(value: object, name: string, message: string): object {
    const clone = this.#keep(value, new DOMException(message, name));
    const stack = ownData(value, "stack");
    if (typeof stack === "string") setOwn(clone, "stack", stack, false);
    return clone;
  }
}

/** As many as the other has room for: a getter may have changed the length of a resizable one. */
function copyBytes(from: ArrayBuffer, to: ArrayBuffer): void {
  new Uint8Array(to).set(new Uint8Array(from, 0, Math.min(from.byteLength, to.byteLength)));
}

function ownData(object: object, key: string): unknown {
  return getOwnPropertyDescriptor(object, key)?.value;
}

function setOwn(object: object, key: string, value: unknown, enumerable: boolean): void {
  defineProperty(object, key, {
    __proto__: null,
    value,
    writable: true,
    enumerable,
    configurable: true,
  } as PropertyDescriptor);
}

function toTransferred(options: unknown): Set<unknown> {
  const { transfer } = toDictionary(options, "The options of structuredClone");
  if (transfer === undefined) return new Set();
  if ((typeof transfer !== "object" && typeof transfer !== "function") || transfer === null) {
    throw new TypeError("transfer must be a sequence of objects");
  }
  const given = [...(transfer as Iterable<unknown>)];
  const buffers = new Set(given);
  const isBuffer = (value: unknown): boolean =>
    typeof value === "object" && value !== null && !isProxy(value) && answers(bufferLength, value);
  if (buffers.size < given.length || !given.every((value) => isBuffer(value) && !(value as Resizable).detached)) {
    throw new DOMException("Only buffers can be transferred, each of them once.", "DataCloneError");
  }
  return buffers;
}

export const { structuredClone } = {
  structuredClone(value: unknown, options: unknown = undefined): unknown {
    requireArguments(arguments.length, 1, "structuredClone");
    const cloner = new Cloner(toTransferred(options));
    const clone = cloner.clone(value);
    // What cannot be cloned was found before the first buffer changes hands; and once, for getters run.
    cloner.transfer();
    return clone;
  },
};
