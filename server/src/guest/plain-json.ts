/** Writes values that JSON carries unchanged as JSON text; runs no guest code. */
import {
  ArrayPrototype,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwnValue,
  isArray,
  isFiniteNumber,
  isWellFormed,
  numberToString,
  ObjectPrototype,
  ownKeys,
  SafeMap,
  stringify,
} from "./intrinsics.js";
import { isProxy } from "./proxies.js";

/** Nesting that every reader of a google.protobuf.Value can follow. */
const DATA_DEPTH = 48;
/** Size of a google.protobuf.Value beyond which decoding it would hold up a server's event loop. */
const DATA_BYTES = 1 << 20;
/** Beyond it a recursive walk would meet the stack limit of the guest. */
const JSON_DEPTH = 200;
/** What one value costs as google.protobuf.Value beside its text: tags, lengths, an 8-byte number. */
const DATA_OVERHEAD = 16;
const UTF8_BYTES_PER_UNIT = 3;

/** Not plain: JSON text would change it. */
class NotPlain {}
const NOT_PLAIN = new NotPlain();

class Writer {
  readonly #asData: boolean;
  /** Objects met so far: JSON text loses that two places share one; nobody minds in data for people. */
  readonly #seen: SafeMap<object, true> | undefined;
  #weight = 0;

  constructor(asData: boolean) {
    this.#asData = asData;
    this.#seen = asData ? undefined : new SafeMap<object, true>();
  }

  write(value: unknown, depth: number): string {
    switch (typeof value) {
      case "string":
        return this.#text(value);
      case "number":
        if (!isFiniteNumber(value) || (value === 0 && 1 / value < 0)) throw NOT_PLAIN;
        this.#weigh(0);
        return numberToString(value);
      case "boolean":
        this.#weigh(0);
        return value ? "true" : "false";
      case "object":
        if (value === null) {
          this.#weigh(0);
          return "null";
        }
        return this.#object(value, depth);
      default:
        throw NOT_PLAIN;
    }
  }

  #text(value: string): string {
    // A google.protobuf.Value cannot hold a lone surrogate, which JSON text escapes.
    if (this.#asData && !isWellFormed(value)) throw NOT_PLAIN;
    this.#weigh(value.length);
    return stringify(value);
  }

  #object(value: object, depth: number): string {
    if (depth >= (this.#asData ? DATA_DEPTH : JSON_DEPTH) || isProxy(value)) throw NOT_PLAIN;
    if (this.#seen !== undefined) {
      if (this.#seen.has(value)) throw NOT_PLAIN;
      this.#seen.set(value, true);
    }
    this.#weigh(0);
    const proto = getPrototypeOf(value);
    if (isArray(value)) return proto === ArrayPrototype ? this.#array(value, depth) : this.#refuse();
    return proto === ObjectPrototype ? this.#record(value, depth) : this.#refuse();
  }

  #array(value: readonly unknown[], depth: number): string {
    const length = value.length;
    if (ownKeys(value).length !== length + 1) throw NOT_PLAIN;
    let text = "";
    for (let i = 0; i < length; i++) {
      const item = this.write(this.#plainProperty(value, `${i}`), depth + 1);
      text = i === 0 ? item : `${text},${item}`;
    }
    return `[${text}]`;
  }

  #record(value: object, depth: number): string {
    const keys = ownKeys(value);
    let text = "";
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i];
      if (typeof key !== "string") throw NOT_PLAIN;
      const name = this.#text(key);
      const item = this.write(this.#plainProperty(value, key), depth + 1);
      text = i === 0 ? `${name}:${item}` : `${text},${name}:${item}`;
    }
    return `{${text}}`;
  }

  #plainProperty(value: object, key: string): unknown {
    const descriptor = getOwnPropertyDescriptor(value, key);
    if (descriptor === undefined || !hasOwnValue(descriptor) || descriptor.enumerable !== true) throw NOT_PLAIN;
    return descriptor.value;
  }

  #weigh(units: number): void {
    if (!this.#asData) return;
    this.#weight += DATA_OVERHEAD + units * UTF8_BYTES_PER_UNIT;
    if (this.#weight > DATA_BYTES) throw NOT_PLAIN;
  }

  #refuse(): never {
    throw NOT_PLAIN;
  }
}

/**
 * @param asData also hold it within what the `data` arm carries
 * @returns JSON text, or undefined where JSON would change the value
 */
export function plainJson(value: unknown, asData: boolean): string | undefined {
  if (typeof value === "number" && isFiniteNumber(value) && value !== 0) return numberToString(value);
  try {
    return new Writer(asData).write(value, 0);
  } catch (error) {
    if (error === NOT_PLAIN) return undefined;
    throw error;
  }
}
