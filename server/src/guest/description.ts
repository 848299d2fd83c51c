/** How values are told of that do not travel themselves: a library, for most executions answer with data. */
import { library } from "./libraries.js";

export function description(): typeof import("./library/describe.js") {
  return library("describe") as typeof import("./library/describe.js");
}
