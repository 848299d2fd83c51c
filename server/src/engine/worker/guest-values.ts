/**
 * Reads values of the guest straight from where they lie in its memory, for those who write them: it runs no code of the guest. What it is
 * not sure of, it leaves to the kernel.
 */
import {
  ACCESSOR,
  ATOM_KIND,
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
import type { Instance } from "./instance.js";

/** Why a value is not written: the kernel is to look at it, or JSON would change it for certain. */
export const NotWritten = { UNKNOWN: -1, NOT_PLAIN: -2 } as const;
export type NotWritten = (typeof NotWritten)[keyof typeof NotWritten];

/** Thrown where a writer gives up. */
export class GivenUp {
  readonly why: NotWritten;
  constructor(why: NotWritten) {
    this.why = why;
  }
}
export const UNKNOWN = new GivenUp(NotWritten.UNKNOWN);
export const NOT_PLAIN = new GivenUp(NotWritten.NOT_PLAIN);

/** The engine balances ropes that are deeper than some sixty. */
const ROPE_DEPTH = 100;

/** An own enumerable property that is named by a string, of all objects of one shape. */
export interface Property {
  /** Its name and a colon, as JSON text. */
  readonly head: string;
  readonly name: string;
  /** Where its value stands among those of the object, in words. */
  readonly offset: number;
}

/** What objects of one shape have. */
export interface Shape {
  readonly properties: readonly Property[];
  /** Some are named by symbols; so are the private ones of classes. */
  readonly hasSymbols: boolean;
  /** One of the properties is an accessor. */
  readonly hasAccessors: boolean;
}

const NO_WORDS: Int32Array = new Int32Array();
const NO_BYTES: Buffer = Buffer.alloc(0);
const double = new Float64Array(1);
const halves = new Int32Array(double.buffer);

export class GuestValues {
  readonly layout: ObjectLayout;
  /** The memory that is read. */
  words = NO_WORDS;
  #bytes = NO_BYTES;
  /** The most units that a string may have, and all names of an object. */
  #longest = 0;
  /** Of one value, as shapes come and go. */
  readonly #shapes = new Map<number, Shape>();

  constructor(layout: ObjectLayout) {
    this.layout = layout;
  }

  /** @param longest the most units that a string may have, and all names of an object: of a longer one nothing is read */
  begin({ words, bytes }: Instance, longest: number): void {
    this.words = words;
    this.#bytes = bytes;
    this.#longest = longest;
  }

  /** Nothing is kept of the memory: its session may be gone before another value is read. */
  end(): void {
    this.words = NO_WORDS;
    this.#bytes = NO_BYTES;
    this.#shapes.clear();
  }

  /** Undefined where the two words are no number. */
  numberOf(low: number, tag: number): number | undefined {
    if (tag === Tag.INT) return low;
    if (tag >= FIRST_TAG && tag <= LAST_TAG) return undefined;
    halves[0] = low;
    halves[1] = tag - FLOAT_ADDEND;
    return double[0];
  }

  /** What a string says, or a rope. @param at of its `JSValue`, in words */
  textAt(at: number, depth = 0): string {
    const string = (this.words[at] as number) >>> 2;
    const tag = this.words[at + 1];
    if (tag === Tag.STRING) return this.#textOf(string);
    if (tag !== Tag.ROPE || depth > ROPE_DEPTH) throw UNKNOWN;
    if (((this.words[string + JSString.LENGTH] as number) & 0x7fff_ffff) > this.#longest) throw UNKNOWN;
    return this.textAt(string + JSStringRope.LEFT, depth + 1) + this.textAt(string + JSStringRope.RIGHT, depth + 1);
  }

  /** @param string a `JSString`, in words */
  #textOf(string: number): string {
    const length = this.words[string + JSString.LENGTH] as number;
    const units = length & 0x7fff_ffff;
    if (units > this.#longest) throw UNKNOWN;
    const start = string * 4 + STRING_HEADER;
    return length < 0
      ? this.#bytes.toString("utf16le", start, start + units * 2)
      : this.#bytes.toString("latin1", start, start + units);
  }

  /** How many elements an array has that has nothing else. @param array in words */
  itemCountOf(array: number): number {
    const { words } = this;
    const shape = (words[array + JSObject.SHAPE] as number) >>> 2;
    const count = words[array + JSObject.COUNT] as number;
    const length = (words[array + JSObject.PROPERTIES] as number) >>> 2;
    // Of its properties the first is always its length.
    const isWhole = words[length] === count && words[length + 1] === Tag.INT && words[shape + JSShape.COUNT] === 1;
    if (((words[array + JSObject.HEADER] as number) & FAST_ARRAY) === 0 || !isWhole) throw UNKNOWN;
    return count;
  }

  /** @param shape in words */
  shapeAt(shape: number): Shape {
    let known = this.#shapes.get(shape);
    if (known === undefined) {
      known = this.#read(shape);
      this.#shapes.set(shape, known);
    }
    return known;
  }

  #read(shape: number): Shape {
    const count = this.words[shape + JSShape.COUNT] as number;
    const properties: Property[] = [];
    let hasSymbols = false;
    let hasAccessors = false;
    let units = 0;
    for (let i = 0; i < count; i++) {
      const at = shape + JSShape.FIRST + i * 2;
      const flags = (this.words[at] as number) >>> PROPERTY_FLAGS;
      const atom = this.words[at + 1] as number;
      if (atom === 0) continue;
      const isSymbol = this.#isSymbol(atom);
      hasSymbols ||= isSymbol;
      // A name that is not written is not read: it may be long, and that of many shapes.
      if (isSymbol || (flags & ENUMERABLE) === 0) continue;
      const name = this.#nameOf(atom);
      // Indices come first, in order.
      if (name >= "0" && name < ":") throw UNKNOWN;
      if ((flags & KIND) === ACCESSOR) hasAccessors = true;
      else if ((flags & KIND) !== 0) throw UNKNOWN;
      const head = `${JSON.stringify(name)}:`;
      units += head.length;
      // All of them would not be written.
      if (units > this.#longest) throw UNKNOWN;
      properties.push({ head, name, offset: i * 2 });
    }
    return { properties, hasSymbols, hasAccessors };
  }

  #isSymbol(atom: number): boolean {
    // An index is none.
    if (atom < 0) return false;
    return (this.words[this.#stringOf(atom) + JSString.ATOM] as number) >>> ATOM_KIND !== STRING_ATOM;
  }

  #nameOf(atom: number): string {
    // An index.
    return atom < 0 ? "0" : this.#textOf(this.#stringOf(atom));
  }

  /** The `JSString` of an atom that is no index, in words. */
  #stringOf(atom: number): number {
    const atoms = (this.words[this.layout.atomsWord >> 2] as number) >>> 2;
    return (this.words[atoms + atom] as number) >>> 2;
  }
}
