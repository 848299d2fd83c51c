import { setPrototypeOf } from "../../intrinsics.js";

/** An array that setters on Array.prototype do not see; it has no methods. */
export interface List<T> {
  readonly length: number;
  [index: number]: T;
}

export function createList<T>(): List<T> {
  const list: T[] = [];
  setPrototypeOf(list, null);
  return list;
}
