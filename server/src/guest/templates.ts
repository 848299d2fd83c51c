/** The kernel's side of templates: all they need is in a library, which comes with the first one. */
import { library } from "./libraries.js";

export function templateRuntime(): typeof import("./library/template-runtime.js") {
  return library("template-runtime") as typeof import("./library/template-runtime.js");
}
