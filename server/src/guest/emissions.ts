/** Values that leave before their execution ends: a library, for most callers wait for the end. */
import { library } from "./libraries.js";
import { loadedLibrary } from "./loaded-library.js";

type Emissions = typeof import("./library/emissions.js");

export function emissions(): Emissions {
  return library("emissions") as Emissions;
}

/** Undefined where nobody ever took or gave such values. */
export function loadedEmissions(): Emissions | undefined {
  return loadedLibrary("emissions") as Emissions | undefined;
}
