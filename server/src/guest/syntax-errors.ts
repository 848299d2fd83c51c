/** Errors that no code threw, with the place they are about. */
import { defineProperty, KernelSyntaxError } from "./intrinsics.js";

/** What a source that does not parse gives; the place is the caller's. */
export function syntaxError(message: string, filename: string, line: number, column: number): object {
  return withStack(new KernelSyntaxError(message), filename, line, column);
}

/** Gives an error that no code threw the place it is about. */
export function withStack(error: object, filename: string, line: number, column: number): object {
  defineProperty(error, "stack", {
    __proto__: null,
    value: `    at ${filename}:${line}:${column}\n`,
    writable: true,
    enumerable: false,
    configurable: true,
  } as PropertyDescriptor);
  return error;
}
