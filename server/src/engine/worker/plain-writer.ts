/**
 * Writes values of the guest that JSON carries unchanged, straight from where they lie in its memory: it runs no code of the guest, and
 * takes a small part of the time that the kernel would take to look at them. What it is not sure of it leaves to the kernel, whose rules
 * (guest/library/plain-json.ts) are the same.
 */
import {
  ACCESSOR,
  ATOM_KIND,
  CLASS_ARRAY,
  CLASS_OBJECT,
  ENUMERABLE,
  FAST_ARRAY,
  FIRST_TAG,
  FLOAT_ADDEND,
  JSObject,
  JSShape,
  JSString,
  JSStringRope,
  KIND,
  LAST_TAG,
  type ObjectLayout,
  PROPERTY_FLAGS,
  STRING_ATOM,
  STRING_HEADER,
  Tag,
} from "./guest-objects.js";
import { EngineAbort, type Instance } from "./instance.js";

/** Why there is no text: the kernel is to look, or JSON would change the value for certain. */
export const NotWritten = { UNKNOWN: -1, NOT_PLAIN: -2 } as const;
export type NotWritten = (typeof NotWritten)[keyof typeof NotWritten];

// Mirrored in guest/library/plain-json.ts, which says why.
const DATA_DEPTH = 48;
const DATA_BYTES = 1 << 20;
const JSON_DEPTH = 200;
const DATA_COST = 16;
const DATA_UNIT_COST = 3;
const JSON_COST = 1;

/** The engine balances ropes that are deeper than some sixty. */
const ROPE_DEPTH = 100;

/** Thrown where it gives up. */
class GivenUp {
  readonly why: NotWritten;
  constructor(why: NotWritten) {
    this.why = why;
  }
}
const UNKNOWN = new GivenUp(NotWritten.UNKNOWN);
const NOT_PLAIN = new GivenUp(NotWritten.NOT_PLAIN);

/** An own enumerable property that is named by a string, of all objects of one shape. */
interface Property {
  /** Its name and a colon, as JSON text. */
  readonly head: string;
  /** UTF-16 units of its name. */
  readonly units: number;
  /** Where its value stands among those of the object, in words. */
  readonly offset: number;
}

const double = new Float64Array(1);
const halves = new Int32Array(double.buffer);

export class PlainWriter {
  readonly #layout: ObjectLayout;
  #words: Int32Array = new Int32Array();
  #bytes: Buffer = Buffer.alloc(0);
  #forPeople = false;
  #room = 0;
  /** Objects met so far: JSON text loses that two places share one. In data for people nobody minds. */
  readonly #met = new Set<number>();
  /** Of one value, as shapes come and go. */
  readonly #properties = new Map<number, readonly Property[]>();

  constructor(layout: ObjectLayout) {
    this.#layout = layout;
  }

  /**
   * @param value address of a `JSValue` that holds an object
   * @param forPeople hold it within what the `data` arm carries, and let objects occur twice
   * @param limit the most bytes of text
   */
  write(instance: Instance, value: number, forPeople: boolean, limit: number): string | NotWritten {
    this.#words = instance.words;
    this.#bytes = instance.bytes;
    this.#forPeople = forPeople;
    this.#room = forPeople ? DATA_BYTES : limit;
    try {
      const text = this.#value(value >>> 2, 0);
      // Whether a longer one is left where it is, the kernel knows.
      return text.length * 3 <= limit || Buffer.byteLength(text) <= limit ? text : NotWritten.UNKNOWN;
    } catch (error) {
      if (error instanceof GivenUp) return error.why;
      throw error;
    } finally {
      this.#met.clear();
      this.#properties.clear();
    }
  }

  /** @param at of a `JSValue`, in words */
  #value(at: number, depth: number): string {
    const low = this.#words[at] as number;
    const tag = this.#words[at + 1] as number;
    switch (tag) {
      case Tag.OBJECT:
        return this.#object(low >>> 2, depth);
      case Tag.STRING:
      case Tag.ROPE: {
        const text = this.#text(at, 0);
        this.#take(text.length);
        return this.#quoted(text);
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
      default:
        if (tag >= FIRST_TAG && tag <= LAST_TAG) throw UNKNOWN;
        return this.#double(low, tag);
    }
  }

