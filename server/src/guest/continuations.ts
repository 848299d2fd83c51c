/**
 * Follows the running code to where it goes on later: behind an await, in a callback of `then`, in a thenable, in a microtask.
 * Timers do the same for themselves, and compiled sources call `followers` (compile/locals-transform.ts).
 *
 * What is not followed: a thenable given to the `resolve` of a bare `new Promise`, which the engine asks by itself. It is asked
 * in nobody's context.
 */
import { type Context, currentContext, restoreContext, resumeContext, rootContext } from "./contexts.js";
import { isPromise } from "./host.js";
import { apply, defineProperty, FunctionPrototype, getPrototypeOf, hasOwn } from "./intrinsics.js";
import { library } from "./libraries.js";
import { isObject, replaceProperty as replace } from "./properties.js";
import { uncurried } from "./uncurried.js";

export type Callback = (...args: unknown[]) => unknown;
type Promises = typeof import("./library/promises.js");

const PromisePrototype = Promise.prototype;
export const nativeThen = Promise.prototype.then as Callback;
export const nativeResolve = Promise.resolve as Callback;

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

const statics = {
  resolve(this: unknown, value?: unknown): unknown {
    const given = followed(value);
    // A promise of the class that is asked for is given back itself.
    return apply(nativeResolve, this, [given !== value && isPromise(value) ? value : given]);
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
export function followed(value: unknown): unknown {
  if (!isObject(value) || (isPromiseLike(value) && (value as { then?: unknown }).then === then)) return value;
  return followedThenable(value);
}

/** What to give to `await`, which asks no promise of its own. */
export function awaited(value: unknown): unknown {
  return !isObject(value) || isPromiseLike(value) ? value : followedThenable(value);
}

/** True for all that is made by the guest's own `Promise`, and not by a class derived from it. */
function isPromiseLike(value: object): boolean {
  try {
    // With a constructor of its own the engine asks its `then`, in nobody's context.
    return getPrototypeOf(value) === PromisePrototype && !hasOwn(value, "constructor");
  } catch {
    // A proxy of the guest's, which will say more when it is asked for its `then`.
    return false;
  }
}

function followedThenable(value: object): unknown {
  return (library("promises") as Promises).followedThenable(value);
}

/** The value of a `yield`, while its context is noted. */
let yielded: unknown;

/** What compiled sources call; see compile/locals-transform.ts. */
export const followers = {
  c: currentContext,
  r: awaited,
  s: restoreContext,
  y(context: Context, value: unknown): Context {
    yielded = restoreContext(context, value);
    return currentContext();
  },
  k(): unknown {
    const value = yielded;
    yielded = undefined;
    return value;
  },
  /** What loops that await and delegating generators call. */
  l(): unknown {
    return library("iterations");
  },
  /** What imports call. */
  i(): unknown {
    return library("imports");
  },
};

/** A method whose code is in a library. */
function lazyMethod(from: string, name: string): Callback {
  return {
    [name](this: unknown, ...args: unknown[]): unknown {
      return apply(library(from)[name] as Callback, this, args);
    },
  }[name] as Callback;
}

export function installContinuations(): void {
  replace(PromisePrototype, "then", then);
  replace(Promise, "resolve", statics.resolve);
  const replaceByLibrary = (object: object, name: string): void => {
    const native = (object as Record<string, unknown>)[name];
    if (typeof native !== "function") return;
    const method = lazyMethod("promises", name);
    defineProperty(method, "length", { value: native.length, configurable: true });
    replace(object, name, method);
  };
  replaceByLibrary(PromisePrototype, "finally");
  replaceByLibrary(Promise, "withResolvers");
  replaceByLibrary(Promise, "try");
  replaceByLibrary(FunctionPrototype, "toString");
}
