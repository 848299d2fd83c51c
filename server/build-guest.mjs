/**
 * Bundles src/guest: the kernel into dist/guest/kernel.js, a script whose completion value is its `install` function, and
 * each file of library/ into dist/guest/library/, a script whose completion value has what the file exports. The kernel is
 * what every session's base image is made from, so it is minified; of a library guest code sees the names.
 *
 * The engine builds template literals with `String.prototype.concat`, which guest code can replace. So they become sums.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "acorn";
import { full } from "acorn-walk";
import { build } from "esbuild";
import MagicString from "magic-string";

const source = new URL("./src/guest/", import.meta.url);
const target = new URL("./dist/guest/", import.meta.url);

async function bundle(entry, minifyIdentifiers) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(entry, source))],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "bundle",
    target: "es2023",
    minifySyntax: true,
    minifyWhitespace: true,
    minifyIdentifiers,
    platform: "neutral",
  });
  return withoutTemplateLiterals(outputFiles[0].text);
}

/** What stands in them has to be a string or another primitive, as in a sum. */
function withoutTemplateLiterals(text) {
  const edited = new MagicString(text);
  full(parse(text, { ecmaVersion: "latest", sourceType: "module" }), ({ type, start, end, quasis, expressions }) => {
    if (type === "TaggedTemplateExpression") throw new Error("the guest must not use tagged templates");
    if (type !== "TemplateLiteral") return;
    const texts = quasis.map(({ value }) => JSON.stringify(value.cooked));
    const ends = [start, ...expressions.map((expression) => expression.end)];
    const starts = [...expressions.map((expression) => expression.start), end];
    for (const [i, part] of texts.entries()) {
      const before = i === 0 ? "(" : ")+";
      const after = i === texts.length - 1 ? ")" : "+(";
      edited.overwrite(ends[i], starts[i], before + part + after);
    }
  });
  return edited.toString();
}

rmSync(target, { recursive: true, force: true });
mkdirSync(new URL("library/", target), { recursive: true });
const kernel = await bundle("kernel.ts", true);
writeFileSync(new URL("kernel.js", target), `(()=>{"use strict";${kernel};return bundle.install})()`);
for (const file of readdirSync(new URL("library/", source))) {
  if (!file.endsWith(".ts") || file.endsWith(".test.ts")) continue;
  const library = await bundle(`library/${file}`, false);
  const output = new URL(`library/${file.replace(/\.ts$/, ".js")}`, target);
  writeFileSync(output, `(()=>{"use strict";${library};return bundle})()`);
}