  #double(low: number, high: number): string {
    halves[0] = low;
    halves[1] = high - FLOAT_ADDEND;
    const number = double[0] as number;
    if (!Number.isFinite(number) || Object.is(number, -0)) throw NOT_PLAIN;
    this.#take(0);
    return `${number}`;
  }

  /** What a string says, or a rope. @param at of its `JSValue`, in words */
  #text(at: number, depth: number): string {
    const string = (this.#words[at] as number) >>> 2;
    const tag = this.#words[at + 1];
    if (tag === Tag.STRING) return this.#textOf(string);
    if (tag !== Tag.ROPE || depth > ROPE_DEPTH) throw UNKNOWN;
    if (((this.#words[string + JSString.LENGTH] as number) & 0x7fff_ffff) > this.#room) throw NOT_PLAIN;
    return this.#text(string + JSStringRope.LEFT, depth + 1) + this.#text(string + JSStringRope.RIGHT, depth + 1);
  }

  /** @param string a `JSString`, in words */
  #textOf(string: number): string {
    const length = this.#words[string + JSString.LENGTH] as number;
    const units = length & 0x7fff_ffff;
    if (units > this.#room) throw NOT_PLAIN;
    const start = string * 4 + STRING_HEADER;
    return length < 0
      ? this.#bytes.toString("utf16le", start, start + units * 2)
      : this.#bytes.toString("latin1", start, start + units);
  }

  #quoted(text: string): string {
    // A google.protobuf.Value cannot hold a lone surrogate, which JSON text escapes.
    if (this.#forPeople && !isWellFormed(text)) throw NOT_PLAIN;
    return JSON.stringify(text);
  }

  /** @param object in words */
  #object(object: number, depth: number): string {
    this.#take(0);
    const words = this.#words;
    const header = words[object + JSObject.HEADER] as number;
    const classId = header >>> 16;
    const shape = (words[object + JSObject.SHAPE] as number) >>> 2;
    const prototype = words[shape + JSShape.PROTOTYPE];
    const isArray = classId === CLASS_ARRAY;
    if (depth >= (this.#forPeople ? DATA_DEPTH : JSON_DEPTH)) throw NOT_PLAIN;
    if (prototype !== (isArray ? this.#layout.arrayPrototype : this.#layout.objectPrototype)) throw NOT_PLAIN;
    if (!isArray && classId !== CLASS_OBJECT) throw UNKNOWN;
    if (!this.#forPeople) {
      if (this.#met.has(object)) throw NOT_PLAIN;
      this.#met.add(object);
    }
    return isArray ? this.#items(object, header, shape, depth + 1) : this.#members(object, shape, depth + 1);
  }

  #items(array: number, header: number, shape: number, depth: number): string {
    const words = this.#words;
    const count = words[array + JSObject.COUNT] as number;
    const length = (words[array + JSObject.PROPERTIES] as number) >>> 2;
    // Of its properties the first is always its length.
    const isWhole = words[length] === count && words[length + 1] === Tag.INT && words[shape + JSShape.COUNT] === 1;
    if ((header & FAST_ARRAY) === 0 || !isWhole) throw UNKNOWN;
    const values = (words[array + JSObject.VALUES] as number) >>> 2;
    let text = "[";
    for (let i = 0; i < count; i++) {
      if (i > 0) text += ",";
      text += this.#value(values + i * 2, depth);
    }
    return `${text}]`;
  }

  #members(object: number, shape: number, depth: number): string {
    let properties = this.#properties.get(shape);
    if (properties === undefined) {
      properties = this.#propertiesOf(shape);
      this.#properties.set(shape, properties);
    }
    const values = (this.#words[object + JSObject.PROPERTIES] as number) >>> 2;
    let text = "{";
    for (let i = 0; i < properties.length; i++) {
      const { head, units, offset } = properties[i] as Property;
      this.#take(units);
      if (i > 0) text += ",";
      text += head;
      text += this.#value(values + offset, depth);
    }
    return `${text}}`;
  }

  #propertiesOf(shape: number): Property[] {
    const words = this.#words;
    const count = words[shape + JSShape.COUNT] as number;
    const properties: Property[] = [];
    for (let i = 0; i < count; i++) {
      const at = shape + JSShape.FIRST + i * 2;
      const flags = (words[at] as number) >>> PROPERTY_FLAGS;
      const atom = words[at + 1] as number;
      if (atom === 0 || (flags & ENUMERABLE) === 0) continue;
      const name = this.#nameOf(atom);
      if (name === undefined) continue;
      if ((flags & KIND) !== 0) throw (flags & KIND) === ACCESSOR ? NOT_PLAIN : UNKNOWN;
      properties.push({ head: `${this.#quoted(name)}:`, units: name.length, offset: i * 2 });
    }
    return properties;
  }

  /** Undefined for a symbol. */
  #nameOf(atom: number): string | undefined {
    // Indices come first, in order.
    if (atom < 0) throw UNKNOWN;
    const atoms = (this.#words[this.#layout.atomsWord >> 2] as number) >>> 2;
    const string = (this.#words[atoms + atom] as number) >>> 2;
    if ((this.#words[string + JSString.ATOM] as number) >>> ATOM_KIND !== STRING_ATOM) return undefined;
    const name = this.#textOf(string);
    if (name >= "0" && name < ":") throw UNKNOWN;
    return name;
  }

  #take(units: number): void {
    this.#room -= this.#forPeople ? DATA_COST + units * DATA_UNIT_COST : JSON_COST + units;
    if (this.#room < 0) throw NOT_PLAIN;
  }
}

/** Node has it; TypeScript's library for ES2023 does not know of it. */
function isWellFormed(text: string): boolean {
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

/** Has more properties than a shape begins with, and strings of every kind. */
const WIDE = Object.fromEntries(
  Array.from({ length: 40 }, (_, i) => [`name${i}`, `${'\u20ac\u00e9"\n'.slice(i % 5)}${i}`]),
);
const LONG = "x".repeat(3_000);

/** What is to be written of each of these, which together have all that the writer looks at. */
const CHECKED: readonly (readonly [source: string, written: string | NotWritten])[] = [
  [JSON.stringify(WIDE), JSON.stringify(WIDE)],
  [
    '{b:[true,false,null,-7,0.5,-1e300,3e9,[],{}],a:"1"}',
    '{"b":[true,false,null,-7,0.5,-1e+300,3000000000,[],{}],"a":"1"}',
  ],
  ['["x".repeat(2_000)+"x".repeat(1_000),"\u20ac"+"x".repeat(3_000)]', JSON.stringify([LONG, `\u20ac${LONG}`])],
  ["(()=>{const o={a:1,b:2,c:3};delete o.b;o.d=4;return o})()", '{"a":1,"c":3,"d":4}'],
  ['Object.defineProperty({a:1,[Symbol("b")]:2},"c",{value:3})', '{"a":1}'],
  ["{1:2}", NotWritten.UNKNOWN],
  ["[,1]", NotWritten.UNKNOWN],
  ["Object.assign([1],{a:2})", NotWritten.UNKNOWN],
  ["Object.setPrototypeOf(new Date,Object.prototype)", NotWritten.UNKNOWN],
  ["globalThis", NotWritten.UNKNOWN],
  ["{get a(){return 1}}", NotWritten.NOT_PLAIN],
  ["[undefined]", NotWritten.NOT_PLAIN],
  ["[-0]", NotWritten.NOT_PLAIN],
  ["[NaN]", NotWritten.NOT_PLAIN],
  ["[Infinity]", NotWritten.NOT_PLAIN],
  ["[1n]", NotWritten.NOT_PLAIN],
  ["[1n<<99n]", NotWritten.NOT_PLAIN],
  ["[Symbol()]", NotWritten.NOT_PLAIN],
  ["[()=>1]", NotWritten.NOT_PLAIN],
  ["[new Date]", NotWritten.NOT_PLAIN],
  ["[new Proxy({},{})]", NotWritten.NOT_PLAIN],
  ["[Object.create(null)]", NotWritten.NOT_PLAIN],
  ["(()=>{const o={};return [o,o]})()", NotWritten.NOT_PLAIN],
];

/** @param evaluate gives an owned `JSValue*` */
export function checkPlainWriter(instance: Instance, layout: ObjectLayout, evaluate: (source: string) => number): void {
  const writer = new PlainWriter(layout);
  for (const [source, expected] of CHECKED) {
    const written = writer.write(instance, evaluate(`(${source})`), false, 1 << 20);
    if (written !== expected) throw new EngineAbort(`calibration failed: ${source} is written as ${written}`);
  }
}
