/**
 * What the library uses of the realm: the kernel's own, taken before any guest code ran. The rules of ../../intrinsics.ts hold
 * for all files of this folder; they take everything from here, never from a global.
 */
import { setPrototypeOf } from "../../intrinsics.js";

export { classOf, promiseResult, promiseState } from "../../host-asks.js";
export { dataProperty, isError } from "../../inspect.js";
export {
  construct,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  indexOf,
  isArray,
  isFiniteNumber,
  numberToString,
  ownKeys,
  SafeMap,
  slice,
  toStringTag,
} from "../../intrinsics.js";
export * from "../../methods.js";
export { plainJson } from "../../plain-json.js";
export { isProxy } from "../../proxies.js";

/** An array that no setter of the guest can see being filled: `items[items.length] = x` is all one may do with it. */
export function list<T>(): T[] {
  const items: T[] = [];
  setPrototypeOf(items, null);
  return items;
}
