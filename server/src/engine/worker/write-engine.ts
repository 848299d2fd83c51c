/** Run by the build of the server, when all else is built. What is there already of the same code stays: building takes seconds. */
import { isKept, keepEngine } from "./built-engine.js";

if (!isKept()) {
  const { buildEngine } = await import("./build-engine.js");
  keepEngine(buildEngine());
}
