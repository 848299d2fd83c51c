import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { format, promisify } from "node:util";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const ADDRESS = "127.0.0.1:50051";

/** The contents of all code blocks of a language. */
function blocks(language: string): string[] {
  return [...readme.matchAll(/^```(\w+)\n([\s\S]*?)^```/gm)].flatMap(([, of, text]) =>
    of === language && text !== undefined ? [text] : [],
  );
}

let server: RunningServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.close());

describe("the README", () => {
  test("shows a tour that prints what its comments say", async () => {
    const [tour = ""] = blocks("ts");
    const expected = [...tour.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text]) => text);
    expect(expected.length).toBeGreaterThan(8);
    // Inside the repository, so that the packages it imports are found.
    const base = join(root, "node_modules/.cache");
    mkdirSync(base, { recursive: true });
    const folder = mkdtempSync(join(base, "readme-"));
    const printed: string[] = [];
    const log = vi.spyOn(console, "log").mockImplementation((...values) => void printed.push(format(...values)));
    try {
      const file = join(folder, "tour.ts");
      writeFileSync(file, tour.replaceAll(ADDRESS, server.address));
      await import(/* @vite-ignore */ file);
    } finally {
      log.mockRestore();
      rmSync(folder, { recursive: true });
    }
    expect(printed).toEqual(expected);
  });

  test("shows shell commands that work as they stand", async () => {
    const script = blocks("sh").find((text) => text.includes("buf curl")) ?? "";
    const bash = ["-O", "expand_aliases", "-ec", script.replaceAll(ADDRESS, server.address)];
    const { stdout } = await promisify(execFile)("bash", bash, { cwd: root });
    expect(stdout).toContain('"sessionId": "mine"');
    expect(stdout).toContain('"data": 42');
    expect(stdout.replace(/\s+/g, "")).toContain('"data":[1,4,9]');
  });

  test("links to nothing that is not there", () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map(([, link = ""]) => link);
    expect(links.length).toBeGreaterThan(5);
    expect(links.filter((link) => !existsSync(join(root, link)))).toEqual([]);
  });
});
