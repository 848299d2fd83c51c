/** Names of the session's top level, and of the bindings that one source alone sees. */

import {
  defineProperty,
  getOwnPropertyDescriptor,
  hasOwnValue,
  jsonParse,
  KernelReferenceError,
  KernelTypeError,
  ownKeys,
  SafeWeakSet,
} from "./intrinsics.js";

/** The global object, whatever guest code makes of the name `globalThis`. */
export const globalObject = globalThis as unknown as Record<string, unknown>;

/** Getters of top-level constants: the kernel's own, so looking at a constant may call them. */
export const constantGetters = new SafeWeakSet<() => unknown>();

let bindings: object | undefined;

/** Puts the scope object of a source ready that is about to run; undefined takes it away. */
export function offerBindings(scope: object | undefined): void {
  bindings = scope;
}

/**
 * Prepares the top-level names of a source that is about to run, so that they can be declared again by a later one.
 *
 * @param text JSON text of `[variables, constants]`
 */
export function declare(text: string): void {
  const names = jsonParse(text) as [string[], string[]];
  const variables = names[0];
  for (let i = 0; i < variables.length; i++) {
    const name = variables[i] as string;
    const known = getOwnPropertyDescriptor(globalObject, name);
    if (known === undefined || (known.configurable === true && !hasOwnValue(known))) defineVariable(name, undefined);
  }
  const constants = names[1];
  for (let i = 0; i < constants.length; i++) declareConstant(constants[i] as string);
}

export function defineVariable(name: string, value: unknown): void {
  defineProperty(globalObject, name, {
    __proto__: null,
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  } as PropertyDescriptor);
}

/** An accessor whose first assignment, the declaration's own, gives it its value. A permanent `var` stays one. */
function declareConstant(name: string): void {
  const known = getOwnPropertyDescriptor(globalObject, name);
  if (known !== undefined && known.configurable !== true) return;
  let value: unknown;
  let initialised = false;
  const get = (): unknown => value;
  constantGetters.add(get);
  defineProperty(globalObject, name, {
    __proto__: null,
    get,
    set: (given: unknown) => {
      if (initialised) throw new KernelTypeError(`Assignment to constant variable '${name}'`);
      initialised = true;
      value = given;
    },
    enumerable: true,
    configurable: true,
  } as PropertyDescriptor);
}

/** Function declarations of a source with bindings stand in a block; this gives them to the session. */
export function declareFunctions(functions: Record<string, unknown>): void {
  const names = ownKeys(functions);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const known = getOwnPropertyDescriptor(globalObject, name);
    if (known === undefined || known.configurable === true) defineVariable(name, functions[name]);
    else globalObject[name] = functions[name];
  }
}

/** The scope object of the source that begins to run; given out once. */
export function takeBindings(): object {
  const scope = bindings;
  bindings = undefined;
  if (scope === undefined) throw new KernelReferenceError("no bindings are waiting to be taken");
  return scope;
}
