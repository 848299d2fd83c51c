/**
 * Writes values of the guest as graphs (guest/library/graph/encode.ts), of what is most common in them: plain objects, those of classes
 * among them, arrays, dates, maps, sets, and whatever is no object. It writes what the kernel would, to the letter but for digits
 * that the engine writes of some numbers, and that V8 knows to be of no use.
 */
import {
  CLASS_ARRAY,
  CLASS_DATE,
  CLASS_MAP,
  CLASS_OBJECT,
  CLASS_SET,
  JSMapRecord,
  JSMapState,
  JSObject,
  JSShape,
  Tag,
} from "./guest-objects.js";
import { GivenUp, type GuestValues, NotWritten, type Property, UNKNOWN } from "./guest-values.js";
import type { Instance } from "./instance.js";
import { fits } from "./plain-writer.js";

/** Numbers that stand for values; mirrored in guest/library/graph/special.ts. */
const Special = { UNDEFINED: -1, NAN: -3, INFINITE: -4, NEGATIVE_INFINITE: -5, NEGATIVE_ZERO: -6 } as const;

export class GraphWriter {
  readonly #values: GuestValues;
  #nodes: string[] = [];
  /** Objects whose nodes are to be written, in words, and where these stand. */
  #objects: number[] = [];
  #places: number[] = [];
  readonly #known = new Map<number, number>();
  #room = 0;

  constructor(values: GuestValues) {
    this.#values = values;
  }

  /**
   * @param value address of a `JSValue` that holds an object
   * @param limit the most bytes of text; what is longer the kernel is to look at
   */
  write(instance: Instance, value: number, limit: number): string | NotWritten {
    this.#room = limit;
    this.#values.begin(instance, limit);
    try {
      this.#reference(value >>> 2);
      for (let i = 0; i < this.#objects.length; i++)
        this.#put(this.#places[i] as number, this.#node(this.#objects[i] as number));
      const text = `[${this.#nodes.join(",")}]`;
      return fits(text, limit) ? text : NotWritten.UNKNOWN;
    } catch (error) {
      if (error instanceof GivenUp) return NotWritten.UNKNOWN;
      throw error;
    } finally {
      this.#nodes = [];
      this.#objects = [];
      this.#places = [];
      this.#known.clear();
      this.#values.end();
    }
  }

  /** Where a value stands, or the number that stands for it. @param at of its `JSValue`, in words */
  #reference(at: number): number {
    const low = this.#values.words[at] as number;
    const tag = this.#values.words[at + 1] as number;
    switch (tag) {
      case Tag.OBJECT:
        return this.#object(low >>> 2);
      case Tag.STRING:
      case Tag.ROPE:
        return this.#primitive(JSON.stringify(this.#values.textAt(at)));
      case Tag.BOOL:
        return this.#primitive(low === 0 ? "false" : "true");
      case Tag.NULL:
        return this.#primitive("null");
      case Tag.UNDEFINED:
        return Special.UNDEFINED;
      case Tag.SHORT_BIG_INT:
        return this.#primitive(`["BigInt","${low}"]`);
      default:
        return this.#number(this.#values.numberOf(low, tag));
    }
  }

  #number(value: number | undefined): number {
    if (value === undefined) throw UNKNOWN;
    if (Object.is(value, -0)) return Special.NEGATIVE_ZERO;
    if (Number.isFinite(value)) return this.#primitive(`${value}`);
    if (Number.isNaN(value)) return Special.NAN;
    return value > 0 ? Special.INFINITE : Special.NEGATIVE_INFINITE;
  }

  #primitive(text: string): number {
    const place = this.#nodes.length;
    this.#put(place, text);
    return place;
  }

  #put(place: number, text: string): void {
    this.#nodes[place] = text;
    this.#room -= text.length + 1;
    if (this.#room < 0) throw UNKNOWN;
  }

  /** Of a node that is yet to be put: those that it refers to may be many, and take no room themselves. */
  #requireRoom(text: string): void {
    if (text.length > this.#room) throw UNKNOWN;
  }

  /** Its node is written later: values may be nested as deep as they like. */
  #object(object: number): number {
    const known = this.#known.get(object);
    if (known !== undefined) return known;
    const place = this.#nodes.push("") - 1;
    this.#known.set(object, place);
    this.#objects.push(object);
    this.#places.push(place);
    return place;
  }

  #node(object: number): string {
    switch ((this.#values.words[object + JSObject.HEADER] as number) >>> 16) {
      case CLASS_OBJECT:
        return this.#members(object);
      case CLASS_ARRAY:
        return this.#items(object);
      case CLASS_DATE:
        return this.#date(object + JSObject.DATA);
      case CLASS_MAP:
        return `["Map"${this.#records(object, true)}]`;
      case CLASS_SET:
        return `["Set"${this.#records(object, false)}]`;
      default:
        throw UNKNOWN;
    }
  }

  #members(object: number): string {
    const { words } = this.#values;
    const shape = (words[object + JSObject.SHAPE] as number) >>> 2;
    const { properties, hasAccessors, hasSymbols } = this.#values.shapeAt(shape);
    // A getter is run; and a DOMException, which is told as an error, has private properties.
    if (hasAccessors || hasSymbols) throw UNKNOWN;
    const values = (words[object + JSObject.PROPERTIES] as number) >>> 2;
    const isNull = words[shape + JSShape.PROTOTYPE] === 0;
    let text = isNull ? '["null"' : "{";
    for (let i = 0; i < properties.length; i++) {
      const { head, name, offset } = properties[i] as Property;
      if (isNull) text += `,${JSON.stringify(name)},`;
      else text += i === 0 ? head : `,${head}`;
      text += this.#reference(values + offset);
      this.#requireRoom(text);
    }
    return text + (isNull ? "]" : "}");
  }

  #items(array: number): string {
    const count = this.#values.itemCountOf(array);
    const values = (this.#values.words[array + JSObject.VALUES] as number) >>> 2;
    let text = "";
    for (let i = 0; i < count; i++) {
      if (i > 0) text += ",";
      text += this.#reference(values + i * 2);
      this.#requireRoom(text);
    }
    return `[${text}]`;
  }

  #date(at: number): string {
    const { words } = this.#values;
    const time = this.#values.numberOf(words[at] as number, words[at + 1] as number);
    if (time === undefined) throw UNKNOWN;
    return `["Date","${Number.isNaN(time) ? "" : new Date(time).toISOString()}"]`;
  }

  #records(object: number, haveValues: boolean): string {
    const { words } = this.#values;
    const state = (words[object + JSObject.DATA] as number) >>> 2;
    const head = state + JSMapState.RECORDS;
    const next = (links: number): number => (words[links + 1] as number) >>> 2;
    let left = words[state + JSMapState.COUNT] as number;
    let text = "";
    for (let record = next(head); record !== head; record = next(record)) {
      // One that was deleted stays there for who iterates.
      if (left-- <= 0) throw UNKNOWN;
      text += `,${this.#reference(record + JSMapRecord.KEY)}`;
      if (haveValues) text += `,${this.#reference(record + JSMapRecord.VALUE)}`;
      this.#requireRoom(text);
    }
    return text;
  }
}
