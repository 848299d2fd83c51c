import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { codeBlocks, deadLinks, links, runShell, runTypeScript } from "./support/documents.js";

const README = "README.md";

let server: RunningServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.close());

describe("the README", () => {
  test("shows a tour that prints what its comments say", async () => {
    const [tour = ""] = codeBlocks(README, "ts");
    const { printed, expected } = await runTypeScript(tour, server.address);
    expect(expected.length).toBeGreaterThan(8);
    expect(printed).toEqual(expected);
  });

  test("shows shell commands that work as they stand", async () => {
    const script = codeBlocks(README, "sh").find((text) => text.includes("buf curl")) ?? "";
    const stdout = await runShell(script, server.address);
    expect(stdout).toContain('"sessionId": "mine"');
    expect(stdout).toContain('"data": 42');
    expect(stdout).toContain('"text": "2 4 "');
    expect(stdout.replace(/\s+/g, "")).toContain('"data":[1,4,9]');
  });

  test("links to nothing that is not there", () => {
    expect(links(README).length).toBeGreaterThan(5);
    expect(deadLinks(README)).toEqual([]);
  });
});
