/**
 * What `for await` and `yield*` iterate in compiled sources (compile/locals-transform.ts), instead of what their author wrote.
 *
 * The engine makes promises of what an ordinary iterator gives, and awaits what an asynchronous one gives; a thenable among them is
 * asked in the context of the loop. And the engine, unlike the language, does not always wait for the iterator to be closed when a loop is
 * left early, and closes it too when the loop has come to its end; here it is noted what has to be waited for, and an iterator that came
 * to its end is not closed.
 */
import { Context, currentContext, restoreContext } from "../contexts.js";
import { awaited, type Callback, nativeResolve, nativeThen } from "../continuations.js";
import { cells, JOB } from "../host.js";
import { apply, defineProperty, KernelPromise } from "../intrinsics.js";
import { makeContext } from "../make-context.js";
import { asyncIterator, iterator } from "../natives.js";
import { isObject } from "../properties.js";

type Methods = Partial<Record<PropertyKey, unknown>>;

/** What one loop iterates. */
class Loop {
  /** True while its body runs: what leaves the loop then leaves it early. */
  isInBody = false;
  /** The job in which the engine closed the iterator. */
  #closedIn: number | undefined;
  #closing: unknown;

  /** True when it has to be waited until the iterator is closed. Where the engine did wait, another job runs by now. */
  static isClosing(given: unknown): boolean {
    return isObject(given) && #closedIn in given && given.#closedIn === cells[JOB];
  }

  /** What has to be waited for; asked once. */
  static closing(loop: Loop): unknown {
    loop.#closedIn = undefined;
    return loop.#closing;
  }

  close(promise: unknown): void {
    this.#closedIn = cells[JOB];
    this.#closing = promise;
  }
}

/** Notes who asks a `yield*` for its next value: that may run in another context than who asked before. */
function noteAsker(delegate: Context): void {
  // Values that were asked for in advance are asked for in a job of the engine's, which has no context.
  restoreContext(delegate, undefined);
  Context.standFor(delegate, currentContext());
}

/** What cannot be iterated is given back, so that the engine says so. */
function beginLoop(iterable: unknown): unknown {
  const loop = new Loop();
  return iteratedBy(
    iterable,
    loop,
    (of) => awaitedByLoop(of, loop),
    (of) => ordinaryInLoop(of, loop),
  );
}

function delegated(iterable: unknown): unknown {
  // What the `yield*` iterates is also what it goes on in.
  const delegate = makeContext(undefined, undefined);
  Context.standFor(delegate, currentContext());
  iteratedBy(
    iterable,
    delegate,
    (of) => delegating(of, delegate, awaited),
    (of) => delegating(of, delegate, step),
  );
  return delegate;
}

/** Gives an object the method by which it is iterated: an asynchronous iterator, else an ordinary one. */
function iteratedBy(
  iterable: unknown,
  object: object,
  asynchronous: (of: object) => object,
  ordinary: (of: object) => object,
): unknown {
  if (iterable === undefined || iterable === null) return iterable;
  const inTurn = (iterable as Methods)[asyncIterator];
  const isAsynchronous = inTurn !== undefined && inTurn !== null;
  const method = isAsynchronous ? inTurn : (iterable as Methods)[iterator];
  if (typeof method !== "function") return iterable;
  const value = (): unknown => {
    const of: unknown = apply(method, iterable, []);
    return !isObject(of) ? of : isAsynchronous ? asynchronous(of) : ordinary(of);
  };
  defineProperty(object, isAsynchronous ? asyncIterator : iterator, { __proto__: null, value } as PropertyDescriptor);
  return object;
}

function awaitedByLoop(of: object, loop: Loop): object {
  const { next } = of as { next: Callback };
  return {
    __proto__: null,
    next(...args: unknown[]): unknown {
      loop.isInBody = false;
      return awaited(apply(next, of, args));
    },
    get return() {
      if (!loop.isInBody) return undefined;
      const method = (of as Methods).return;
      if (typeof method !== "function") return method;
      return () => {
        const closing = awaited(apply(method, of, []));
        loop.close(closing);
        return closing;
      };
    },
  } as object;
}

function ordinaryInLoop(of: object, loop: Loop): object {
  const { next } = of as { next: Callback };
  // Unless it gave a value that the loop goes on with, there is nothing to close.
  let hasEnded = true;
  let asker = currentContext();
  return {
    __proto__: null,
    next(...args: unknown[]): unknown {
      loop.isInBody = false;
      hasEnded = true;
      asker = currentContext();
      const given = step(apply(next, of, args));
      hasEnded = !isObject(given) || Boolean((given as Step).done);
      return given;
    },
    get return() {
      if (!loop.isInBody) return hasEnded ? undefined : closedByEngine(of, asker);
      const method = (of as Methods).return;
      if (typeof method === "function") return (...args: unknown[]) => closingStep(step(apply(method, of, args)), loop);
      loop.close(undefined);
      return method;
    },
  } as object;
}

/** A promise among the values was rejected, in a job of its own; the engine closes the iterator at once, and waits for nothing. */
function closedByEngine(of: object, asker: Context): unknown {
  restoreContext(asker, undefined);
  const method = (of as Methods).return;
  return typeof method === "function" ? () => apply(method, of, []) : method;
}

function delegating(of: object, delegate: Context, change: (given: unknown) => unknown): object {
  const { next } = of as { next: Callback };
  const ask = (method: Callback, args: unknown[]): unknown => {
    noteAsker(delegate);
    return change(apply(method, of, args));
  };
  const asked = (name: "return" | "throw"): unknown => {
    // A method that is missing will not be called.
    noteAsker(delegate);
    const method = (of as Methods)[name];
    if (typeof method !== "function") return method;
    return (...args: unknown[]) => ask(method as Callback, args);
  };
  return {
    __proto__: null,
    next: (...args: unknown[]) => ask(next, args),
    get return() {
      return asked("return");
    },
    get throw() {
      return asked("throw");
    },
  } as object;
}

interface Step {
  readonly done: unknown;
  readonly value: unknown;
}

function step(given: unknown): unknown {
  if (!isObject(given)) return given;
  const { done, value } = given as Step;
  return { __proto__: null, done, value: awaited(value) };
}

/** The language resolves a promise with the value, and waits for what that gives. */
function closingStep(given: unknown, loop: Loop): unknown {
  if (!isObject(given)) return given;
  const { done, value } = given as Step;
  const promise = apply(nativeResolve, KernelPromise, [value]);
  loop.close(apply(nativeThen, promise, []));
  return { __proto__: null, done, value: promise };
}

/** The body of a loop begins, in the loop's context. */
function beginBody(context: Context, loop: Loop, value: unknown): unknown {
  loop.isInBody = true;
  return restoreContext(context, value);
}

export { beginBody, beginLoop, delegated };

export const { isClosing, closing } = Loop;
