/**
 * How values, objects and strings of the guest lie in memory: what is read there without asking the engine. A check tries each of
 * these out before any session begins.
 */
import { EngineAbort, type Instance } from "./instance.js";

/** The upper half of a `JSValue`. Each other number there is part of a double, see `FLOAT_ADDEND`. */
export const Tag = {
  BIG_INT: -9,
  SYMBOL: -8,
  STRING: -7,
  ROPE: -6,
  OBJECT: -1,
  INT: 0,
  BOOL: 1,
  NULL: 2,
  UNDEFINED: 3,
  SHORT_BIG_INT: 7,
} as const;
/** Tags lie between these. */
export const FIRST_TAG = -9;
export const LAST_TAG = 7;
/** What the upper half of a double is told with more than it is. */
export const FLOAT_ADDEND = 0x8007_fff6;

/** `JSObject`, in words. In that of its header: flags in the second byte, its class in the upper half. `DATA` is what a class keeps. */
export const JSObject = { HEADER: 1, SHAPE: 5, PROPERTIES: 6, DATA: 8, VALUES: 9, COUNT: 10 } as const;
/** Of those that object-classes.ts checks. */
export const CLASS_OBJECT = 1;
export const CLASS_ARRAY = 2;
export const CLASS_DATE = 10;
export const CLASS_MAP = 35;
export const CLASS_SET = 36;
/** In its header: elements stand in `VALUES`, all of them, as many as `COUNT` says. */
export const FAST_ARRAY = 0x800;

/** `JSShape`, in words: how many properties there are, and of each from `FIRST` on the two words of a `JSShapeProperty`. */
export const JSShape = { COUNT: 8, PROTOTYPE: 11, FIRST: 12 } as const;
/** The flags of a property stand in the upper bits of its first word; the second is its atom, 0 for one that was deleted. */
export const PROPERTY_FLAGS = 26;
export const ENUMERABLE = 4;
/** Of the flags those that tell its kind: 0 for a value. */
export const KIND = 0x30;
export const ACCESSOR = 0x10;

/** `JSString`, in words: its length, with the top bit set where units take two bytes; the kind of atom in the upper bits of `ATOM`. */
export const JSString = { LENGTH: 1, ATOM: 2 } as const;
/** Bytes before the units of a string. */
export const STRING_HEADER = 16;
export const ATOM_KIND = 30;
/** The kind of an atom that is a string, and no symbol. */
export const STRING_ATOM = 1;
/** `JSStringRope`, in words: the two strings that it consists of. */
export const JSStringRope = { LEFT: 4, RIGHT: 6 } as const;

/** `JSMapState`, in words: a list of its records, of which the second word leads to the first record, and how many there are. */
export const JSMapState = { RECORDS: 1, COUNT: 3 } as const;
/** `JSMapRecord`, in words; it begins with its links, of which the second leads to the next. */
export const JSMapRecord = { KEY: 4, VALUE: 6 } as const;

/** Addresses that the guest's objects are told by. */
export interface ObjectLayout {
  /** The word of the runtime that leads to its table of atoms. */
  readonly atomsWord: number;
  readonly objectPrototype: number;
  readonly arrayPrototype: number;
}

const RUNTIME_STRUCT_WORDS = 128;
/** Nobody else has an atom of this name. */
const PROBED = "livescope$probed";

/**
 * Finds them on a copy of the memory.
 *
 * @param evaluate gives an owned `JSValue*`
 */
export function findObjectLayout(
  { words, bytes }: Instance,
  runtime: number,
  evaluate: (source: string) => number,
): ObjectLayout {
  const word = (address: number): number => words[address >> 2] ?? 0;
  const objectOf = (source: string): number => word(evaluate(source));
  const shape = word(objectOf(`({${PROBED}:1})`) + JSObject.SHAPE * 4);
  const atom = word(shape + JSShape.FIRST * 4 + 4);
  const found = Array.from({ length: RUNTIME_STRUCT_WORDS }, (_, i) => runtime + i * 4).filter((address) => {
    const string = word(word(address) + atom * 4) + STRING_HEADER;
    return bytes.toString("latin1", string, string + PROBED.length) === PROBED;
  });
  if (found.length !== 1) throw new EngineAbort("calibration failed: the table of atoms was not found");
  return {
    atomsWord: found[0] ?? 0,
    objectPrototype: objectOf("Object.prototype"),
    arrayPrototype: objectOf("Array.prototype"),
  };
}
