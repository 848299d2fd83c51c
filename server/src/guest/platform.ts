/** The names of the web platform that the realm has beside the language's own. */
import { defineLazyGlobals } from "./libraries.js";

export function installPlatform(): void {
  defineLazyGlobals("locals", ["locals", "Locals", "AsyncContext"]);
  defineLazyGlobals("base64", ["atob", "btoa"]);
  defineLazyGlobals("dom-exception", ["DOMException"]);
  defineLazyGlobals("events", ["Event", "CustomEvent", "EventTarget", "reportError"]);
  defineLazyGlobals("abort", ["AbortController", "AbortSignal"]);
  defineLazyGlobals("performance", ["Performance", "performance"]);
  defineLazyGlobals("crypto", ["Crypto", "crypto"]);
  defineLazyGlobals("text-encoding", ["TextEncoder", "TextDecoder"]);
  defineLazyGlobals("url", ["URL", "URLSearchParams"]);
  defineLazyGlobals("structured-clone", ["structuredClone"]);
  defineLazyGlobals("microtask", ["queueMicrotask"]);
}
