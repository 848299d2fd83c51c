import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BundleError, bundle } from "@livescope/server/bundle";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CommandLine } from "../support/command.js";
import { isLong } from "../support/is-long.js";
import { withServer } from "../support/server.js";

const served = withServer();
const commands = new CommandLine(() => served.server.address);

let folder: string;
beforeAll(() => {
  // Inside the repository, where the packages that are imported are found.
  const base = fileURLToPath(new URL("../../node_modules/.cache", import.meta.url));
  mkdirSync(base, { recursive: true });
  folder = mkdtempSync(join(base, "bundle-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe("livescope bundle", () => {
  test.runIf(isLong)("brings npm packages into a session, as text and through a pipe", async () => {
    file("color.ts", "export enum Color { Red = 1 }");
    const path = file(
      "guest.ts",
      `import { stringify } from "devalue";
       import nunjucks from "nunjucks";
       import { Color } from "./color.js";
       export function text(): string { return stringify(new Map([["a", Color.Red]])) }
       console.log(text(), nunjucks.renderString("{{ a | upper }}", { a: text.name }), process.env.NODE_ENV)`,
    );
    const out = join(folder, "guest.mjs");
    expect(await commands.output("bundle", path, "--out", out)).toBe("");
    expect(readFileSync(out, "utf8")).toContain("node_modules/devalue");
    const printed = '[["Map",1,2],"a",1] TEXT production\n';
    expect(await commands.output("run", out)).toBe(printed);
    await using session = await served.client.createSession();
    await session.execute(readFileSync(out, "utf8"), { sourceType: "module", filename: "guest" });
    expect(await session.execute("(await import('guest')).text()")).toBe('[["Map",1,2],"a",1]');

    const small = await commands.output("bundle", path, "--minify");
    expect(small.length).toBeLessThan(readFileSync(out).length);
    expect(await commands.run(["run", "--module", "-"], { input: small })).toMatchObject({ code: 0, stdout: printed });
  });

  test("refuses what only Node has, and says which package asks for it", async () => {
    file("node.ts", "import { readFile } from 'node:fs/promises'; import '@grpc/grpc-js'; readFile('x');");
    const { code, stdout, stderr } = await commands.run(["bundle", "node.ts"], { cwd: folder });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(
      /^livescope: node\.ts asks for node:fs\/promises: of Node's own modules a session has none$/m,
    );
    expect(stderr).toMatch(/^livescope: the package @grpc\/grpc-js asks for (?:\w+, )+\w+: /m);
  });

  test("says where a file does not parse, and what is not there", async () => {
    file("broken.ts", "let a = ;");
    expect(await commands.run(["bundle", "broken.ts"], { cwd: folder })).toEqual({
      code: 2,
      stdout: "",
      stderr: 'livescope: broken.ts:1:9: Unexpected ";"\n',
    });
    expect(await commands.run(["bundle", "gone.ts"], { cwd: folder })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^livescope: .*gone\.ts.*\n$/),
    });
  });
});

describe("the function bundle", () => {
  test("gives the text of a module that keeps its names", async () => {
    const path = file("kept.ts", "export class Kept { run(): string { return Kept.name } }");
    await using session = await served.client.createSession();
    await session.execute(await bundle(path, { minify: true }), { sourceType: "module", filename: "kept" });
    expect(await session.execute("const { Kept } = await import('kept'); new Kept().run()")).toBe("Kept");
  });

  test("has the names of the global object that packages for Node, and those for browsers, take for granted", async () => {
    const path = file(
      "names.js",
      "export const same = [global, self].every((one) => one === globalThis), kept = ((self) => self)(1)",
    );
    await using session = await served.client.createSession();
    await session.execute(await bundle(path), { sourceType: "module", filename: "names" });
    expect(await session.execute("const { same, kept } = await import('names'); [same, kept]")).toEqual([true, 1]);
  });

  test("takes a package by its name", async () => {
    await using session = await served.client.createSession();
    await session.execute(await bundle("devalue"), { sourceType: "module", filename: "devalue" });
    expect(await session.execute("(await import('devalue')).stringify(new Set([1]))")).toBe('[["Set",1],1]');
  });

  test("tells of every problem", async () => {
    const problems = await bundle(file("two.ts", "import 'node:fs'; import 'gone'")).catch((error: unknown) => error);
    expect(problems).toBeInstanceOf(BundleError);
    expect(problems).toMatchObject({
      problems: [expect.stringMatching(/two\.ts:1:\d+: .*gone/), expect.stringMatching(/two\.ts asks for node:fs: /)],
    });
  });
});
