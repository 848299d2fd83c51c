/** How commands end: exit codes, and one clear line for whatever went wrong. */
import { writeSync } from "node:fs";
import { GuestError, LivescopeError, StatusError, StoppedError } from "@livescope/sdk";
import { CommanderError } from "commander";
import { writeLine } from "./terminal.js";

/** What the process exits with. docs/cli.md tells users. */
export const ExitCode = {
  OK: 0,
  /** The guest's code threw, or did not parse. */
  GUEST: 1,
  /** What was typed is wrong, or what it names on this machine cannot be used. */
  USAGE: 2,
  /** There is no server, or it answered with an error. */
  SERVICE: 3,
  /** The execution was ended from outside, as by a limit. */
  STOPPED: 4,
  /** A defect of the command. */
  DEFECT: 70,
  /** Ctrl-C, as shells report it. */
  INTERRUPTED: 130,
} as const;

/** What the user typed is wrong; the message is all that is needed. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The user pressed ctrl-C, who knows that and needs no message. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  constructor() {
    super("interrupted");
  }
}

/** Of statuses that say what is not there: its name in the metadata, and the command that lists what is. */
const MISSING: Readonly<Record<string, { readonly what: string; readonly id: string; readonly list: string }>> = {
  SESSION_NOT_FOUND: { what: "session", id: "session_id", list: "livescope sessions" },
  SNAPSHOT_NOT_FOUND: { what: "snapshot", id: "snapshot_id", list: "livescope snapshot list" },
};

/** Says on standard error what went wrong, if it needs saying, and sets the exit code of the process. */
export function reportFailure(error: unknown): void {
  process.exitCode = exitCodeOf(error);
  const message = messageOf(error);
  if (message !== undefined) writeLine(process.stderr, `livescope: ${message}`);
}

/**
 * What is written has no taker: there is nothing left to do. Where whoever read it has gone, as `head` does, that needs no word; a disk that
 * is full does.
 */
export function endOnFailingOutput(): void {
  for (const output of [process.stdout, process.stderr]) output.on("error", endWithoutOutput);
}

let end: (exitCode: number) => void = process.exit;
let hasFailed = false;

/**
 * For a command that has something to put away first, and may write until it has ended: what fails is told a while after it was written.
 *
 * @param work ends it in place of the process, once
 */
export function endBy(work: (exitCode: number) => void): void {
  end = work;
}

/** For a process that others need, whether or not anybody reads what it has to say. */
export function outliveErrorOutput(): void {
  process.stderr.off("error", endWithoutOutput).on("error", () => undefined);
}

function endWithoutOutput({ code, message }: NodeJS.ErrnoException): void {
  // What is written until it has ended fails as well.
  if (hasFailed) return;
  hasFailed = true;
  if (code === "EPIPE") return end(Number(process.exitCode ?? ExitCode.OK));
  try {
    // Not by the stream, which may be the one that failed.
    writeSync(process.stderr.fd, `livescope: the output cannot be written: ${message}\n`);
  } catch {
    // The exit code tells it.
  }
  end(ExitCode.USAGE);
}

/** What went wrong first, where putting away what was in use failed after it. */
function firstOf(thrown: unknown): unknown {
  let first = thrown;
  // By name: older Nodes have no such class, and compilers bring their own.
  while (first instanceof Error && first.name === "SuppressedError" && "suppressed" in first) first = first.suppressed;
  return first;
}

/** The line for an error; undefined for what the user knows already. */
export function messageOf(thrown: unknown): string | undefined {
  const error = firstOf(thrown);
  if (error instanceof Interrupted) return undefined;
  if (error instanceof CommanderError) return usageMessage(error);
  if (error instanceof StoppedError) return `stopped (${error.reason}): ${oneLine(error.message)}`;
  if (error instanceof StatusError) return statusMessage(error);
  if (error instanceof UsageError || error instanceof LivescopeError) return oneLine(error.message);
  if (isSystemError(error)) return systemMessage(error);
  return `a defect of this command, please report it: ${error instanceof Error ? error.stack : String(error)}`;
}

/** What the process exits with that ends by this error. */
export function exitCodeOf(thrown: unknown): number {
  const error = firstOf(thrown);
  if (error instanceof Interrupted) return ExitCode.INTERRUPTED;
  // Help that was asked for comes this way too.
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE;
  if (error instanceof GuestError) return ExitCode.GUEST;
  if (error instanceof StoppedError) return ExitCode.STOPPED;
  if (error instanceof LivescopeError) return ExitCode.SERVICE;
  if (error instanceof UsageError || isSystemError(error)) return ExitCode.USAGE;
  return ExitCode.DEFECT;
}

/** Undefined for help and version, which were written already. */
function usageMessage({ code, exitCode, message }: CommanderError): string | undefined {
  if (exitCode === 0) return undefined;
  // Its own message is none: it would print all help instead.
  if (code === "commander.help") return "help: there is no such command; --help tells what there is";
  const [sentence = "", suggestion = ""] = message.replace(/^error: /, "").split("\n");
  return `${sentence.replace(/\.$/, "")}${suggestion === "" ? "" : ` ${suggestion}`}; --help tells what there is`;
}

function statusMessage({ reason, message, metadata }: StatusError): string {
  const missing = MISSING[reason ?? ""];
  if (missing === undefined) return oneLine(message);
  return `there is no ${missing.what} ${metadata[missing.id] ?? ""}; "${missing.list}" lists those there are`;
}

/** A file that is not there, and the like. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error && "code" in error;
}

/** Node's own message is `ENOENT: no such file or directory, open 'a.js'`. */
function systemMessage({ message, path }: NodeJS.ErrnoException): string {
  const [, why] = /^[A-Z\d_]+: (.+?), \w+/.exec(message) ?? [];
  return why === undefined || path === undefined ? oneLine(message) : `${path}: ${why}`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ");
}
