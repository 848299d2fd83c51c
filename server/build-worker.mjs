/**
 * Bundles our own modules of a worker thread into one, dist/engine/worker/bundle.js: threads are started whenever one had to be ended, and
 * most of what that takes is loading some fifty modules. Packages stay packages; what builds the engine stays out, as few ever need it.
 */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

await build({
  absWorkingDir: fileURLToPath(new URL("./dist/engine/worker", import.meta.url)),
  entryPoints: ["main.js"],
  outfile: "bundle.js",
  bundle: true,
  packages: "external",
  external: ["./build-engine.js"],
  format: "esm",
  platform: "node",
  target: "node20",
  sourcemap: true,
  logLevel: "warning",
});
