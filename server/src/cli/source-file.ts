/** Source texts from files and from standard input, and what their names say about them. */
import { readFile, stat } from "node:fs/promises";
import { text } from "node:stream/consumers";
import type { ExecuteOptions } from "@livescope/sdk";
import { UsageError } from "./failure.js";
import type { NamedSource } from "./guest-error.js";

/** What stands for standard input where a file is asked for. */
export const STDIN = "-";

/** A source, and how it is to be evaluated. */
export interface SourceFile extends NamedSource {
  readonly options: Pick<ExecuteOptions, "filename" | "language" | "sourceType">;
}

export interface SourceFlags {
  /** Whatever the name says: a module. */
  readonly module?: true;
  /** Whatever the name says: TypeScript. */
  readonly typescript?: true;
}

/**
 * `.ts` and `.mts` are TypeScript, `.mjs` and `.mts` modules.
 *
 * @throws UsageError for what is no file
 * @throws Error of the file system
 */
export async function readSource(file: string, flags: SourceFlags = {}): Promise<SourceFile> {
  if (file === STDIN) return sourceOf(flags.typescript ? "stdin.ts" : "stdin.js", await text(process.stdin), flags);
  if ((await stat(file)).isDirectory()) throw new UsageError(`${file} is a directory: give a file`);
  return sourceOf(file, await readFile(file, "utf8"), flags);
}

const BYTE_ORDER_MARK = /^\uFEFF/;

/** A source that has its text already. `filename` is what frames call it. */
export function sourceOf(filename: string, source: string, flags: SourceFlags = {}): SourceFile {
  const isTypeScript = flags.typescript === true || /\.m?ts$/.test(filename);
  const isModule = flags.module === true || /\.m[jt]s$/.test(filename);
  return {
    filename,
    text: source.replace(BYTE_ORDER_MARK, ""),
    options: {
      filename,
      language: isTypeScript ? "typescript" : "javascript",
      sourceType: isModule ? "module" : "script",
    },
  };
}
