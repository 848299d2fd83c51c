/** Run by the build of the server, when all else is built. */
import { writeEngine } from "./built-engine.js";

writeEngine();
