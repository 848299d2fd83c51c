import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Duration, GetServerInfoRequest, type GetServerInfoResponse, type Limits } from "@livescope/proto";
import { afterAll, describe, expect, test } from "vitest";
import {
  type CodeBlock,
  codeBlocks,
  DOCS,
  deadLinks,
  links,
  pageText,
  program,
  typeScriptPrograms,
} from "./support/documents.js";
import { isLong } from "./support/is-long.js";
import { checkTypes, runGuest, runShell, runTypeScript } from "./support/run-documents.js";
import { withServer } from "./support/server.js";
import { connectClients, send } from "./support/unary-client.js";

const PACKAGES = ["proto", "sdk", "server"].map((folder) => `${folder}/README.md`);
const PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", ...PACKAGES, ...DOCS];

/**
 * The languages of code blocks, each of which is tried below. `text` is for what cannot be run: what is printed, diagrams, and
 * commands that install or serve.
 */
const LANGUAGES = ["ts", "js", "sh", "json", "text"];

/** What the shell blocks of pages print among other things, without white space, where no `#>` tells all of it. */
const PRINTED: Readonly<Record<string, readonly string[]>> = {
  "README.md": ['"sessionId":"mine"', '"data":42', '"text":"24"', '"data":[1,4,9]'],
  "docs/guest.md": ['"globalThis"'],
  "docs/operations.md": ['"status":"SERVING"', '"engineDigest":"'],
  "docs/protocol.md": ['"data":[1,4,9]'],
};

// Hooks that clean up run in the order against that in which they are registered: first the server ends.
const directory = mkdtempSync(join(tmpdir(), "livescope-docs-"));
afterAll(() => rmSync(directory, { recursive: true }));
const served = withServer({ data: join(directory, "data") });

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

function programs(language: string): [place: string, program: CodeBlock][] {
  return PAGES.flatMap((page) => {
    const found = language === "ts" ? typeScriptPrograms(page) : program(page, language);
    return found.map((one): [string, CodeBlock] => [`${page}:${one.line}`, one]);
  });
}

describe("the code blocks of the pages", () => {
  test.each(PAGES)("are of a language that is tried here: %s", (page) => {
    const others = codeBlocks(page).filter(({ language }) => !LANGUAGES.includes(language));
    expect(others, `the language of a block is one of ${LANGUAGES.join(", ")}`).toEqual([]);
  });

  test.each(programs("ts"))("of TypeScript print what their comments say: %s", async (_place, program) => {
    const { printed, expected } = await runTypeScript(program, served.server.address);
    expect(expected.length).toBeGreaterThan(0);
    expect(printed).toEqual(expected);
  });

  test("of TypeScript have no wrong type", { timeout: 60_000 }, async () => {
    expect(await checkTypes(programs("ts").map(([, program]) => program))).toBe("");
  });

  test.each(programs("js"))("of guest code print what their comments say: %s", async (_place, program) => {
    const { printed, expected } = await runGuest(program, served.client);
    expect(expected.length).toBeGreaterThan(0);
    expect(printed).toEqual(expected);
  });

  // Each line of one is some processes: with LIVESCOPE_LONG those of all pages, else the first steps of a user.
  const scripts = programs("sh").filter(([, { page }]) => isLong || page === "README.md");
  test.each(scripts)("of shell work as they stand: %s", { timeout: 60_000 }, async (_place, program) => {
    const { printed, expected } = await runShell(program, served.server.address);
    if (expected.length > 0) return expect(printed).toEqual(expected);
    for (const text of PRINTED[program.page] ?? [`${program.page}: say what it prints, by #> or in PRINTED`])
      expect(printed.join("").replace(/\s+/g, "")).toContain(text);
  });

  test.each(PAGES.flatMap(codeBlocks).filter(({ language }) => language === "json"))(
    "of JSON are JSON: $page:$line",
    ({ text }) => {
      expect(() => JSON.parse(text)).not.toThrow();
    },
  );

  test("are there", () => {
    for (const language of LANGUAGES) expect([language, programs(language).length]).not.toEqual([language, 0]);
    const told = programs("sh").map(([, { page }]) => page);
    expect(Object.keys(PRINTED).filter((page) => !told.includes(page))).toEqual([]);
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
    const clients = connectClients(served.server.address);
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
    const names = await served.client.execute("Object.getOwnPropertyNames(globalThis)");
    const listed = rows(section("docs/guest.md", "The Realm")).flatMap(([, cell = ""]) =>
      [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
    );
    expect(listed.sort()).toEqual((names as string[]).sort());
  });

  test("tells which names of the web platform there are", async () => {
    for (const [names = "", here] of rows(section("docs/guest.md", "The web platform"))) {
      for (const [, path = ""] of names.matchAll(/`([^`]+)`/g)) {
        const [first = "", rest] = path.split(".");
        const code = rest === undefined ? `typeof ${first}` : `typeof ${first}.${rest}`;
        const exists = (await served.client.execute(code)) !== "undefined";
        expect([path, exists ? "yes" : "no"]).toEqual([path, here]);
      }
    }
  });
});
