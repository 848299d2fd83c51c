/**
 * What the library uses of the realm: the kernel's own, taken before any guest code ran. The rules of ../../intrinsics.ts hold
 * for all files of this folder; they take everything from here, never from a global.
 */
import { natives, setPrototypeOf, uncurried } from "../../intrinsics.js";

export { classOf, promiseResult, promiseState } from "../../host.js";
export { dataProperty, isError } from "../../inspect.js";
export {
  arrayBufferLength,
  bigintToString,
  construct,
  dateToIso,
  dateValue,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  indexOf,
  isArray,
  isFiniteNumber,
  mapForEach,
  mapSize,
  numberToString,
  ownKeys,
  regexpFlags,
  regexpSource,
  SafeMap,
  setForEach,
  setSize,
  slice,
  symbolToString,
  toStringTag,
  typedArrayLength,
  typedArrayTag,
} from "../../intrinsics.js";
export { plainJson } from "../../plain-json.js";
export { isProxy } from "../../proxies.js";

export const BytesOf = natives.Uint8Array;
export const parseFloatOf = natives.parseFloat;
export const charCodeAt = uncurried<(text: string, index: number) => number>(natives.charCodeAt);
export const functionToString = uncurried<(value: object) => string>(natives.functionToString);
// Each throws unless the object is of its class.
export const numberOf = uncurried<(value: object) => number>(natives.numberOf);
export const stringOf = uncurried<(value: object) => string>(natives.stringOf);
export const booleanOf = uncurried<(value: object) => boolean>(natives.booleanOf);
export const bigintOf = uncurried<(value: object) => bigint>(natives.bigintOf);
export const symbolOf = uncurried<(value: object) => symbol>(natives.symbolOf);
export const viewLength = uncurried<(view: object) => number>(natives.viewLength);
export const viewOffset = uncurried<(view: object) => number>(natives.viewOffset);
export const viewBuffer = uncurried<(view: object) => object>(natives.viewBuffer);

/** An array that no setter of the guest can see being filled: `items[items.length] = x` is all one may do with it. */
export function list<T>(): T[] {
  const items: T[] = [];
  setPrototypeOf(items, null);
  return items;
}
