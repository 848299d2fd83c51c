/**
 * The intrinsics the kernel uses, taken before any guest code runs.
 *
 * Guest code may replace or break everything it can reach. So the kernel never looks a method up on a guest-reachable
 * prototype: it calls what is captured here. Rules for all files of this folder: no array methods and no `arr[i] = x` on
 * fresh arrays (setters on Array.prototype would see it), no spread, no for-of, no reading of fields that may be absent
 * (Object.prototype would answer).
 */

import { uncurried } from "./uncurried.js";

// biome-ignore lint/complexity/noBannedTypes: any guest function
type AnyFunction = Function;

export const {
  apply,
  construct,
  defineProperty,
  deleteProperty,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  ownKeys,
  setPrototypeOf,
} = Reflect;
export const { freeze, create, keys: objectKeys } = Object;
export const isArray = Array.isArray;
export const jsonParse = JSON.parse;
export const stringify = JSON.stringify as (text: string) => string;
export const { isFinite: isFiniteNumber } = Number;
export const dateNow = Date.now;

/** For uncurried.ts. */
export const bind = Function.prototype.bind;
export const callFunction = Function.prototype.call;
export const slice = uncurried<(text: string, start: number, end?: number) => string>(String.prototype.slice);
export const indexOf = uncurried<(text: string, wanted: string, from?: number) => number>(String.prototype.indexOf);
export const isWellFormed = uncurried<(text: string) => boolean>(
  (String.prototype as unknown as { isWellFormed: () => boolean }).isWellFormed,
);
export const numberToString = uncurried<(value: number | bigint, radix?: number) => string>(Number.prototype.toString);
export const { toStringTag } = Symbol;
/** The name of a typed array's class, undefined for everything else; a getter of the engine that cannot be fooled. */
export const typedArrayTag = uncurried<(value: object) => string | undefined>(
  getter(getPrototypeOf(Uint8Array.prototype) as object, toStringTag),
);

export const promiseReject = Promise.reject;
export const KernelPromise = Promise;

export const KernelProxy = Proxy;

export const ObjectPrototype = Object.prototype;
export const ArrayPrototype = Array.prototype;
export const ErrorPrototype = Error.prototype;
export const SyntaxErrorPrototype = SyntaxError.prototype;
export const FunctionPrototype = Function.prototype;
export const KernelError = Error;
export const KernelTypeError = TypeError;
export const KernelReferenceError = ReferenceError;
export const KernelSyntaxError = SyntaxError;

function getter(proto: object, key: PropertyKey): AnyFunction {
  return getOwnPropertyDescriptor(proto, key)?.get as AnyFunction;
}

/**
 * Makes a subclass whose instances use the engine's own methods whatever becomes of the guest-visible class; those that the
 * kernel and its libraries call, for each session carries each of them.
 */
function sealedClass<C extends { prototype: object }>(derived: C, base: { prototype: object }, names: string[]): C {
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    defineProperty(derived.prototype, name, getOwnPropertyDescriptor(base.prototype, name) as PropertyDescriptor);
  }
  setPrototypeOf(derived.prototype, null);
  return freeze(derived);
}

export const SafeMap = sealedClass(class SafeMap<K, V> extends Map<K, V> {}, Map, [
  "get",
  "set",
  "has",
  "delete",
  "clear",
  "size",
  "forEach",
]);
export type SafeMap<K, V> = Map<K, V>;
export const SafeWeakSet = sealedClass(class SafeWeakSet<T extends object> extends WeakSet<T> {}, WeakSet, [
  "has",
  "add",
]);

/** The getter that reading a property would run, own or inherited; undefined where it would run none. */
export const lookupGetter = uncurried<(object: object, key: PropertyKey) => unknown>(
  (Object.prototype as unknown as { __lookupGetter__: AnyFunction }).__lookupGetter__,
);

const hasOwn = uncurried<(object: object, key: PropertyKey) => boolean>(Object.prototype.hasOwnProperty);

export { hasOwn };
