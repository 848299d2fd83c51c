/**
 * Bundles src/guest: the kernel into dist/guest/kernel.js, a script whose completion value is its `install` function, and
 * each file of library/ into dist/guest/library/, a script whose completion value is a function: given what the kernel
 * shares, it returns what the file exports.
 *
 * A library imports what it needs, as any module does. What belongs to the kernel it is given, so that there is one of it;
 * what belongs to another library is loaded with it; everything else is bundled into it. For the kernel the import
 * `#shared` has the values that all libraries together import of it, in an array: it costs a session nothing until the first
 * library is loaded. The licenses of the packages that are bundled stand in licenses.txt.
 *
 * It takes seconds: where what it made is later than all that it is made of, it is left as it is.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "acorn";
import { simple } from "acorn-walk";
import { build, transformSync } from "esbuild";
import MagicString from "magic-string";
import { minify } from "terser";
import { withInlinedCalls } from "./inline-calls.mjs";

const source = fileURLToPath(new URL("./src/guest", import.meta.url));
const folder = resolve(source, "library");
const target = new URL("./dist/guest/", import.meta.url);
const kernelEntry = resolve(source, "kernel.ts");

if (isBuilt()) process.exit();

function isBuilt() {
  // The kernel is written last. A folder is later than what was deleted of it.
  const made = statSync(new URL("kernel.js", target), { throwIfNoEntry: false });
  const files = [source, ...readdirSync(source, { recursive: true }).map((name) => resolve(source, name))];
  for (const name of ["build-guest.mjs", "inline-calls.mjs", "package.json", "../package-lock.json"])
    files.push(fileURLToPath(new URL(name, import.meta.url)));
  return made !== undefined && files.every((file) => statSync(file).mtimeMs <= made.mtimeMs);
}

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
    minifyIdentifiers: true,
    platform: "neutral",
    mainFields: ["module", "main"],
    ...options,
  });
  const text = concatenating(outputFiles[0].text.trimEnd());
  // No helper of the bundler's own stands between a library and who loads it: such helpers use what guest code may have broken.
  const [, body, exported] = /^([\s\S]*)export\{([^}]*)\};?$/.exec(text) ?? [];
  if (body === undefined) throw new Error(`${entry} exports nothing`);
  const names = exported.split(",").map((part) => {
    const [local, name = local] = part.split(" as ");
    return [name, local];
  });
  const inputs = Object.keys(metafile.inputs).map((path) => resolve(source, path));
  return { body, exports: Object.fromEntries(names), inputs };
}

/**
 * Template literals as sums. The engine compiles them to calls of `concat` on the string, a method that guest code can
 * replace, and through which it would read and write what the kernel says.
 */
function concatenating(code) {
  const edited = new MagicString(code);
  simple(parse(code, { ecmaVersion: "latest", sourceType: "module" }), {
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
        if (file === entry || !(kernelFiles.has(file) || dirname(file) === folder) || isOnlyFunctions(file))
          return undefined;
        return { path: file, namespace: "given", sideEffects: false };
      });
      onLoad({ filter: /.*/, namespace: "given" }, async ({ path }) => {
        const { body, exports } = await bundle(path, { plugins: [sharedModule("export const shared = []")] });
        const constants = constantsOf(body);
        const ask = (name) =>
          dirname(path) === folder
            ? `ofLibrary("${basename(path, ".ts")}", "${name}")`
            : `ofKernel("${relative(source, path)}", "${name}")`;
        const values = Object.entries(exports).map(
          ([name, local]) => `export const ${name} = ${constants.get(local) ?? `/* @__PURE__ */ ${ask(name)}`};`,
        );
        return { contents: values.join("\n") };
      });
    },
  };
}

/** True for a file that consists of functions: those a library can have itself, while the kernel puts them where it calls them. */
function isOnlyFunctions(file) {
  if (dirname(file) === folder) return false;
  const { code } = transformSync(readFileSync(file, "utf8"), { loader: "ts", target: "es2023" });
  return parse(code, { ecmaVersion: "latest", sourceType: "module" }).body.every(
    ({ type, declaration }) =>
      type === "ImportDeclaration" ||
      (declaration ?? { type }).type === "FunctionDeclaration" ||
      declaration?.declarations?.every(({ init }) => init?.type === "Literal"),
  );
}

/**
 * Numbers, texts, and objects of them (an empty object stands for itself), by the variable that holds them: a library has its own, so that the kernel, which has
 * them where it uses them, need not hold any for it.
 */
