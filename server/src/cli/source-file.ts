/** Source texts from files and from standard input, and what their names say about them. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { ExecuteOptions } from "@livescope/sdk";
import { UsageError } from "./failure.js";
import type { NamedSource } from "./guest-error.js";

/** What stands for standard input where a file is asked for. */
export const STDIN = "-";

/** What a request may have. */
const MOST_BYTES = 4 * 1024 * 1024;

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
  if (file === STDIN) {
    const text = await textOf(process.stdin, "standard input");
    return sourceOf(flags.typescript ? "stdin.ts" : "stdin.js", text, flags);
  }
  await refuseDirectory(file);
  return sourceOf(file, await textOf(createReadStream(file), file), flags);
}

/** @throws UsageError for a directory: reading it fails without saying what was read */
export async function refuseDirectory(file: string): Promise<void> {
  if ((await stat(file)).isDirectory()) throw new UsageError(`${file} is a directory: give a file`);
}

/** A text that may have no end, as of a pipe or a device: it is read no further than one that could be sent. */
async function textOf(stream: Readable, name: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MOST_BYTES) throw new UsageError(`${name} has more than 4 MiB, which no request can carry`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
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
