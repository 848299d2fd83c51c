/**
 * Parts of the realm, and of the kernel, that are large or rare. They are not in the base image, of which every session is a
 * copy; the host supplies them when a session first needs them. Each file of `library/` is one, and is run once in a session.
 *
 * A library is run after guest code, which may have broken whatever it could reach. So one that the kernel itself relies on
 * follows the rules of intrinsics.ts, whose values it may import like any other of the kernel: it is given the kernel's own. One
 * that only offers names to guest code may use the realm as it finds it; it imports of the kernel only what guest code may have.
 */
import { shared } from "#shared";
import { loadLibrary } from "./host.js";
import { create, defineProperty, freeze } from "./intrinsics.js";
import { globalObject } from "./names.js";

type Library = Readonly<Record<string, unknown>>;

/** By name; without a prototype, so that what is absent is absent. */
export const loaded = create(null) as Record<string, Library | undefined>;

/** What libraries import of the kernel. Taken once, so that what only they need is held by nothing but this. */
let given: readonly unknown[];

/** Called when all that the kernel consists of is there. */
export function connectLibraries(): void {
  given = shared();
}

/** What the library exports, an object without prototype; it is loaded when it is first asked for. @param name of its file */
export function library(name: string): Library {
  let exports = loaded[name];
  if (exports === undefined) {
    // Compiled sources call some, so guest code may get hold of them.
    exports = freeze((loadLibrary(name) as (given: readonly unknown[]) => Library)(given));
    loaded[name] = exports;
  }
  return exports;
}

/** Defines names of the global object whose values, exports of the library with these names, come at first use. */
export function defineLazyGlobals(from: string, names: readonly string[]): void {
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    // One function as getter and as setter: each session carries a copy of each.
    const access = (...given: [unknown?]): unknown => become(name, given.length === 0 ? library(from)[name] : given[0]);
    defineProperty(globalObject, name, {
      __proto__: null,
      get: access,
      set: access,
      enumerable: false,
      configurable: true,
    } as PropertyDescriptor);
  }
}

/** Once it was read or written it is the data property that it is everywhere else. */
function become(name: string, value: unknown): unknown {
  defineProperty(globalObject, name, {
    __proto__: null,
    value,
    writable: true,
    enumerable: false,
    configurable: true,
  } as PropertyDescriptor);
  return value;
}
