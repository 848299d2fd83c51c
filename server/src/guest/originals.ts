/**
 * What the graph library works with, taken before any guest code runs: classes, prototypes and unbound methods of the
 * realm. They stand here as they are, because making each a function of its own would cost every session memory that
 * only those pay who use the library.
 */

type AnyFunction = (...args: never) => unknown;

function getter(proto: object, key: PropertyKey): AnyFunction {
  return Reflect.getOwnPropertyDescriptor(proto, key)?.get as AnyFunction;
}

const TypedArray = Reflect.getPrototypeOf(Uint8Array) as { prototype: object };
const IteratorPrototype = Reflect.getPrototypeOf(Reflect.getPrototypeOf([][Symbol.iterator]()) as object) as object;
const asyncGenerator = Reflect.getPrototypeOf(async function* () {}) as { prototype: object };

/** Prototypes by which objects are recognised, with the kind that each stands for. */
export const prototypes: readonly (readonly [object, string])[] = [
  [Date.prototype, "Date"],
  [RegExp.prototype, "RegExp"],
  [Map.prototype, "Map"],
  [Set.prototype, "Set"],
  [ArrayBuffer.prototype, "ArrayBuffer"],
  [DataView.prototype, "DataView"],
  [Number.prototype, "Number"],
  [String.prototype, "String"],
  [Boolean.prototype, "Boolean"],
  [BigInt.prototype, "BigInt"],
  [Symbol.prototype, "Symbol"],
  [Promise.prototype, "Promise"],
  [WeakMap.prototype, "live"],
  [WeakSet.prototype, "live"],
  [WeakRef.prototype, "live"],
  [FinalizationRegistry.prototype, "live"],
  [IteratorPrototype, "live"],
  [Reflect.getPrototypeOf(asyncGenerator.prototype) as object, "live"],
];

/** Asked of a value of the kind, each answers or throws; none runs guest code. */
export const methods = {
  Date: Date.prototype.getTime,
  RegExp: getter(RegExp.prototype, "global"),
  Map: getter(Map.prototype, "size"),
  Set: getter(Set.prototype, "size"),
  ArrayBuffer: getter(ArrayBuffer.prototype, "byteLength"),
  DataView: getter(DataView.prototype, "buffer"),
  Number: Number.prototype.valueOf,
  String: String.prototype.valueOf,
  Boolean: Boolean.prototype.valueOf,
  BigInt: BigInt.prototype.valueOf,
  Symbol: Symbol.prototype.valueOf,
};

export const regexp = {
  source: getter(RegExp.prototype, "source"),
  d: getter(RegExp.prototype, "hasIndices"),
  g: getter(RegExp.prototype, "global"),
  i: getter(RegExp.prototype, "ignoreCase"),
  m: getter(RegExp.prototype, "multiline"),
  s: getter(RegExp.prototype, "dotAll"),
  u: getter(RegExp.prototype, "unicode"),
  v: getter(RegExp.prototype, "unicodeSets"),
  y: getter(RegExp.prototype, "sticky"),
};

export const isError = (Error as unknown as { isError: (value: unknown) => boolean }).isError;
export const mapSet = Map.prototype.set;
export const setAdd = Set.prototype.add;
export const detached = getter(ArrayBuffer.prototype, "detached");

export const views = {
  buffer: getter(TypedArray.prototype, "buffer"),
  byteOffset: getter(TypedArray.prototype, "byteOffset"),
  byteLength: getter(TypedArray.prototype, "byteLength"),
  length: getter(TypedArray.prototype, "length"),
  dataByteOffset: getter(DataView.prototype, "byteOffset"),
  dataByteLength: getter(DataView.prototype, "byteLength"),
};

export const classes = {
  Date,
  RegExp,
  Map,
  Set,
  BigInt,
  Object,
  Error,
};

export const viewClasses: Readonly<Record<string, unknown>> = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
  Float16Array: (globalThis as unknown as { Float16Array: unknown }).Float16Array,
  Float32Array,
  Float64Array,
  DataView,
};

export const errorPrototypes: readonly (readonly [object, string])[] = [
  [EvalError.prototype, "EvalError"],
  [RangeError.prototype, "RangeError"],
  [ReferenceError.prototype, "ReferenceError"],
  [SyntaxError.prototype, "SyntaxError"],
  [TypeError.prototype, "TypeError"],
  [URIError.prototype, "URIError"],
  [AggregateError.prototype, "AggregateError"],
  [(globalThis as unknown as { InternalError: { prototype: object } }).InternalError.prototype, "InternalError"],
  [Error.prototype, "Error"],
];

export const { toStringTag } = Symbol;
