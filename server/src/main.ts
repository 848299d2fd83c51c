/** The command `livescope`. The command line is a client of the server like any other; this file alone knows both. */
import { logVerbosity, setLogVerbosity } from "@grpc/grpc-js";
import { runCommandLine } from "./cli/program.js";

// Its failures come back as errors, which are told once and in our words.
if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE);

await runCommandLine(process.argv.slice(2), {
  // Loaded for this command alone: a client needs no engine.
  serve: async (options) => (await import("./serve.js")).serve(options),
});
