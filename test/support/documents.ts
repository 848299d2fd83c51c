/** The documentation as its tests read it: pages, links, and code blocks that are run. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { format, promisify } from "node:util";
import { vi } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Where the pages say that the server listens. */
const ADDRESS = "127.0.0.1:50051";

/** @param page path of a file, from the root of the repository */
export function pageText(page: string): string {
  return readFileSync(join(root, page), "utf8");
}

/** The contents of all code blocks of a language. */
export function codeBlocks(page: string, language: string): string[] {
  return [...pageText(page).matchAll(/^```(\w*)\n([\s\S]*?)^```/gm)].flatMap(([, of, text]) =>
    of === language && text !== undefined ? [text] : [],
  );
}

/** Links within the repository. */
export function links(page: string): string[] {
  return [...pageText(page).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = ""]) =>
    /^[a-z]+:/.test(link) ? [] : [link],
  );
}

/** Those that point to no file, or to no heading of one. */
export function deadLinks(page: string): string[] {
  return links(page).filter((link) => {
    const [path = "", heading] = link.split("#");
    const target = path === "" ? page : join(dirname(page), path);
    if (!existsSync(join(root, target))) return true;
    return heading !== undefined && !headings(target).includes(heading);
  });
}

/** Headings of a page, spelled as links to them are. */
function headings(page: string): string[] {
  return [...pageText(page).matchAll(/^#+ (.*)$/gm)].map(([, text = ""]) =>
    text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** Runs a block of shell commands against a server, and gives what it prints; rejects when one of them fails. */
export async function runShell(block: string, address: string): Promise<string> {
  const script = ["-O", "expand_aliases", "-o", "pipefail", "-ec", block.replaceAll(ADDRESS, address)];
  return (await promisify(execFile)("bash", script, { cwd: root })).stdout;
}

/** Runs a block of TypeScript against a server: what it prints, and what its comments say that it prints. */
export async function runTypeScript(
  block: string,
  address: string,
): Promise<{ readonly printed: string[]; readonly expected: string[] }> {
  const expected = [...block.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text = ""]) => text);
  // Inside the repository, so that the packages it imports are found.
  const base = join(root, "node_modules/.cache");
  mkdirSync(base, { recursive: true });
  const folder = mkdtempSync(join(base, "docs-"));
  const printed: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((...values) => void printed.push(format(...values)));
  try {
    const file = join(folder, "block.ts");
    writeFileSync(file, block.replaceAll(ADDRESS, address));
    await import(/* @vite-ignore */ file);
  } finally {
    log.mockRestore();
    rmSync(folder, { recursive: true });
  }
  return { printed, expected };
}
