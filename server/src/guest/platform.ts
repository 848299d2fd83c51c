/** The names of the web platform that the realm has beside the language's own. */
import { currentContext, resumeContext } from "./contexts.js";
import { defineProperty, KernelTypeError } from "./intrinsics.js";
import { defineLazyGlobals } from "./libraries.js";

export function installPlatform(): void {
  defineLazyGlobals("base64", ["atob", "btoa"]);
  defineLazyGlobals("dom-exception", ["DOMException"]);
  defineLazyGlobals("events", ["Event", "CustomEvent", "EventTarget", "reportError"]);
  defineLazyGlobals("abort", ["AbortController", "AbortSignal"]);
  defineLazyGlobals("performance", ["Performance", "performance"]);
  defineLazyGlobals("crypto", ["Crypto", "crypto"]);
  defineLazyGlobals("text-encoding", ["TextEncoder", "TextDecoder"]);
  defineLazyGlobals("url", ["URL", "URLSearchParams"]);
  defineLazyGlobals("structured-clone", ["structuredClone"]);
  const { queueMicrotask } = {
    queueMicrotask(callback: unknown): void {
      if (typeof callback !== "function") throw new KernelTypeError("queueMicrotask takes a function");
      void runLater(callback as () => unknown);
    },
  };
  defineProperty(globalThis, "queueMicrotask", {
    __proto__: null,
    value: queueMicrotask,
    writable: true,
    enumerable: false,
    configurable: true,
  } as PropertyDescriptor);
}

/** What it throws is a rejection that nobody handles. */
async function runLater(callback: () => unknown): Promise<void> {
  const context = currentContext();
  await undefined;
  resumeContext(context);
  callback();
}
