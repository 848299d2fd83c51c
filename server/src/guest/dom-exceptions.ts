/**
 * What the session's DOMExceptions say. Their class is a library; but the kernel has to know them when one is thrown, and their
 * name and message are getters, which it does not run.
 */
import { SafeWeakMap } from "./intrinsics.js";

export interface DomExceptionText {
  readonly name: string;
  readonly message: string;
}

const texts = new SafeWeakMap<object, DomExceptionText>();

export function setDomExceptionText(exception: object, text: DomExceptionText): void {
  texts.set(exception, text);
}

/** Undefined for everything that is no DOMException. */
export function domExceptionText(value: object): DomExceptionText | undefined {
  return texts.get(value);
}
