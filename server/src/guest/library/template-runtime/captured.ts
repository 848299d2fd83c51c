/** What the kernel gives this library: it took it before any guest code ran. */
import type { Captured } from "../../templates.js";

export let captured: Captured;

/** To be called once, before anything else of the library. */
export function capture(given: Captured): void {
  captured = given;
}

/** An array that no setter of the guest can see being filled: `items[items.length] = x` is all one may do with it. */
export function list<T>(): T[] {
  const items: T[] = [];
  captured.setPrototypeOf(items, null);
  return items;
}
