/** The timers of the session, which are a library: most sessions never start one. */
import { loadedLibrary } from "./loaded-library.js";

/** Undefined where none was ever started. */
export function timers(): typeof import("./library/timers.js") | undefined {
  return loadedLibrary("timers") as typeof import("./library/timers.js") | undefined;
}
