/** Names of the session's top level, and of the bindings that one source alone sees. */

import { CONTEXT_OWNER, cells, meetConstants } from "./host.js";
import {
  defineProperty,
  getOwnPropertyDescriptor,
  KernelReferenceError,
  KernelTypeError,
  SafeMap,
  SafeWeakSet,
} from "./intrinsics.js";
import { library } from "./libraries.js";
import { hasOwnValue } from "./properties.js";

/** The global object, whatever guest code makes of the name `globalThis`. */
export const globalObject = globalThis as unknown as Record<string, unknown>;

/** Getters of top-level constants: the kernel's own, so looking at a constant may call them. */
export const constantGetters = new SafeWeakSet<() => unknown>();

/**
 * Declarations that are still to run: executions, by their number and the name. Several may be under way that declare the same one, of
 * which any may come first.
 */
const pending = new SafeMap<string, number>();
/** With more it is looked which of them will never run. */
const MANY_PENDING = 100;

let bindings: object | undefined;

/** Puts the scope object of a source ready that is about to run; undefined takes it away. */
export function offerBindings(scope: object | undefined): void {
  bindings = scope;
}

/** Top-level names of a source; see compile/top-level.ts. */
export type Declared = readonly [
  variables: readonly string[],
  constants: readonly string[],
  vars: readonly string[],
  boundConstants: readonly string[],
];

/**
 * Prepares the top-level names of a source that is about to run, so that they can be declared again by a later one. A name
 * that is new cannot be read until its declaration has run; one that is not keeps its value until then.
 */
export function declare(declared: Declared): void {
  if (pending.size > MANY_PENDING) declarations().forgetEnded(pending);
  const variables = declared[0];
  for (let i = 0; i < variables.length; i++) {
    const name = variables[i] as string;
    const known = getOwnPropertyDescriptor(globalObject, name);
    if (known === undefined || (known.configurable === true && !hasOwnValue(known) && !isConstant(known))) {
      declareUninitialised(name, (value) => defineVariable(name, value));
      addPending(name);
    } else if (isConstant(known)) defineVariable(name, globalObject[name]);
    else if (known.configurable !== true) declarations().refuseFixed(name, known);
  }
  const constants = declared[1];
  for (let i = 0; i < constants.length; i++) {
    const name = constants[i] as string;
    const known = getOwnPropertyDescriptor(globalObject, name);
    if (known === undefined || (known.configurable === true && !hasOwnValue(known) && !isConstant(known))) {
      declareUninitialised(name, (value) => declareConstant(globalObject, name, value));
    } else if (known.configurable === true) declareConstant(globalObject, name, globalObject[name]);
    else declarations().refuseFixed(name, known);
    addPending(name);
    meetConstants();
  }
  const vars = declared[2];
  for (let i = 0; i < vars.length; i++) {
    const name = vars[i] as string;
    const known = getOwnPropertyDescriptor(globalObject, name);
    if (known !== undefined && isConstant(known)) defineVariable(name, globalObject[name]);
  }
  const boundConstants = declared[3];
  const scope = bindings as Record<string, unknown>;
  for (let i = 0; i < boundConstants.length; i++) {
    const name = boundConstants[i] as string;
    declareConstant(scope, name, scope[name]);
    addPending(name);
  }
}

/** A name that throws when it is read, and is not listed, until its declaration gives it a value. */
function declareUninitialised(name: string, initialise: (value: unknown) => void): void {
  defineProperty(globalObject, name, {
    __proto__: null,
    get: () => {
      throw new KernelReferenceError(`Cannot access '${name}' before initialization`);
    },
    set: (value: unknown) => {
      takePending(name);
      initialise(value);
    },
    enumerable: false,
    configurable: true,
  } as PropertyDescriptor);
}

function isConstant(known: PropertyDescriptor): boolean {
  return !hasOwnValue(known) && known.get !== undefined && constantGetters.has(known.get);
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

/**
 * A constant is an accessor, because as a read-only property it would ignore assignments in sloppy code. A permanent `var`
 * stays one.
 *
 * @param target the global object, or the scope object of bindings
 */
function declareConstant(target: object, name: string, value: unknown): void {
  const get = (): unknown => value;
  constantGetters.add(get);
  defineProperty(target, name, {
    __proto__: null,
    get,
    set: (given: unknown) => {
      if (!takePending(name)) throw new KernelTypeError(`Assignment to constant variable '${name}'`);
      value = given;
    },
    enumerable: true,
    configurable: true,
  } as PropertyDescriptor);
}

function addPending(name: string): void {
  const owner = cells[CONTEXT_OWNER] as number;
  pending.set(owner + name, owner);
}

/** True where the execution whose code runs has declared the name, and the declaration is yet to give it its value. */
function takePending(name: string): boolean {
  return pending.delete(cells[CONTEXT_OWNER] + name);
}

function declarations(): typeof import("./library/declarations.js") {
  return library("declarations") as typeof import("./library/declarations.js");
}

/** Function declarations of a source with bindings stand in a block; this gives them to the session. */
export function declareFunctions(functions: Record<string, unknown>): void {
  declarations().declareFunctions(functions);
}

/** The scope object of the source that begins to run; given out once. */
export function takeBindings(): object {
  const scope = bindings;
  bindings = undefined;
  if (scope === undefined) throw new KernelReferenceError("no bindings are waiting to be taken");
  return scope;
}
