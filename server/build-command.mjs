/**
 * Bundles the command into dist/command: most of what it takes to start is loading some two hundred modules of ours, the SDK's and the
 * contract's among them, and every `livescope run` starts it. Packages of others stay packages; what serves has a file of its own, as few
 * commands need it.
 */
import { readFileSync, rmSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = fileURLToPath(new URL("./dist", import.meta.url));
const target = fileURLToPath(new URL("./dist/command", import.meta.url));

/** Packages of others, but what is imported by a path. */
const packages = {
  name: "packages",
  setup({ onResolve }) {
    onResolve({ filter: /^[^./]/ }, ({ path, kind }) =>
      kind === "entry-point" || path.startsWith("@livescope/") ? undefined : { path, external: true },
    );
  },
};

/** Modules find files by where they are themselves, which is not where the bundle is. */
const places = {
  name: "places",
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, ({ path }) => {
      const place = `new URL(${JSON.stringify(relative(target, path))}, import.meta.url).href`;
      return { contents: readFileSync(path, "utf8").replaceAll("import.meta.url", place), loader: "js" };
    });
  },
};

// The names of parts tell what is in them.
rmSync(target, { recursive: true, force: true });
await build({
  absWorkingDir: source,
  entryPoints: ["main.js"],
  outdir: target,
  bundle: true,
  splitting: true,
  plugins: [packages, places],
  format: "esm",
  platform: "node",
  target: "node20",
  sourcemap: true,
  logLevel: "warning",
});
