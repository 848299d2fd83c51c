import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const source = join(root, "server/src");

/** For each layer of the server: what its files may import, beside files of the layer itself and `node:` modules. */
const ALLOWED: Readonly<Record<string, { layers: readonly string[]; packages: readonly (string | RegExp)[] }>> = {
  "": {
    layers: ["cli", "rpc", "session", "engine", "store"],
    packages: ["@grpc/grpc-js", "@livescope/proto", "pino"],
  },
  // A client like any other: it knows the server by its contract alone.
  cli: { layers: [], packages: ["@grpc/grpc-js", "@livescope/sdk", "acorn", "commander", "esbuild"] },
  rpc: {
    layers: ["session", "engine"],
    packages: [/^@livescope\/proto/, "@bufbuild/protobuf/wire", "@grpc/grpc-js", "@grpc/reflection", "pino"],
  },
  session: { layers: ["engine", "store"], packages: [] },
  store: { layers: [], packages: ["libsql"] },
  // Of compile/ the names of templates alone: what they are compiled to is the worker's.
  engine: { layers: ["engine/worker", "compile"], packages: [] },
  "engine/worker": { layers: ["compile"], packages: ["binaryen"] },
  compile: { layers: [], packages: ["acorn", "acorn-walk", "amaro", "magic-string"] },
  // What is bundled into libraries; `#shared` is made by the build.
  guest: { layers: [], packages: ["#shared", "tr46", /^whatwg-url\/lib\//, /^@exodus\/bytes\//] },
};

/** Of another layer, only types and these names may be used where the arrow points past a layer. */
const TYPES_ONLY: readonly (readonly [from: string, to: string])[] = [["rpc", "engine"]];

interface Import {
  readonly file: string;
  readonly layer: string;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

function files(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return files(path);
    return path.endsWith(".ts") && !path.endsWith(".test.ts") ? [path] : [];
  });
}

function layerOf(path: string): string {
  const folder = relative(source, dirname(path));
  return folder === "engine/worker" ? folder : (folder.split("/")[0] ?? "");
}

function importsOf(path: string): Import[] {
  const text = readFileSync(path, "utf8");
  const statements = text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[^;"']*?\sfrom\s+)?["']([^"']+)["']/gm);
  const expressions = [...text.matchAll(/\bawait import\(["']([^"']+)["']\)/g)].map(([all, specifier]) => [
    all,
    undefined,
    specifier,
  ]);
  return [...statements, ...expressions].map(([, type, specifier = ""]) => ({
    file: path,
    layer: layerOf(path),
    specifier,
    typeOnly: type !== undefined,
  }));
}

const imports = files(source).flatMap(importsOf);

function problemOf({ file, layer, specifier, typeOnly }: Import): string | undefined {
  if (specifier.startsWith("node:")) return undefined;
  const rule = ALLOWED[layer];
  if (rule === undefined) return `${relative(root, file)}: no rule for layer "${layer}"`;
  const problem = `${relative(root, file)} must not import ${specifier}`;
  if (!specifier.startsWith(".")) {
    const known = rule.packages.some((allowed) =>
      typeof allowed === "string" ? allowed === specifier : allowed.test(specifier),
    );
    return known ? undefined : problem;
  }
  const target = layerOf(resolve(dirname(file), specifier));
  if (target === layer) return undefined;
  if (!rule.layers.includes(target)) return problem;
  const typesOnly = TYPES_ONLY.some(([from, to]) => from === layer && to === target);
  return typesOnly && !typeOnly ? `${problem} other than as a type` : undefined;
}

describe("the layers of the server", () => {
  test("import only what lies below them", () => {
    expect(imports.length).toBeGreaterThan(50);
    expect(imports.map(problemOf).filter((problem) => problem !== undefined)).toEqual([]);
  });

  test("leave gRPC to rpc, and the engine's package to engine/worker", () => {
    const users = (name: string): string[] => [
      ...new Set(imports.filter(({ specifier }) => specifier.startsWith(name)).map(({ layer }) => layer)),
    ];
    expect(users("@grpc/grpc-js").sort()).toEqual(["", "cli", "rpc"]);
    const engineUsers = files(source).filter((file) => readFileSync(file, "utf8").includes("quickjs-wasmfile"));
    expect(engineUsers.map(layerOf)).toEqual(["engine/worker"]);
  });

  test("keep all that is no command from knowing the command line", () => {
    const users = imports
      .filter(({ specifier }) => /\/cli\//.test(specifier))
      .map(({ file }) => relative(source, file));
    expect([...new Set(users)].sort()).toEqual(["main.ts", "serve.ts"]);
  });

  test("keep the SDK free of the server", () => {
    const sdk = files(join(root, "sdk/src")).flatMap(importsOf);
    expect(sdk.length).toBeGreaterThan(0);
    expect(sdk.filter(({ specifier }) => specifier.startsWith("@livescope/server"))).toEqual([]);
  });
});
