/** For all files of the kernel and its libraries. */
import { apply, bind, callFunction } from "./intrinsics.js";

// biome-ignore lint/complexity/noBannedTypes: any guest function
type AnyFunction = Function;

/** Turns a method into a function that takes `this` first. */
export function uncurried<F>(method: AnyFunction): F {
  return apply(bind, callFunction, [method]) as F;
}
