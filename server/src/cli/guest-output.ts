/** What executions say beside their values: the console, and notes. */
import type { ConsoleEntry, ExecutionDetails } from "@livescope/sdk";
import { describeWarning } from "./guest-error.js";
import { writeLine } from "./terminal.js";

/** Writes an entry where Node would: warnings and errors to standard error. */
export function writeEntry({ level, text }: ConsoleEntry): void {
  writeLine(level === "warn" || level === "error" ? process.stderr : process.stdout, text);
}

/** Writes what is no error but is seldom meant to standard error. */
export function writeNotes({
  warnings,
  consoleTruncated,
}: Pick<ExecutionDetails, "warnings" | "consoleTruncated">): void {
  for (const warning of warnings) writeLine(process.stderr, describeWarning(warning));
  if (consoleTruncated) process.stderr.write("warning: the console was cut at the session's limit for it\n");
}
