/**
 * Writes values of the guest that JSON carries unchanged, in a small part of the time that the kernel would take to look at them, and by the
 * same rules: guest/library/plain-json.ts.
 */
import { CLASS_ARRAY, CLASS_OBJECT, JSObject, JSShape, Tag } from "./guest-objects.js";
import { GivenUp, type GuestValues, NOT_PLAIN, NotWritten, type Property, UNKNOWN } from "./guest-values.js";
import type { Instance } from "./instance.js";
import { isWellFormed } from "./well-formed.js";

// Mirrored in guest/library/plain-json.ts, which says why.
const DATA_DEPTH = 48;
const DATA_BYTES = 1 << 20;
const JSON_DEPTH = 200;
const DATA_COST = 16;
const DATA_UNIT_COST = 3;
const JSON_COST = 1;

export class PlainWriter {
  readonly #values: GuestValues;
  #forPeople = false;
  #room = 0;
  /** Objects met so far: JSON text loses that two places share one. In data for people nobody minds. */
  readonly #met = new Set<number>();

  constructor(values: GuestValues) {
    this.#values = values;
  }

  /**
   * @param value address of a `JSValue` that holds an object
   * @param forPeople hold it within what the `data` arm carries, and let objects occur twice
   * @param limit the most bytes of text; what is longer the kernel is to look at
   */
  write(instance: Instance, value: number, forPeople: boolean, limit: number): string | NotWritten {
    this.#forPeople = forPeople;
    this.#room = forPeople ? DATA_BYTES : limit;
    this.#values.begin(instance, this.#room);
    try {
      const text = this.#value(value >>> 2, 0);
      return fits(text, limit) ? text : NotWritten.UNKNOWN;
    } catch (error) {
      if (error instanceof GivenUp) return error.why;
      throw error;
    } finally {
      this.#met.clear();
      this.#values.end();
    }
  }

  /** @param at of a `JSValue`, in words */
  #value(at: number, depth: number): string {
    const low = this.#values.words[at] as number;
    const tag = this.#values.words[at + 1] as number;
    switch (tag) {
      case Tag.OBJECT:
        return this.#object(low >>> 2, depth);
      case Tag.STRING:
      case Tag.ROPE: {
        const text = this.#values.textAt(at);
        this.#take(text.length);
        this.#requireWellFormed(text);
        return JSON.stringify(text);
      }
      case Tag.INT:
        this.#take(0);
        return `${low}`;
      case Tag.BOOL:
        this.#take(0);
        return low === 0 ? "false" : "true";
      case Tag.NULL:
        this.#take(0);
        return "null";
      case Tag.UNDEFINED:
      case Tag.SYMBOL:
      case Tag.BIG_INT:
      case Tag.SHORT_BIG_INT:
        throw NOT_PLAIN;
      default: {
        const number = this.#values.numberOf(low, tag);
        if (number === undefined) throw UNKNOWN;
        if (!Number.isFinite(number) || Object.is(number, -0)) throw NOT_PLAIN;
        this.#take(0);
        return `${number}`;
      }
    }
  }

  /** A google.protobuf.Value cannot hold a lone surrogate, which JSON text escapes. */
  #requireWellFormed(text: string): void {
    if (this.#forPeople && !isWellFormed(text)) throw NOT_PLAIN;
  }

  /** @param object in words */
  #object(object: number, depth: number): string {
    this.#take(0);
    const { words, layout } = this.#values;
    const classId = (words[object + JSObject.HEADER] as number) >>> 16;
    const shape = (words[object + JSObject.SHAPE] as number) >>> 2;
    const isArray = classId === CLASS_ARRAY;
    if (depth >= (this.#forPeople ? DATA_DEPTH : JSON_DEPTH)) throw NOT_PLAIN;
    if (words[shape + JSShape.PROTOTYPE] !== (isArray ? layout.arrayPrototype : layout.objectPrototype))
      throw NOT_PLAIN;
    if (!isArray && classId !== CLASS_OBJECT) throw UNKNOWN;
    if (!this.#forPeople) {
      if (this.#met.has(object)) throw NOT_PLAIN;
      this.#met.add(object);
    }
    return isArray ? this.#items(object, depth + 1) : this.#members(object, shape, depth + 1);
  }

  #items(array: number, depth: number): string {
    const count = this.#values.itemCountOf(array);
    const values = (this.#values.words[array + JSObject.VALUES] as number) >>> 2;
    let text = "[";
    for (let i = 0; i < count; i++) {
      if (i > 0) text += ",";
      text += this.#value(values + i * 2, depth);
    }
    return `${text}]`;
  }

  #members(object: number, shape: number, depth: number): string {
    const { properties, hasAccessors } = this.#values.shapeAt(shape);
    if (hasAccessors) throw NOT_PLAIN;
    const values = (this.#values.words[object + JSObject.PROPERTIES] as number) >>> 2;
    let text = "{";
    for (let i = 0; i < properties.length; i++) {
      const { head, name, offset } = properties[i] as Property;
      this.#take(name.length);
      this.#requireWellFormed(name);
      if (i > 0) text += ",";
      text += head;
      text += this.#value(values + offset, depth);
    }
    return `${text}}`;
  }

  #take(units: number): void {
    this.#room -= this.#forPeople ? DATA_COST + units * DATA_UNIT_COST : JSON_COST + units;
    if (this.#room < 0) throw UNKNOWN;
  }
}

/** Whether a text has no more bytes than so many. */
export function fits(text: string, limit: number): boolean {
  return text.length * 3 <= limit || Buffer.byteLength(text) <= limit;
}
