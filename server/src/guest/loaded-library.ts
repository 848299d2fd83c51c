/** Asks for libraries without loading them. */
import { loaded } from "./libraries.js";

/** Undefined where the session has not loaded it. */
export function loadedLibrary(name: string): (typeof loaded)[string] {
  return loaded[name];
}
