/**
 * What the libraries `graph` and `bytes` work with, taken before any guest code runs: classes, prototypes and methods of the
 * realm as they come. Making each a function of its own would cost every session memory that only those pay who use them.
 */

type AnyFunction = (...args: never) => unknown;

function getter(proto: object, key: PropertyKey): AnyFunction {
  return Reflect.getOwnPropertyDescriptor(proto, key)?.get as AnyFunction;
}

const typedArray = Reflect.getPrototypeOf(Uint8Array.prototype) as object;

export const originals = {
  mapSet: Map.prototype.set,
  setAdd: Set.prototype.add,
  detached: getter(ArrayBuffer.prototype, "detached"),
  bytesBuffer: getter(typedArray, "buffer"),
  bytesOffset: getter(typedArray, "byteOffset"),
  bytesLength: getter(typedArray, "byteLength"),
  bytesSet: Uint8Array.prototype.set,
  Date,
  RegExp,
  Map,
  Set,
  BigInt,
  Object,
} as const;

/** Views of buffers, in the order of their names in library/graph/names.ts. */
export const viewClasses: readonly unknown[] = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
  (globalThis as unknown as { Float16Array: unknown }).Float16Array,
  Float32Array,
  Float64Array,
  DataView,
];

/** Classes of errors, in the order of their names in library/graph/names.ts. */
export const errorClasses: readonly { readonly prototype: object }[] = [
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
  AggregateError,
  (globalThis as unknown as { InternalError: ErrorConstructor }).InternalError,
  Error,
];
