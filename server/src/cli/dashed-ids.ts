/**
 * One id of 64 that a server makes begins with a dash, and would be taken for a flag. So what looks like an id is marked before the
 * arguments are parsed, and the mark is taken away before a command sees it.
 */
import type { Command } from "commander";

/** 128 bits as base64url. No flag is that long. */
const DASHED_ID = /^-[\w-]{21}$/;
/** What no argument of a process can have. */
const MARK = "\u0000";

/** Marks ids. What follows `--` is no flag anyway. */
export function markIds(argv: readonly string[]): string[] {
  const end = argv.indexOf("--");
  return argv.map((word, at) => (DASHED_ID.test(word) && (end < 0 || at < end) ? `${MARK}${word}` : word));
}

/** Takes the marks away from what a command is about to be given. */
export function unmarkIds(command: Command): void {
  for (const [name, value] of Object.entries(command.opts<Record<string, unknown>>())) {
    if (typeof value === "string") command.setOptionValue(name, unmarked(value));
  }
  command.processedArgs = command.processedArgs.map(unmarked);
}

function unmarked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unmarked);
  return typeof value === "string" && value.startsWith(MARK) ? value.slice(MARK.length) : value;
}
