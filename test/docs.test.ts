import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Duration, GetServerInfoRequest, type GetServerInfoResponse, type Limits } from "@livescope/proto";
import { Livescope } from "@livescope/sdk";
import { type RunningServer, startServer } from "@livescope/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { codeBlocks, deadLinks, links, pageText, runShell, runTypeScript } from "./support/documents.js";
import { connectClients, send } from "./support/unary-client.js";

const DOCS = readdirSync(new URL("../docs", import.meta.url))
  .filter((file) => file.endsWith(".md"))
  .map((file) => `docs/${file}`);
const PAGES = [...DOCS, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];

/** What shell blocks print, without white space. */
const PRINTED: Readonly<Record<string, readonly string[]>> = {
  "docs/guest.md": ['"globalThis"'],
  "docs/operations.md": ['"status":"SERVING"', '"engineDigest":"'],
  "docs/protocol.md": ['"data":[1,4,9]'],
};

let directory: string;
let server: RunningServer;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "livescope-docs-"));
  server = await startServer({ data: join(directory, "data") });
});
afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

function blocksOf(language: string): { page: string; block: string }[] {
  return DOCS.flatMap((page) => codeBlocks(page, language).map((block) => ({ page, block })));
}

/** The part of a page below a heading. */
function section(page: string, heading: string): string {
  const [, text = ""] = pageText(page).split(`\n## ${heading}\n`);
  return text.split("\n## ")[0] ?? "";
}

/** The cells of the rows of all tables in a text, heads left out. */
function rows(text: string): string[][] {
  return [...text.matchAll(/^\|[ -].*\n\|[-|]+\n((?:\|.*\n)+)/gm)].flatMap(([, body = ""]) =>
    body
      .trimEnd()
      .split("\n")
      .map((line) =>
        line
          .split("|")
          .slice(1, -1)
          .map((cell) => cell.trim()),
      ),
  );
}

describe("the code blocks of docs/", () => {
  test.each(blocksOf("sh"))("of shell work as they stand: $page", async ({ page, block }) => {
    const stdout = (await runShell(block, server.address)).replace(/\s+/g, "");
    for (const text of PRINTED[page] ?? [`${page} has a block, and no entry in PRINTED`])
      expect(stdout).toContain(text);
  });

  test.each(blocksOf("ts"))("of TypeScript print what their comments say: $page", async ({ block }) => {
    const { printed, expected } = await runTypeScript(block, server.address);
    expect(expected.length).toBeGreaterThan(0);
    expect(printed).toEqual(expected);
  });

  test("are there", () => {
    expect(new Set(blocksOf("sh").map(({ page }) => page))).toEqual(new Set(Object.keys(PRINTED)));
    expect(blocksOf("ts").length).toBeGreaterThan(0);
  });
});

describe("the pages", () => {
  test.each(PAGES)("link to nothing that is not there: %s", (page) => {
    expect(deadLinks(page)).toEqual([]);
  });

  test("link to each other", () => {
    expect(PAGES.flatMap(links).length).toBeGreaterThan(10);
  });
});

const UNITS: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1 << 20, s: 1_000, min: 60_000 };

/** `64 MiB`, `10 min`, `1,000`: bytes, milliseconds, or just the number. */
function quantity(text: string): number {
  const [, digits = "", unit] = /^([\d,]+)(?: (\w+))?$/.exec(text) ?? [];
  return Number(digits.replaceAll(",", "")) * (unit === undefined ? 1 : (UNITS[unit] ?? Number.NaN));
}

function milliseconds(duration: Duration | undefined): number {
  return Number(duration?.seconds) * 1_000 + Number(duration?.nanos) / 1e6;
}

function limitsOf(limits: Limits | undefined): Record<string, number> {
  return {
    memory_bytes: Number(limits?.memoryBytes),
    timeout: milliseconds(limits?.timeout),
    cpu_time: milliseconds(limits?.cpuTime),
    console_bytes: Number(limits?.consoleBytes),
    value_bytes: Number(limits?.valueBytes),
    handles: Number(limits?.handles),
    queued_executions: Number(limits?.queuedExecutions),
  };
}

describe("docs/protocol.md", () => {
  test("tells the limits that the server has", async () => {
    const clients = connectClients(server.address);
    let info: GetServerInfoResponse;
    try {
      info = await send(clients.sandbox, clients.sandbox.getServerInfo, GetServerInfoRequest.fromPartial({}));
    } finally {
      clients.close();
    }
    const limits = rows(section("docs/protocol.md", "Limits")).filter((cells) => cells.length === 4);
    const column = (index: number): Record<string, number> =>
      Object.fromEntries(limits.map((cells) => [cells[0]?.replaceAll("`", ""), quantity(cells[index] ?? "")]));
    expect(column(1)).toEqual(limitsOf(info.defaultLimits));
    expect(column(2)).toEqual(limitsOf(info.maximumLimits));
  });
});

describe("docs/guest.md", () => {
  test("lists the names that the global object has", async () => {
    await using client = await Livescope.connect(server.address);
    const names = await client.execute("Object.getOwnPropertyNames(globalThis)");
    const listed = rows(section("docs/guest.md", "The Realm")).flatMap(([, cell = ""]) =>
      [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
    );
    expect(listed.sort()).toEqual((names as string[]).sort());
  });

  test("tells which names of the web platform there are", async () => {
    await using client = await Livescope.connect(server.address);
    for (const [names = "", here] of rows(section("docs/guest.md", "The web platform"))) {
      for (const [, path = ""] of names.matchAll(/`([^`]+)`/g)) {
        const [first = "", rest] = path.split(".");
        const code = rest === undefined ? `typeof ${first}` : `typeof ${first}.${rest}`;
        const exists = (await client.execute(code)) !== "undefined";
        expect([path, exists ? "yes" : "no"]).toEqual([path, here]);
      }
    }
  });
});
