/**
 * Parts of the realm that are large or rare. Their source is not in the base image, of which every session is a copy; the
 * host supplies it when a session first needs it. Each file of `library/` is one, and is run once in a session.
 *
 * A library is run after guest code, which may have broken whatever it could reach. So it is given what it needs of the
 * kernel's captured intrinsics, or imports them from files that capture nothing.
 */
import { loadLibrary } from "./host.js";
import { defineProperty } from "./intrinsics.js";

/** A library that is loaded when it is first asked for. @param name of its file */
export function lazy<T>(name: string): () => T {
  let loaded: { readonly library: T } | undefined;
  return () => {
    loaded ??= { library: loadLibrary(name) as T };
    return loaded.library;
  };
}

/** Defines names of the global object whose values, properties of the library with these names, come at first use. */
export function defineLazyGlobals(library: () => Record<string, unknown>, names: readonly string[]): void {
  for (let i = 0; i < names.length; i++) defineLazyGlobal(library, names[i] as string);
}

/** Until it is used it is an accessor; reading or writing makes it the data property that it is everywhere else. */
function defineLazyGlobal(library: () => Record<string, unknown>, name: string): void {
  const become = (value: unknown): unknown => {
    defineProperty(globalThis, name, {
      __proto__: null,
      value,
      writable: true,
      enumerable: false,
      configurable: true,
    } as PropertyDescriptor);
    return value;
  };
  defineProperty(globalThis, name, {
    __proto__: null,
    get: () => become(library()[name]),
    set: become,
    enumerable: false,
    configurable: true,
  } as PropertyDescriptor);
}
