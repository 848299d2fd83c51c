/** How classes of the web platform look from outside, as WebIDL says. For libraries: what they offer guest code may break. */
import { defineProperty, getOwnPropertyDescriptor, ownKeys } from "./intrinsics.js";

// biome-ignore lint/complexity/noBannedTypes: any class
type AnyClass = Function & { readonly prototype: object };

/** Members are enumerable, and the class has its name, which the bundler may have changed, also for `Object.prototype.toString`. */
export function asInterface(cls: AnyClass, name: string): void {
  defineProperty(cls, "name", { __proto__: null, value: name, configurable: true } as PropertyDescriptor);
  makeEnumerable(cls.prototype);
  makeEnumerable(cls);
  defineProperty(cls.prototype, Symbol.toStringTag, {
    __proto__: null,
    value: name,
    configurable: true,
  } as PropertyDescriptor);
}

function makeEnumerable(object: object): void {
  const keys = ownKeys(object);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string | symbol;
    if (typeof key === "symbol" || key === "constructor" || isOfFunctions(object, key)) continue;
    defineProperty(object, key, { __proto__: null, enumerable: true } as PropertyDescriptor);
  }
}

function isOfFunctions(object: object, key: string): boolean {
  return typeof object === "function" && (key === "length" || key === "name" || key === "prototype");
}

/** Constants stand on the class and on its prototype. */
export function defineConstants(cls: AnyClass, constants: readonly (readonly [name: string, value: number])[]): void {
  for (let i = 0; i < constants.length; i++) {
    const [name, value] = constants[i] as readonly [string, number];
    const descriptor = { __proto__: null, value, enumerable: true } as PropertyDescriptor;
    defineProperty(cls, name, descriptor);
    defineProperty(cls.prototype, name, descriptor);
  }
}

/** @throws TypeError where a caller gave fewer arguments than it must */
export function requireArguments(count: number, wanted: number, what: string): void {
  if (count < wanted) {
    throw new TypeError(`${what}: ${wanted} argument${wanted === 1 ? "" : "s"} required, but only ${count} present`);
  }
}

/** A dictionary: undefined and null are empty. @throws TypeError for what is no object */
export function toDictionary(value: unknown, what: string): Record<string, unknown> {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" && typeof value !== "function") throw new TypeError(`${what} must be an object`);
  return value as Record<string, unknown>;
}

/** The data property that a getter of an object has. */
export function getterOf(object: object, key: PropertyKey): () => unknown {
  return getOwnPropertyDescriptor(object, key)?.get as () => unknown;
}
