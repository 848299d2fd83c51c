/**
 * Bundles src/guest: the kernel into dist/guest/kernel.js, a script whose completion value is its `install` function, and
 * each file of library/ into dist/guest/library/, a script whose completion value has what the file exports. The kernel is
 * what every session's base image is made from, so it is minified; of a library guest code sees the names.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "acorn";
import { simple } from "acorn-walk";
import { build } from "esbuild";
import MagicString from "magic-string";

const source = new URL("./src/guest/", import.meta.url);
const target = new URL("./dist/guest/", import.meta.url);

async function bundle(entry, options) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(entry, source))],
    bundle: true,
    write: false,
    target: "es2023",
    minifySyntax: true,
    minifyWhitespace: true,
    platform: "neutral",
    ...options,
  });
  return concatenating(outputFiles[0].text);
}

/**
 * Template literals as sums. The engine compiles them to calls of `concat` on the string, a method that guest code can
 * replace, and through which it would read and write what the kernel says.
 */
function concatenating(code) {
  const edited = new MagicString(code);
  const program = parse(code, { ecmaVersion: "latest", sourceType: "module" });
  simple(program, {
    TemplateLiteral({ start, end, expressions, quasis }) {
      const texts = quasis.map(({ value }) => JSON.stringify(value.cooked));
      let from = start;
      for (const [i, expression] of expressions.entries()) {
        edited.overwrite(from, expression.start, `${i === 0 ? "(" : ")+"}${texts[i]}+(`);
        from = expression.end;
      }
      edited.overwrite(from, end, expressions.length === 0 ? texts[0] : `)+${texts.at(-1)})`);
    },
  });
  return edited.toString();
}

/**
 * A library as the body of a function that returns its exports. esbuild's own form of that would call functions of the global
 * object at run time, when they are the guest's.
 */
function returning(module, file) {
  const found = /export\s*\{([^}]*)\};?\s*$/.exec(module);
  if (found === null) throw new Error(`${file} exports nothing by name`);
  const names = found[1].split(",").map((name) => name.trim().split(/\s+as\s+/));
  const properties = names.map(([local, exported = local]) => `${exported}:${local}`);
  return `${module.slice(0, found.index)}return{__proto__:null,${properties.join(",")}}`;
}

rmSync(target, { recursive: true, force: true });
mkdirSync(new URL("library/", target), { recursive: true });
const kernel = await bundle("kernel.ts", { format: "iife", globalName: "bundle", minifyIdentifiers: true });
writeFileSync(new URL("kernel.js", target), `(()=>{"use strict";${kernel};return bundle.install})()`);
for (const file of readdirSync(new URL("library/", source))) {
  if (!file.endsWith(".ts") || file.endsWith(".test.ts")) continue;
  const library = await bundle(`library/${file}`, { format: "esm", minifyIdentifiers: false });
  const output = new URL(`library/${file.replace(/\.ts$/, ".js")}`, target);
  writeFileSync(output, `(()=>{"use strict";${returning(library, file)}})()`);
}
