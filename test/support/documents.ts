/** The documentation as its tests read it: pages, links, and code blocks. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The pages of docs/, by their paths from the root of the repository. */
export const DOCS: readonly string[] = readdirSync(join(ROOT, "docs"))
  .filter((file) => file.endsWith(".md"))
  .map((file) => `docs/${file}`);

/** What stands between two fences. */
export interface CodeBlock {
  readonly page: string;
  /** Where its fence is, counted from 1. */
  readonly line: number;
  /** What the fence says; empty if it says nothing. */
  readonly language: string;
  readonly text: string;
}

/** @param page path of a file, from the root of the repository */
export function pageText(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

/**
 * All code blocks of a page, in order.
 * @throws Error for a fence that is indented or has no end: it would be overlooked
 */
export function codeBlocks(page: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open: { line: number; language: string; text: string } | undefined;
  for (const [index, line] of pageText(page).split("\n").entries()) {
    const [, indent = "", language = ""] = /^(\s*)(?:```|~~~)(.*)$/.exec(line) ?? [undefined, "", undefined];
    if (indent !== "") throw new Error(`${page}:${index + 1}: a fence begins its line`);
    const isFence = /^(```|~~~)/.test(line);
    if (open === undefined) {
      if (isFence) open = { line: index + 1, language, text: "" };
    } else if (isFence) {
      blocks.push({ page, ...open });
      open = undefined;
    } else {
      open.text += `${line}\n`;
    }
  }
  if (open !== undefined) throw new Error(`${page}:${open.line}: the block has no end`);
  return blocks;
}

/**
 * The programs that the TypeScript blocks of a page make: a block that imports begins one, and one that does not goes on with
 * what the block before it declared.
 */
export function typeScriptPrograms(page: string): CodeBlock[] {
  const programs: CodeBlock[][] = [];
  for (const block of codeBlocks(page).filter(({ language }) => language === "ts")) {
    if (programs.length === 0 || /^import /m.test(block.text)) programs.push([]);
    programs.at(-1)?.push(block);
  }
  return programs.flatMap(joined);
}

/** The one program that the blocks of another language make together, if there are any. */
export function program(page: string, language: string): CodeBlock[] {
  return joined(codeBlocks(page).filter((block) => block.language === language));
}

/** One text of several blocks. Each line of it has the number that it has on the page, so that errors tell where it is. */
function joined(blocks: readonly CodeBlock[]): CodeBlock[] {
  const [first] = blocks;
  if (first === undefined) return [];
  const lines: string[] = [];
  for (const { line, text } of blocks)
    lines.push(...Array(line - lines.length).fill(""), ...text.split("\n").slice(0, -1));
  return [{ ...first, text: `${lines.join("\n")}\n` }];
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
    if (!existsSync(join(ROOT, target))) return true;
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
