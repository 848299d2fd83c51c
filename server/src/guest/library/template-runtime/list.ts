import { setPrototypeOf } from "../../intrinsics.js";

/** An array that no setter of the guest can see being filled: `items[items.length] = x` is all one may do with it. */
export function list<T>(): T[] {
  const items: T[] = [];
  setPrototypeOf(items, null);
  return items;
}
