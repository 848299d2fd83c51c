/** Knows the engine's own generators, and runs them whatever guest code made of their methods. */
import { apply, getPrototypeOf } from "./intrinsics.js";
import { AsyncGenerator, nextOfAsync, nextOfSync, SyncGenerator } from "./natives.js";
import { isProxy } from "./proxies.js";

/** How to take the next value of a generator, a promise that it yields awaited; undefined for what is none. */
export function asGenerator(value: unknown): (() => Promise<IteratorResult<unknown>>) | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (inherits(value, AsyncGenerator)) return () => apply(nextOfAsync, value, []);
  if (!inherits(value, SyncGenerator)) return undefined;
  return async () => {
    const step = apply(nextOfSync, value, []) as IteratorResult<unknown>;
    // A promise is resolved with it, for which the engine asks it for its `then`.
    const result = { __proto__: null, done: step.done === true, value: await step.value };
    return result as unknown as IteratorResult<unknown>;
  };
}

const LONGEST_CHAIN = 100;

function inherits(value: object, prototype: object): boolean {
  let at: object | null = value;
  for (let i = 0; i < LONGEST_CHAIN && at !== null && !isProxy(at); i++) {
    at = getPrototypeOf(at);
    if (at === prototype) return true;
  }
  return false;
}
