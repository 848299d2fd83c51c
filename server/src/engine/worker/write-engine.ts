/** Run by the build of the server, when all else is built. */
import { buildEngine } from "./build-engine.js";
import { keepEngine } from "./built-engine.js";

keepEngine(buildEngine());
