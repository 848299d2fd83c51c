/**
 * Methods that only libraries use, as they come, taken before any guest code runs. Made into functions here, each session would
 * carry them; methods.ts does it, in the libraries.
 */
import { getOwnPropertyDescriptor, getPrototypeOf } from "./intrinsics.js";

// biome-ignore lint/complexity/noBannedTypes: any method
type Method = Function;

function getter(proto: object, key: PropertyKey): Method {
  return getOwnPropertyDescriptor(proto, key)?.get as Method;
}

const typedArray = getPrototypeOf(Uint8Array.prototype) as object;

export const { charCodeAt, padStart, toLowerCase } = String.prototype;
export const { toWellFormed } = String.prototype as unknown as { toWellFormed: () => string };
export const stringFrom = String;
export const bigintToString = BigInt.prototype.toString;
export const symbolToString = Symbol.prototype.toString;
export const { iterator, asyncIterator } = Symbol;
export const dateToIso = Date.prototype.toISOString;
export const dateValue = Date.prototype.getTime;
export const regexpExec = RegExp.prototype.exec;
export const regexpSource = getter(RegExp.prototype, "source");
export const FLAGS = "dgimsuvy";
export const flagGetters = [
  "hasIndices",
  "global",
  "ignoreCase",
  "multiline",
  "dotAll",
  "unicode",
  "unicodeSets",
  "sticky",
].map((name) => getter(RegExp.prototype, name));
export const mapSize = getter(Map.prototype, "size");
export const setSize = getter(Set.prototype, "size");
export const mapForEach = Map.prototype.forEach;
export const setForEach = Set.prototype.forEach;
export const typedArrayLength = getter(typedArray, "length");
export const arrayBufferLength = getter(ArrayBuffer.prototype, "byteLength");
export const viewLength = getter(DataView.prototype, "byteLength");
export const viewOffset = getter(DataView.prototype, "byteOffset");
export const viewBuffer = getter(DataView.prototype, "buffer");
export const promiseFinally = Promise.prototype.finally;
export const { withResolvers: promiseWithResolvers, try: promiseTry } = Promise as unknown as {
  withResolvers: Method;
  try: Method;
};
export const functionToString = Function.prototype.toString;
export const numberOf = Number.prototype.valueOf;
export const KernelNumber = Number;
export const stringOf = String.prototype.valueOf;
export const booleanOf = Boolean.prototype.valueOf;
export const bigintOf = BigInt.prototype.valueOf;
export const symbolOf = Symbol.prototype.valueOf;
export const parseFloatOf = parseFloat;
export const parseIntOf = parseInt;
export const BytesOf = Uint8Array;

const syncPrototype = getPrototypeOf((function* () {})() as object) as object;
const asyncPrototype = getPrototypeOf((async function* () {})() as object) as object;
export const SyncGenerator = getPrototypeOf(syncPrototype) as object;
export const AsyncGenerator = getPrototypeOf(asyncPrototype) as object;
export const nextOfSync = (SyncGenerator as { next: () => IteratorResult<unknown> }).next;
export const nextOfAsync = (AsyncGenerator as { next: () => Promise<IteratorResult<unknown>> }).next;

export const KernelWeakRef = WeakRef;
export const KernelFinalizationRegistry = FinalizationRegistry;
export const { deref } = WeakRef.prototype;
export const { register } = FinalizationRegistry.prototype;
/** In the order of their names in library/host-functions.ts. */
export const errorClasses = [TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError];
