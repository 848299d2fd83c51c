/** Small things with values and properties. */
import { defineProperty, getOwnPropertyDescriptor, hasOwn } from "./intrinsics.js";

/** Text that is safe to read as an own property whatever the key is. */
export function ownValue(object: object, key: PropertyKey): unknown {
  const descriptor = getOwnPropertyDescriptor(object, key);
  return descriptor === undefined ? undefined : hasOwnValue(descriptor) ? descriptor.value : undefined;
}

/** True for a data property; a descriptor of the engine always owns its fields. */
export function hasOwnValue(descriptor: PropertyDescriptor): boolean {
  return hasOwn(descriptor, "value");
}

/** What a `message` that was assigned says: that of a primitive its text, as the `toString` of errors has it. */
export function messageText(value: unknown): string | undefined {
  const hasNone = value === undefined || typeof value === "symbol" || isObject(value);
  return hasNone ? undefined : `${value as string}`;
}

export function isObject(value: unknown): value is object {
  return typeof value === "object" ? value !== null : typeof value === "function";
}

/** Gives a property another value, and leaves its attributes as they are. */
export function replaceProperty(object: object, key: PropertyKey, value: unknown): void {
  const descriptor = { __proto__: null, ...getOwnPropertyDescriptor(object, key), value };
  defineProperty(object, key, descriptor as PropertyDescriptor);
}
