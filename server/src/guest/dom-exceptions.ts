/**
 * What a DOMException says. Their class is a library; but the kernel has to know one that is thrown, and their name and message
 * are getters, which it does not run.
 */
import { loadedLibrary } from "./loaded-library.js";

type DomExceptionLibrary = typeof import("./library/dom-exception.js");

/** Undefined for everything that is no DOMException. */
export function domExceptionText(value: object): { readonly name: string; readonly message: string } | undefined {
  return (loadedLibrary("dom-exception") as DomExceptionLibrary | undefined)?.textOf(value);
}
