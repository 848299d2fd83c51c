/** The names of the web platform that the realm has beside the language's own. */
import { defineLazyGlobals } from "./libraries.js";
// Nothing in the kernel uses it; but what it takes has to be taken now.
import "./natives.js";

export function installPlatform(): void {
  defineLazyGlobals("locals", ["locals", "Locals", "AsyncContext"]);
  defineLazyGlobals("console", ["console"]);
  defineLazyGlobals("emissions", ["emit"]);
  defineLazyGlobals("base64", ["atob", "btoa"]);
  defineLazyGlobals("dom-exception", ["DOMException"]);
  defineLazyGlobals("events", ["Event", "CustomEvent", "EventTarget", "reportError"]);
  defineLazyGlobals("abort", ["AbortController", "AbortSignal"]);
  defineLazyGlobals("performance", ["Performance", "performance"]);
  defineLazyGlobals("crypto", ["Crypto", "crypto"]);
  defineLazyGlobals("text-encoding", ["TextEncoder", "TextDecoder"]);
  defineLazyGlobals("url", ["URL", "URLSearchParams"]);
  defineLazyGlobals("structured-clone", ["structuredClone"]);
  defineLazyGlobals("timers", ["setTimeout", "setInterval", "clearTimeout", "clearInterval"]);
  defineLazyGlobals("microtask", ["queueMicrotask"]);
}
