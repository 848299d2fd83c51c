/** Runs what the documentation shows, as it stands but for the address of the server. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { format, promisify } from "node:util";
import type { Livescope } from "@livescope/sdk";
import { vi } from "vitest";
import { type CodeBlock, ROOT } from "./documents.js";
import { run } from "./run.js";
import { SCRIPT_PATH } from "./script-path.js";

/** Where the pages say that the server listens. */
const ADDRESS = "127.0.0.1:50051";

/** What a program printed, and what the comments in it say that it prints. */
export interface Printed {
  readonly printed: string[];
  readonly expected: string[];
}

/** Runs shell commands, and gives the lines that they print; those expected are the comments `#> text`. Rejects when one fails. */
export async function runShell({ text }: CodeBlock, address: string): Promise<Printed> {
  const script = ["-O", "expand_aliases", "-o", "pipefail", "-ec", text.replaceAll(ADDRESS, address)];
  const env = { ...process.env, PATH: SCRIPT_PATH, ADDRESS: address };
  const { stdout } = await promisify(execFile)("bash", script, { cwd: ROOT, env });
  const expected = [...text.matchAll(/^#> ?(.*)$/gm)].map(([, line = ""]) => line);
  return { printed: stdout.split("\n").slice(0, -1), expected };
}

/** Runs a program in this process. */
export async function runTypeScript(program: CodeBlock, address: string): Promise<Printed> {
  const printed: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((...values) => void printed.push(format(...values)));
  try {
    await inFolder(async (folder) => {
      const file = join(folder, "program.ts");
      writeFileSync(file, program.text.replaceAll(ADDRESS, address));
      await import(/* @vite-ignore */ file);
    });
  } finally {
    log.mockRestore();
  }
  return { printed, expected: consoleComments(program) };
}

/** Runs guest code in a session. */
export async function runGuest(program: CodeBlock, client: Livescope): Promise<Printed> {
  await using session = await client.createSession();
  const { console } = await session.execute(program.text, { filename: `${program.page}.js` }).execution();
  return { printed: console.map(({ text }) => text), expected: consoleComments(program) };
}

/** Checks programs against the types that the packages are built with; gives what the compiler says, by page and line. */
export function checkTypes(programs: readonly CodeBlock[]): Promise<string> {
  return inFolder(async (folder) => {
    const options = {
      noEmit: true,
      composite: false,
      declaration: false,
      sourceMap: false,
      inlineSources: false,
      customConditions: [],
    };
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ extends: "../../../tsconfig.base.json", compilerOptions: options, include: ["*.ts"] }),
    );
    for (const [index, { text }] of programs.entries()) writeFileSync(join(folder, `program-${index}.ts`), text);
    const { stdout, stderr } = await run(join(ROOT, "node_modules/.bin/tsc"), ["-p", folder, "--pretty", "false"]);
    return `${stdout}${stderr}`.replace(/^.*program-(\d+)\.ts/gm, (_, index) => programs[Number(index)]?.page ?? "");
  });
}

/** What stands behind `console.log(…);`. */
function consoleComments({ text }: CodeBlock): string[] {
  return [...text.matchAll(/console\.log\(.*\);? \/\/ (.*)$/gm)].map(([, comment = ""]) => comment);
}

/** A folder inside the repository, so that the packages which a program imports are found. */
async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const base = join(ROOT, "node_modules/.cache");
  mkdirSync(base, { recursive: true });
  const folder = mkdtempSync(join(base, "docs-"));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
