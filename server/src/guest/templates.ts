/** The kernel's side of templates: all they need is in a library, which comes with the first one. */
import { lazy } from "./libraries.js";

export const NAME = "template-runtime";

export const templateRuntime = lazy<typeof import("./library/template-runtime.js")>(NAME);
