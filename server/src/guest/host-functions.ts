/** Functions of connected clients: a library, for most sessions have none. */
import { library } from "./libraries.js";
import { loadedLibrary } from "./loaded-library.js";

type HostFunctions = typeof import("./library/host-functions.js");

export function hostFunctions(): HostFunctions {
  return library("host-functions") as HostFunctions;
}

/** Undefined where the session never had one. */
export function loadedHostFunctions(): HostFunctions | undefined {
  return loadedLibrary("host-functions") as HostFunctions | undefined;
}
