/**
 * Bundles src/guest: the kernel into dist/guest/kernel.js, a script whose completion value is its `install` function, and
 * each file of library/ into dist/guest/library/, a script whose completion value has what the file exports. The kernel is
 * what every session's base image is made from, so it is minified; of a library guest code sees the names, except of those
 * that only the kernel calls.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = new URL("./src/guest/", import.meta.url);
const target = new URL("./dist/guest/", import.meta.url);

const CALLED_BY_KERNEL = new Set(["inspect.ts"]);

async function bundle(entry, minifyIdentifiers) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(entry, source))],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2023",
    minifySyntax: true,
    minifyWhitespace: true,
    minifyIdentifiers,
    platform: "neutral",
  });
  return asFunctionBody(outputFiles[0].text);
}

/** A bundle that returns what it exports. The bundler's own way to do so would call functions that guest code can replace. */
function asFunctionBody(text) {
  const exported = /export\s*\{([^}]*)\};?\s*$/.exec(text);
  if (exported === null) throw new Error("a bundle of the guest exports nothing");
  const fields = exported[1].split(",").map((item) => {
    const [local, name = local] = item.trim().split(/\s+as\s+/);
    return `${name}:${local}`;
  });
  return `${text.slice(0, exported.index)};return{${fields.join(",")}}`;
}

rmSync(target, { recursive: true, force: true });
mkdirSync(new URL("library/", target), { recursive: true });
const kernel = await bundle("kernel.ts", true);
writeFileSync(new URL("kernel.js", target), `((()=>{"use strict";${kernel}})()).install`);
for (const file of readdirSync(new URL("library/", source))) {
  if (!file.endsWith(".ts") || file.endsWith(".test.ts")) continue;
  const library = await bundle(`library/${file}`, CALLED_BY_KERNEL.has(file));
  const output = new URL(`library/${file.replace(/\.ts$/, ".js")}`, target);
  writeFileSync(output, `(()=>{"use strict";${library}})()`);
}
