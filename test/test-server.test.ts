/** `@livescope/sdk/testing`, as the tests of its users have it. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Livescope, UnavailableError } from "@livescope/sdk";
import { startTestServer } from "@livescope/sdk/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const modules = fileURLToPath(new URL("../node_modules", import.meta.url));
/** Long enough on a busy machine for a process that ends by itself. */
const PROCESS_TIMEOUT = 25_000;

describe("a test server", () => {
  test("is there in a line, and its clients with it", async () => {
    await using server = await startTestServer();
    await using client = await server.connect();
    await using session = await client.createSession({ setup: "let n = 1" });
    expect(await session.execute("n + 1")).toBe(2);
    await using other = await Livescope.connect(server.address);
    expect(await other.attach(session.id).execute("n")).toBe(1);
    await using unary = await server.connect({ transport: "unary" });
    expect(await unary.execute("6 * 7")).toBe(42);
  });

  test("closes once, with what is connected to it", async () => {
    const server = await startTestServer({ workers: 2, maximumMemory: 256 << 20 });
    const client = await server.connect();
    await client.createSession();
    await Promise.all([server.close(), server.close()]);
    await expect(client.execute("1")).rejects.toThrow("closed");
    await expect(Livescope.connect(server.address, { connectTimeout: 2_000 })).rejects.toThrow(UnavailableError);
  });
});

describe("in a process of its own", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "livescope-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Lays the packages out as npm would, without those left out, and runs a file there. */
  async function run(file: string, text: string, { flags = [] as string[], leftOut = [] as string[] } = {}) {
    const packages = join(folder, "node_modules");
    for (const scope of ["", "@livescope"]) {
      mkdirSync(join(packages, scope), { recursive: true });
      for (const name of readdirSync(join(modules, scope))) {
        if (name === "@livescope" || name.startsWith(".") || leftOut.includes(`${scope}/${name}`)) continue;
        symlinkSync(join(modules, scope, name), join(packages, scope, name));
      }
    }
    writeFileSync(join(folder, file), text);
    const links = ["--preserve-symlinks", "--preserve-symlinks-main"];
    return promisify(execFile)(process.execPath, [...links, ...flags, file], { cwd: folder, timeout: PROCESS_TIMEOUT });
  }

  test("lets node --test end by itself, writes nothing to the disk, and logs nothing", async () => {
    const text = `
      import assert from "node:assert/strict";
      import { after, before, test } from "node:test";
      import { startTestServer } from "@livescope/sdk/testing";

      let server, client;
      before(async () => { server = await startTestServer(); client = await server.connect() });
      after(() => server.close());

      test("adds", async () => {
        const session = await client.createSession();
        await session.expose({ two: () => 2 });
        assert.equal(await session.execute("await two() + 1"), 3);
      });
    `;
    const { stdout, stderr } = await run("adds.test.mjs", text, { flags: ["--test"] });
    expect(stdout).toMatch(/pass 1\n/);
    expect(stderr).toBe("");
    expect(readdirSync(folder).sort()).toEqual(["adds.test.mjs", "node_modules"]);
  });

  test("says what to install where the server's package is missing", async () => {
    const text = `
      import { startTestServer } from "@livescope/sdk/testing";
      await startTestServer().catch((error) => console.log(error.name, error.message));
    `;
    const { stdout } = await run("missing.mjs", text, { leftOut: ["@livescope/server"] });
    expect(stdout).toContain("LivescopeError a test server needs the package @livescope/server");
    expect(stdout).toContain("npm install --save-dev @livescope/server");
  });
});
