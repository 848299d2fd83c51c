/** The names of the web platform that the realm has beside the language's own. */
import { defineLazyGlobals } from "./libraries.js";

export function installPlatform(): void {
  defineLazyGlobals("base64", ["atob", "btoa"]);
  defineLazyGlobals("dom-exception", ["DOMException"]);
}
