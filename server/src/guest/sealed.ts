/** Promises of the kernel's own. */
import { defineProperty, KernelPromise } from "./intrinsics.js";

/**
 * A promise that guest code never gets hold of. With a constructor of its own not even a broken Promise.prototype stands
 * between its settling and the kernel.
 */
export function sealed<T>(promise: Promise<T>): Promise<T> {
  defineProperty(promise, "constructor", { __proto__: null, value: KernelPromise } as PropertyDescriptor);
  return promise;
}
