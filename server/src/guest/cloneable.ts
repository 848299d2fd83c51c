/** What kind of thing the engine takes a value for, as far as `structuredClone` cares; for libraries. */
import { isPromise } from "./host.js";
import { isProxy } from "./proxies.js";

type Method = (this: unknown, ...args: unknown[]) => unknown;

const { apply, getPrototypeOf } = Reflect;
const objectToString = Object.prototype.toString;
const isError = (Error as unknown as { isError(value: unknown): boolean }).isError;

/** Methods that work on one kind of object only, and change nothing. */
const WRAPPERS = [Boolean, Number, String, BigInt].map((cls) => cls.prototype.valueOf) as Method[];
const CLOSED = [
  WeakMap.prototype.has,
  WeakSet.prototype.has,
  WeakRef.prototype.deref,
  FinalizationRegistry.prototype.unregister,
  Symbol.prototype.valueOf,
] as Method[];

/** What the engine's own iterators and generators inherit from, below the prototype that all iterators share. */
const ITERATORS = new Set<unknown>([
  getPrototypeOf([].values()),
  getPrototypeOf(new Map().values()),
  getPrototypeOf(new Set().values()),
  getPrototypeOf(""[Symbol.iterator]()),
  getPrototypeOf("".matchAll(/./g)),
  getPrototypeOf(getPrototypeOf((function* () {})()) as object),
  getPrototypeOf(getPrototypeOf((async function* () {})()) as object),
]);

/** True where the method takes the value for its own. */
export function answers(method: Method, value: unknown): boolean {
  try {
    apply(method, value, [{}]);
    return true;
  } catch {
    return false;
  }
}

/** The primitive in a wrapper object; undefined for everything else. */
export function unwrapped(value: object): unknown {
  const method = WRAPPERS.find((it) => answers(it, value));
  return method === undefined ? undefined : apply(method, value, []);
}

export { isError };

/** Objects that hold what no copy could have. Asked last, of what is no other kind. */
export function isClosed(value: object): boolean {
  if (isPromise(value) || value === globalThis || CLOSED.some((method) => answers(method, value))) return true;
  for (let object: object | null = value; object !== null && !isProxy(object); object = getPrototypeOf(object)) {
    if (ITERATORS.has(object)) return true;
  }
  return !(Symbol.toStringTag in value) && apply(objectToString, value, []) === "[object Arguments]";
}
