/**
 * Follows the running code to where it goes on later: behind an await, in a callback of `then`, in a thenable, in a microtask.
 * Timers do the same for themselves, and compiled sources call `followers` (compile/locals-transform.ts).
 *
 * What is not followed: a thenable given to the `resolve` of a bare `new Promise`, which the engine asks by itself. It is asked
 * in nobody's context.
 */
import {
  type Context,
  type Continuing,
  currentContext,
  restoreContext,
  resumeContext,
  rootContext,
} from "./contexts.js";
import { isPromise } from "./host.js";
import {
  apply,
  FunctionPrototype,
  getPrototypeOf,
  indexOf,
  uncurried,
  replaceProperty as replace,
} from "./intrinsics.js";

import { beginModule, noteImport } from "./imports.js";
import { lazy } from "./libraries.js";

export type Callback = (...args: unknown[]) => unknown;
type Statics = "resolve" | "withResolvers" | "try";

const PromisePrototype = Promise.prototype;
export const nativeThen = Promise.prototype.then as Callback;
const nativeFinally = Promise.prototype.finally as Callback;
const statics = Promise as unknown as Record<Statics, Callback>;
export const nativeResolve = statics.resolve;
const nativeWithResolvers = statics.withResolvers;
const nativeTry = statics.try;
const nativeToString = Function.prototype.toString;
/** What compiling puts into a source begins with it. */
const MARK = "/*$livescope$";

const callThen = uncurried<(promise: unknown, onFulfilled: unknown, onRejected: unknown) => unknown>(nativeThen);

const { then } = {
  // biome-ignore lint/suspicious/noThenProperty: it replaces that of promises
  then(this: unknown, onFulfilled?: unknown, onRejected?: unknown): unknown {
    const context = currentContext();
    // A job that enters nothing is in the root's context anyway; so are those of the engine's that adopt a promise.
    if (context === rootContext) return callThen(this, onFulfilled, onRejected);
    return callThen(
      this,
      typeof onFulfilled === "function" ? following(context, onFulfilled as Callback) : onFulfilled,
      typeof onRejected === "function" ? following(context, onRejected as Callback) : onRejected,
    );
  },
};

function following(context: Context, callback: Callback): Callback {
  return (value: unknown) => {
    resumeContext(context);
    const result = callback(value);
    return isObject(result) ? followed(result) : result;
  };
}

/**
 * What to give to the engine where it resolves a promise with a value. A thenable that guest code wrote is asked in a job of its
 * own; what comes in its place asks it in the context of now.
 */
function followed(value: unknown): unknown {
  if (!isObject(value) || (isPromiseLike(value) && (value as { then?: unknown }).then === then)) return value;
  return followedThenable(value);
}

/** What to give to `await`, which asks no promise of its own. */
export function awaited(value: unknown): unknown {
  return !isObject(value) || isPromiseLike(value) ? value : followedThenable(value);
}

export function isObject(value: unknown): value is object {
  return typeof value === "object" ? value !== null : typeof value === "function";
}

/** True for all that is made by the guest's own `Promise`, and not by a class derived from it. */
function isPromiseLike(value: object): boolean {
  try {
    return getPrototypeOf(value) === PromisePrototype;
  } catch {
    // A proxy of the guest's, which will say more when it is asked for its `then`.
    return false;
  }
}

function followedThenable(value: object): unknown {
  let ask: unknown;
  try {
    ask = (value as { then?: unknown }).then;
  } catch (error) {
    return {
      __proto__: null,
      // biome-ignore lint/suspicious/noThenProperty: it stands for a thenable
      get then(): never {
        throw error;
      },
    };
  }
  if (typeof ask !== "function") return value;
  const context = currentContext();
  return {
    __proto__: null,
    // biome-ignore lint/suspicious/noThenProperty: it stands for a thenable
    then(resolve: Callback, reject: Callback): unknown {
      resumeContext(context);
      return apply(ask, value, [(result: unknown) => resolve(followed(result)), reject]);
    },
  };
}

/** The value of a `yield`, while its context is noted. */
let yielded: unknown;

/** Most sources have no loop that awaits. */
interface Iterations {
  beginBody(context: Context, loop: unknown, value: unknown): unknown;
  beginLoop(iterable: unknown): unknown;
  delegated(iterable: unknown): unknown;
  isClosing(loop: unknown): boolean;
  closing(loop: unknown): unknown;
}
const iterations = lazy<Iterations>("iterations");

/** What compiled sources call; see compile/locals-transform.ts. */
export const followers = {
  c: currentContext,
  m: noteImport,
  p: beginModule,
  r: awaited,
  s: restoreContext,
  y(context: Context | Continuing, value: unknown): Context {
    yielded = restoreContext(context, value);
    return currentContext();
  },
  k(): unknown {
    const value = yielded;
    yielded = undefined;
    return value;
  },
  a: (iterable: unknown) => iterations().delegated(iterable),
  b: (context: Context, loop: unknown, value: unknown) => iterations().beginBody(context, loop, value),
  i: (iterable: unknown) => iterations().beginLoop(iterable),
  o: (loop: unknown) => iterations().isClosing(loop),
  w: (loop: unknown) => iterations().closing(loop),
};

export function installContinuations(): void {
  const methods = {
    finally(this: unknown, onFinally?: unknown): unknown {
      const call = onFinally as Callback;
      return apply(nativeFinally, this, [typeof onFinally === "function" ? () => followed(call()) : onFinally]);
    },
  };
  const functionText = lazy<{ originalText(text: string): string }>("function-text");
  const ofFunctions = {
    toString(this: unknown): string {
      const text = apply(nativeToString, this, []) as string;
      return indexOf(text, MARK) < 0 ? text : functionText().originalText(text);
    },
  };
  replace(FunctionPrototype, "toString", ofFunctions.toString);
  replace(PromisePrototype, "then", then);
  replace(PromisePrototype, "finally", methods.finally);
  const followingStatics = {
    resolve(this: unknown, value?: unknown): unknown {
      const given = followed(value);
      // A promise of the class that is asked for is given back itself.
      return apply(nativeResolve, this, [given !== value && isPromise(value) ? value : given]);
    },
    withResolvers(this: unknown): unknown {
      const made = apply(nativeWithResolvers, this, []) as { resolve: Callback };
      const { resolve } = made;
      replace(made, "resolve", (value: unknown) => resolve(followed(value)));
      return made;
    },
    try(this: unknown, callback: Callback, ...args: unknown[]): unknown {
      return apply(nativeTry, this, [() => followed(apply(callback, undefined, args))]);
    },
  };
  const name = (key: Statics): void => {
    if (typeof statics[key] === "function") replace(Promise, key, followingStatics[key]);
  };
  name("resolve");
  name("withResolvers");
  name("try");
}
