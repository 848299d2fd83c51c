/**
 * What of following code is rarely needed: thenables, the less common methods of promises, and the text of functions.
 */

import { currentContext, resumeContext } from "../contexts.js";
import { type Callback, followed } from "../continuations.js";
import { isPromise } from "../host.js";
import { apply, getPrototypeOf, indexOf } from "../intrinsics.js";
import { functionToString, promiseFinally, promiseTry, promiseWithResolvers } from "../natives.js";
import { replaceProperty } from "../properties.js";
import { sealed } from "../sealed.js";
import { MARK, originalText } from "./function-text.js";

/** What to give to the engine instead of an object that may be a thenable: it asks that in the context of now. */
export function followedThenable(value: object): unknown {
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

/** What the kernel awaits instead of what it was given, of whose constructor a getter tells: where that throws, this is what ends. */
export function askedOnce(given: unknown): Promise<unknown> {
  return sealed((async () => await given)());
}

function finallyFollowed(this: unknown, onFinally?: unknown): unknown {
  const call = onFinally as Callback;
  const react = (): unknown => {
    const result = call();
    // A promise of the same class is asked itself, and now.
    return isPromise(result) && isPromise(this) && getPrototypeOf(result as object) === getPrototypeOf(this as object)
      ? result
      : followed(result);
  };
  return apply(promiseFinally, this, [typeof onFinally === "function" ? react : onFinally]);
}

function withResolvers(this: unknown): unknown {
  const made = apply(promiseWithResolvers, this, []) as { resolve: Callback };
  const { resolve } = made;
  replaceProperty(made, "resolve", (value: unknown) => resolve(followed(value)));
  return made;
}

function tryFollowed(this: unknown, callback: Callback, ...args: unknown[]): unknown {
  return apply(promiseTry, this, [() => followed(apply(callback, undefined, args))]);
}

/** The text of a function as its author wrote it. */
function textOf(this: unknown): string {
  const text = apply(functionToString, this, []) as string;
  return indexOf(text, MARK) < 0 ? text : originalText(text);
}

export { finallyFollowed as finally, textOf as toString, tryFollowed as try, withResolvers };
