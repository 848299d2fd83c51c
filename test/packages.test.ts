/** What is published can be used: its files are all there, its types are right, and `import` and `require` both give it. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publint } from "publint";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "./support/documents.js";
import { isLong } from "./support/is-long.js";
import { run } from "./support/run.js";

const PACKAGES = ["proto", "sdk", "server"] as const;
const BIN = join(ROOT, "node_modules/.bin");
/** They are packed, and programs are compiled and run. */
const LONG = 120_000;

/** Starts a server and asks it, by whatever way the packages were had. */
const USE = `
  const server = await startServer();
  const client = await Livescope.connect(server.address);
  const value: number = await client.execute<number>("6 * 7");
  const { message }: GuestError = await client.execute<never>("null.x").catch((error) => error);
  console.log(value, message, Status.fromPartial({ code: 5 }).code, (await import("node:fs")).existsSync(descriptorPath));
  await client.close();
  await server.close();
`;
const PRINTED = "42 cannot read property 'x' of null 5 true\n";
const IMPORTED = `
import { Status } from "@livescope/proto";
import { descriptorPath } from "@livescope/proto/descriptor";
import { type GuestError, Livescope } from "@livescope/sdk";
import { startServer } from "@livescope/server";
${USE}`;
/** Node gives ES modules to \`require\`, so there is one copy of each class, however it is had. */
const REQUIRED = `
import type { GuestError } from "@livescope/sdk";
import { Status } from "@livescope/proto";
import { descriptorPath } from "@livescope/proto/descriptor";
const { Livescope }: typeof import("@livescope/sdk") = require("@livescope/sdk");
const { startServer }: typeof import("@livescope/server") = require("@livescope/server");
async function main(): Promise<void> {
  if ((await import("@livescope/sdk")).Livescope !== Livescope) throw new Error("there are two of it");
  ${USE}
}
main();
`;
/** What the compiler writes out of types that nobody wrote down, in a project that gives declarations itself. */
const EXPORTED = `
import type { Guest, Livescope, Session } from "@livescope/sdk";
export interface Rules { price(net: number): number; readonly Rule: new (n: number) => { readonly n: number } }
export const price = (rules: Guest<Rules>) => rules.price;
export const rules = async (client: Livescope) => ({ rules: client.attach("x").guest<Rules>() });
export const rule = async (rules: Guest<Rules>) => ({ rule: await new rules.Rule(1) });
export const watched = (session: Session) => ({ events: session.watch(), price: session.fn<[number], number>("price") });
`;

describe.runIf(isLong)("what is published (with LIVESCOPE_LONG)", () => {
  /** Within the repository: what the packages depend on is found there, as it was installed. */
  const base = join(ROOT, "node_modules/.cache");
  let folder: string;
  const tarballs = new Map<string, string>();

  beforeAll(async () => {
    mkdirSync(base, { recursive: true });
    folder = mkdtempSync(join(base, "packages-"));
    const workspaces = PACKAGES.flatMap((name) => ["-w", name]);
    const { stdout, stderr } = await run("npm", ["pack", ...workspaces, "--json", "--pack-destination", folder], {
      npm_config_loglevel: "error",
    });
    expect(stdout, stderr).not.toBe("");
    for (const { name, filename } of JSON.parse(stdout) as { name: string; filename: string }[])
      tarballs.set(name.replace("@livescope/", ""), join(folder, filename));
  }, LONG);
  afterAll(() => rmSync(folder, { recursive: true }));

  describe.each(PACKAGES)("the package %s", (name) => {
    test("has what publint asks for", { timeout: LONG }, async () => {
      const { messages } = await publint({ pkgDir: join(ROOT, name), strict: true, pack: "npm" });
      expect(messages).toEqual([]);
    });

    test("has types that all ways of importing find", { timeout: LONG }, async () => {
      const flags = [
        // Ways of resolving that no Node has which these packages run on.
        ["--profile", "node16"],
        // `require` gives an ES module, which Node does since 20.19. A second, CommonJS build would be a second copy of each
        // class, and an error of one copy is no instance of the other's.
        ["--ignore-rules", "cjs-resolves-to-esm"],
        // This one is data, and has no types.
        ["--exclude-entrypoints", "./descriptor.binpb"],
      ].flat();
      const { exitCode, stdout } = await run(join(BIN, "attw"), [tarballs.get(name) ?? "", ...flags]);
      expect(exitCode, stdout).toBe(0);
    });

    test("has a README, and the license of the project", async () => {
      const read = async (file: string): Promise<string> =>
        (await run("tar", ["-xzOf", tarballs.get(name) ?? "", `package/${file}`])).stdout;
      expect(await read("README.md")).toContain(`# @livescope/${name}\n`);
      expect(await read("LICENSE")).toBe(readFileSync(join(ROOT, "LICENSE"), "utf8"));
    });

    test("has neither tests in it nor what a build leaves behind", async () => {
      const { stdout } = await run("tar", ["-tzf", tarballs.get(name) ?? ""]);
      expect(stdout.split("\n").filter((path) => /\.test\.|tsbuildinfo|(?<!\.d)\.ts$/.test(path))).toEqual([]);
    });
  });

  describe("a project that has the packages", () => {
    test("imports and requires them, with types", { timeout: LONG }, async () => {
      const project = join(folder, "project");
      for (const name of PACKAGES) {
        const target = join(project, "node_modules/@livescope", name);
        mkdirSync(target, { recursive: true });
        await run("tar", ["-xzf", tarballs.get(name) ?? "", "--strip-components", "1", "-C", target]);
        // What npm put there because another version stands in the root.
        const own = join(ROOT, name, "node_modules");
        if (existsSync(own)) symlinkSync(own, join(target, "node_modules"));
      }
      await expectToWork(project);
    });

    // It asks the registry, as `npm ci` does, and takes what a user would get today.
    test("installs them from tarballs", { timeout: 2 * LONG }, async () => {
      const project = mkdtempSync(join(tmpdir(), "livescope-project-"));
      try {
        writeFileSync(join(project, "package.json"), JSON.stringify({ name: "project", private: true }));
        const flags = ["--prefer-offline", "--no-audit", "--no-fund"];
        const { exitCode, stderr } = await run("npm", ["install", "--prefix", project, ...flags, ...tarballs.values()]);
        expect(exitCode, stderr).toBe(0);
        expect(existsSync(join(project, "node_modules/.bin/livescope"))).toBe(true);
        await expectToWork(project);
      } finally {
        rmSync(project, { recursive: true });
      }
    });
  });
});

async function expectToWork(project: string): Promise<void> {
  writeFileSync(join(project, "imported.mts"), IMPORTED);
  writeFileSync(join(project, "required.cts"), REQUIRED);
  writeFileSync(join(project, "exported.mts"), EXPORTED);
  const language = { module: "nodenext", target: "es2023", strict: true, declaration: true };
  const options = { ...language, skipLibCheck: true, types: ["node"] };
  const typeRoots = [join(ROOT, "node_modules/@types")];
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...options, typeRoots } }));
  const compiled = await run(join(BIN, "tsc"), ["-p", project, "--pretty", "false"]);
  expect(compiled.stdout).toBe("");
  for (const file of ["imported.mjs", "required.cjs"]) {
    const { exitCode, stdout, stderr } = await run(process.execPath, [join(project, file)]);
    expect(exitCode, stderr).toBe(0);
    expect(stdout).toBe(PRINTED);
  }
}
