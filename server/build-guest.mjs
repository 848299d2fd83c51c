/**
 * Bundles src/guest: the kernel into dist/guest/kernel.js, a script whose completion value is its `install` function, and
 * each file of library/ into dist/guest/library/, a script whose completion value is a function: given what the kernel
 * shares, it returns what the file exports.
 *
 * A library imports what it needs, as any module does. What belongs to the kernel it is given, so that there is one of it;
 * what belongs to another library is loaded with it; everything else is bundled into it. For the kernel the import
 * `#shared` has the values that all libraries together import of it, in an array: it costs a session nothing until the first
 * library is loaded.
 *
 * The kernel is what every session's base image is made from, so its names are shortened; of a library guest code sees them.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = fileURLToPath(new URL("./src/guest", import.meta.url));
const folder = resolve(source, "library");
const target = new URL("./dist/guest/", import.meta.url);
const kernelEntry = resolve(source, "kernel.ts");

/** @returns the text of the bundle without its last statement, and that statement's `{ exported: local }` */
async function bundle(entry, options) {
  const { outputFiles, metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    absWorkingDir: source,
    format: "esm",
    target: "es2023",
    minifySyntax: true,
    minifyWhitespace: true,
    platform: "neutral",
    mainFields: ["module", "main"],
    ...options,
  });
  const text = outputFiles[0].text.trimEnd();
  // No helper of the bundler's own stands between a library and who loads it: such helpers use what guest code may have broken.
  const [, body, exported] = /^([^]*)export\{([^}]*)\};?$/.exec(text) ?? [];
  if (body === undefined) throw new Error(`${entry} exports nothing`);
  const names = exported.split(",").map((part) => {
    const [local, name = local] = part.split(" as ");
    return [name, local];
  });
  const inputs = Object.keys(metafile.inputs).map((path) => resolve(source, path));
  return { body, exports: Object.fromEntries(names), inputs };
}

/** Resolves `#shared` to a module with these contents. */
function sharedModule(contents) {
  return {
    name: "shared",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^#shared$/ }, () => ({ path: "shared", namespace: "shared" }));
      onLoad({ filter: /.*/, namespace: "shared" }, () => ({ contents, resolveDir: source }));
    },
  };
}

/** The places of what libraries import of the kernel: `intrinsics.ts stringify` to its index. */
const places = new Map();

function placeOf(file, name) {
  const key = `${file} ${name}`;
  if (!places.has(key)) places.set(key, places.size);
  return places.get(key);
}

/**
 * Replaces imports of the kernel's files, and of other libraries, by values out of what the library is given. Which names a
 * file exports is found by building it alone; those that nobody imports are dropped.
 */
function givenModules(entry, kernelFiles) {
  return {
    name: "given",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^\./ }, ({ path, importer, kind }) => {
        if (kind === "entry-point") return undefined;
        const file = resolve(dirname(importer), path).replace(/\.js$/, ".ts");
        if (file === entry || !(kernelFiles.has(file) || dirname(file) === folder)) return undefined;
        return { path: file, namespace: "given", sideEffects: false };
      });
      onLoad({ filter: /.*/, namespace: "given" }, async ({ path }) => {
        const { exports } = await bundle(path, { plugins: [sharedModule("export const shared = []")] });
        const ask = (name) =>
          dirname(path) === folder
            ? `ofLibrary("${basename(path, ".ts")}", "${name}")`
            : `ofKernel("${relative(source, path)}", "${name}")`;
        const values = Object.keys(exports).map((name) => `export const ${name} = /* @__PURE__ */ ${ask(name)};`);
        return { contents: values.join("\n") };
      });
    },
  };
}

/** Fits what comes from packages into the realm. */
const packages = {
  name: "packages",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^tr46$/ }, ({ importer }) =>
      importer.includes("whatwg-url") ? { path: resolve(source, "domain-to-ascii.ts") } : undefined,
    );
    onResolve({ filter: /^\.\/encoding$/ }, ({ importer }) =>
      importer.includes("whatwg-url") ? { path: resolve(source, "utf8.ts") } : undefined,
    );
    // It would look for the very classes that are made of it, and whatever guest code calls Buffer.
    onLoad({ filter: /@exodus.bytes.*\.js$/ }, ({ path }) => ({
      contents: `const globalThis = {};\n${readFileSync(path, "utf8")}`,
      loader: "js",
    }));
    // A table of thousands of small arrays takes the engine long to compile; as text, of ASCII alone, it is read in no time.
    onLoad({ filter: /\.json$/ }, ({ path }) => {
      const text = JSON.stringify(JSON.parse(readFileSync(path, "utf8"))).replace(
        /[^\0-\x7f]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
      );
      return { contents: `module.exports = JSON.parse(${JSON.stringify(text)})`, loader: "js" };
    });
  },
};

rmSync(target, { recursive: true, force: true });
mkdirSync(new URL("library/", target), { recursive: true });

const draft = await bundle(kernelEntry, { plugins: [sharedModule("export const shared = () => []")] });
const kernelFiles = new Set(draft.inputs);
placeOf("libraries.ts", "library");
for (const file of readdirSync(folder)) {
  if (!file.endsWith(".ts") || file.endsWith(".test.ts")) continue;
  const entry = resolve(folder, file);
  const { body, exports } = await bundle(entry, {
    plugins: [givenModules(entry, kernelFiles), packages],
  });
  const text = body
    .replace(/ofKernel\("([^"]+)","([^"]+)"\)/g, (_, from, name) => `given[${placeOf(from, name)}]`)
    .replace(/ofLibrary\("([^"]+)","([^"]+)"\)/g, 'given[0]("$1").$2');
  const result = Object.entries(exports).map(([name, local]) => `${name}:${local}`);
  const script = `(given=>{"use strict";${text};return{__proto__:null,${result.join(",")}}})`;
  writeFileSync(new URL(`library/${file.replace(/\.ts$/, ".js")}`, target), script);
}

const imports = [...places.keys()].map((key, i) => {
  const [file, name] = key.split(" ");
  return `import { ${name} as v${i} } from "./${file}";`;
});
const values = [...places.keys()].map((_, i) => `v${i}`);
const shared = `${imports.join("\n")}\nexport const shared = () => [${values.join(",")}];`;
const kernel = await bundle(kernelEntry, { minifyIdentifiers: true, plugins: [sharedModule(shared)] });
writeFileSync(new URL("kernel.js", target), `(()=>{"use strict";${kernel.body};return ${kernel.exports.install}})()`);
