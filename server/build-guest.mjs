/**
 * Bundles src/guest into one script, dist/guest/kernel.js, whose completion value is the kernel's `install` function.
 * The bundle is what every session's base image is made from, so it is minified.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const entry = fileURLToPath(new URL("./src/guest/kernel.ts", import.meta.url));
const output = fileURLToPath(new URL("./dist/guest/kernel.js", import.meta.url));

const { outputFiles } = await build({
  entryPoints: [entry],
  bundle: true,
  write: false,
  format: "iife",
  globalName: "kernel",
  target: "es2023",
  minify: true,
  platform: "neutral",
});
mkdirSync(new URL("./dist/guest/", import.meta.url), { recursive: true });
writeFileSync(output, `(()=>{"use strict";${outputFiles[0].text};return kernel.install})()`);