function constantsOf(code) {
  const isConstant = (node) =>
    node?.type === "Literal" ||
    (node?.type === "ObjectExpression" &&
      node.properties.length > 0 &&
      node.properties.every(({ kind, computed, value }) => kind === "init" && !computed && value.type === "Literal"));
  const found = new Map();
  simple(parse(code, { ecmaVersion: "latest", sourceType: "module" }), {
    VariableDeclaration({ declarations }) {
      for (const { id, init } of declarations) {
        if (isConstant(init)) found.set(id.name, code.slice(init.start, init.end));
      }
    },
  });
  return found;
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
    // It goes through the code points of a name and a password by the units of the text: those beyond the basic plane were garbled.
    onLoad({ filter: /whatwg-url.*url-state-machine\.js$/ }, ({ path }) => {
      const code = readFileSync(path, "utf8");
      const wrong =
        /for \(let pointer = 0; pointer < len; \+\+pointer\) \{\s*const codePoint = this\.buffer\.codePointAt\(pointer\);/;
      if (!wrong.test(code)) throw new Error(`${path}: what is mended here is not as it was`);
      return {
        contents: code.replace(wrong, "for (const it of this.buffer) { const codePoint = it.codePointAt(0);"),
        loader: "js",
      };
    });
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
const bundled = new Set();
for (const file of readdirSync(folder)) {
  if (!file.endsWith(".ts") || file.endsWith(".test.ts")) continue;
  const entry = resolve(folder, file);
  const { body, exports, inputs } = await bundle(entry, {
    plugins: [givenModules(entry, kernelFiles), packages],
  });
  for (const input of inputs) {
    const [root] = /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(input) ?? [];
    if (root !== undefined) bundled.add(root);
  }
  const text = body
    .replace(/ofKernel\("([^"]+)","([^"]+)"\)/g, (_, from, name) => `given[${placeOf(from, name)}]`)
    .replace(/ofLibrary\("([^"]+)","([^"]+)"\)/g, 'given[0]("$1").$2');
  const result = Object.entries(exports).map(([name, local]) => `${name}:${local}`);
  const script = `(given=>{"use strict";${text};return{__proto__:null,${result.join(",")}}})`;
  writeFileSync(new URL(`library/${file.replace(/\.ts$/, ".js")}`, target), script);
}

const licenses = [...bundled].map((root) => {
  const file = readdirSync(root).find((name) => /^LICEN[CS]E/i.test(name));
  return `${root.split("node_modules/").at(-1)}\n\n${readFileSync(resolve(root, file), "utf8").trim()}`;
});
writeFileSync(new URL("licenses.txt", target), `${licenses.join("\n\n----\n\n")}\n`);

const imports = [...places.keys()].map((key, i) => {
  const [file, name] = key.split(" ");
  return `import { ${name} as v${i} } from "./${file}";`;
});
const values = [...places.keys()].map((_, i) => `v${i}`);
const shared = `${imports.join("\n")}\nexport const shared = () => [${values.join(",")}];`;
const kernel = await bundle(kernelEntry, { plugins: [sharedModule(shared)], minifyIdentifiers: false });
writeFileSync(
  new URL("kernel.js", target),
  await withSmallFunctions(`${kernel.body};return ${kernel.exports.install}`),
);

/**
 * A function costs a session some 400 bytes, however short it is: itself, its code, its name, and what it closes over. So what
 * is called once is put where it is called, and the others lose their names, and with them what constructors need.
 *
 * @param body of the function that the script calls and gives
 */
async function withSmallFunctions(body) {
  const { code } = await minify(`give((()=>{"use strict";${withInlinedCalls(body)}})())`, {
    ecma: 2020,
    toplevel: true,
    compress: { passes: 4, pure_getters: true, unsafe_methods: true, hoist_props: true, reduce_funcs: false },
  });
  return withoutNames(code.replace(/^give\(/, "(").replace(/;$/, ""));
}

/** Top-level function declarations become variables; inside a sequence, a function is not given the variable's name. */
function withoutNames(script) {
  const [statement] = parse(script, { ecmaVersion: "latest" }).body;
  const [directive, ...statements] = statement.expression.callee.body.body;
  const functions = [];
  let rest = "";
  let from = directive.end;
  for (const node of statements) {
    if (node.type !== "FunctionDeclaration" || node.generator) continue;
    rest += script.slice(from, node.start);
    from = node.end;
    const async = node.async ? "async " : "";
    const head = script.slice(script.indexOf("(", node.id.end), node.body.start);
    const body = script.slice(node.body.start, node.end);
    const value = isBoundToCaller(node.body) ? `${async}function${head}${body}` : `${async}${head}=>${body}`;
    functions.push(`${node.id.name}=(0,${value})`);
  }
  return `${script.slice(0, directive.end)}var ${functions.join(",")};${rest}${script.slice(from)}`;
}

/** True where an arrow function would mean something else. */
function isBoundToCaller(node) {
  if (Array.isArray(node)) return node.some(isBoundToCaller);
  if (typeof node !== "object" || node === null) return false;
  if (node.type === "ThisExpression" || node.type === "MetaProperty") return true;
  if (node.type === "Identifier" && node.name === "arguments") return true;
  return Object.values(node).some(isBoundToCaller);
}
