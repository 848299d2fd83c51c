/** The loop: lines come in, inputs run in the session, and what came of them is written. */
import { on } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { type ConsoleEntry, ExecutionError, GuestError, LivescopeError, StatusError } from "@livescope/sdk";
import { ExitCode, endBy, Interrupted, messageOf } from "../failure.js";
import { describeGuestError } from "../guest-error.js";
import { writeEntry, writeNotes } from "../guest-output.js";
import { type SourceFile, sourceOf } from "../source-file.js";
import { Progress, paintFor, plain, writeLine } from "../terminal.js";
import { type Completions, complete } from "./completion.js";
import { dotCommand, dotCommandNames } from "./dot-commands.js";
import { highlight } from "./highlight.js";
import { HISTORY_SIZE, type History } from "./history.js";
import { asTyped, isUnfinished } from "./unfinished.js";
import type { Workspace } from "./workspace.js";

const PROMPT = "> ";
const CONTINUATION = "... ";
/** After these the session does not come back. */
const FINAL_REASONS: ReadonlySet<string> = new Set([
  "SESSION_NOT_FOUND",
  "SESSION_DELETED",
  "SESSION_EXPIRED",
  "SESSION_LOST",
]);

/** Reads standard input: at a terminal with a prompt, a history and completion; from a pipe without. */
export class Repl {
  readonly #workspace: Workspace;
  readonly #history: History;
  readonly #lines: Interface;
  readonly #isTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  readonly #paint = paintFor(process.stdout);
  /** Lines of an input that is not finished. */
  #pending: string[] = [];
  #count = 0;
  /** Ends what is under way. */
  #running: AbortController | undefined;
  /** Ctrl-C was pressed where there was nothing to end. */
  #isLeaving = false;
  #isClosed = false;

  /** @param history for terminals alone */
  constructor(workspace: Workspace, history: History) {
    this.#workspace = workspace;
    this.#history = history;
    this.#lines = createInterface({
      input: process.stdin,
      output: this.#isTerminal ? process.stdout : undefined,
      terminal: this.#isTerminal,
      prompt: PROMPT,
      history: [...history.lines],
      historySize: HISTORY_SIZE,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: null, completions: Completions) => void) => {
        void this.#complete(line).then((completions) => done(null, completions));
      },
    });
  }

  /** Resolves at the end of the input, after `.exit`, and when the session is gone. */
  async run(): Promise<void> {
    const onSigint = (): void => this.#interrupt();
    const onEnd = (signal: "SIGTERM" | "SIGHUP"): void => this.#end(signal === "SIGTERM" ? 143 : 129);
    this.#lines.on("SIGINT", onSigint);
    process.on("SIGINT", onSigint).on("SIGTERM", onEnd).on("SIGHUP", onEnd);
    // Nobody reads on: what it made is deleted all the same, which happens after this has resolved.
    endBy((exitCode) => this.#end(exitCode));
    try {
      this.#prompt();
      for await (const [line] of on(this.#lines, "line", { close: ["close"] })) {
        await this.#take(String(line));
        if (this.#isClosed) return;
        this.#prompt();
      }
      // The input ended in the middle of something: what is wrong with it is the session's to say.
      if (this.#pending.length > 0) await this.#runPending();
      if (this.#isTerminal) process.stdout.write("\n");
    } finally {
      process.off("SIGINT", onSigint).off("SIGTERM", onEnd).off("SIGHUP", onEnd);
      this.#lines.close();
    }
  }

  /** Ends the loop, once what is under way has ended. */
  close(): void {
    this.#isClosed = true;
    this.#lines.close();
  }

  /** Writes something for whoever sits before it. */
  say(text: string): void {
    writeLine(process.stdout, this.#paint("gray", text));
  }

  /** Runs a source, and writes what came of it. */
  async runSource(source: SourceFile): Promise<void> {
    this.#running = new AbortController();
    const { signal } = this.#running;
    using progress = new Progress(() => "running; ctrl-C ends it");
    const onConsole = (entry: ConsoleEntry): void => {
      progress.clear();
      writeEntry(entry);
    };
    try {
      await this.#remember(source.text, signal);
      const evaluated = await this.#workspace.evaluate(source, { signal, onConsole });
      progress.clear();
      writeNotes(evaluated);
      writeLine(process.stdout, this.#paint === plain ? evaluated.text : highlight(evaluated.text, this.#paint));
    } catch (error) {
      progress.clear();
      this.#report(error, source);
    } finally {
      this.#running = undefined;
    }
  }

  async #take(line: string): Promise<void> {
    if (this.#isTerminal) this.#history.add(line);
    this.#isLeaving = false;
    if (this.#pending.length === 0 && /^\.[a-z]/.test(line)) {
      return await dotCommand(line, { repl: this, workspace: this.#workspace }).catch((error) => this.#report(error));
    }
    this.#pending.push(line);
    if (this.#pending.every((text) => text.trim() === "")) this.#pending = [];
    else if (!isUnfinished(this.#pending.join("\n"))) await this.#runPending();
  }

  async #runPending(): Promise<void> {
    const text = asTyped(this.#pending.join("\n"));
    this.#pending = [];
    await this.runSource(sourceOf(`repl${++this.#count}`, text));
  }

  async #remember(text: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#workspace.remember(text, signal);
    } catch (error) {
      if (!(error instanceof LivescopeError)) throw error;
      this.say(`.undo is off, no snapshot can be taken: ${messageOf(error)}`);
    }
  }

  #report(error: unknown, source?: SourceFile): void {
    if (error instanceof Interrupted) return this.say("ended; the turn that ran is undone");
    if (error instanceof GuestError) {
      writeNotes(error);
      // The line is on the screen, unless it is one of several, or the place in it is all that is told.
      const isShown = source?.text.includes("\n") || error.phase === "PARSE";
      writeLine(process.stderr, describeGuestError(error, isShown ? source : undefined, paintFor(process.stderr)));
      // What was thrown may have come as a handle, which nobody will use.
      if (hasRelease(error.thrown)) error.thrown.release().catch(() => undefined);
      return;
    }
    writeLine(process.stderr, `${error instanceof ExecutionError ? "" : "livescope: "}${messageOf(error)}`);
    if (error instanceof StatusError && FINAL_REASONS.has(error.reason ?? "")) {
      process.exitCode = ExitCode.SERVICE;
      this.close();
    }
  }

  #prompt(): void {
    if (!this.#isTerminal || this.#isClosed) return;
    this.#lines.setPrompt(this.#pending.length === 0 ? PROMPT : CONTINUATION);
    this.#lines.prompt();
  }

  /** Ctrl-C: ends what runs, else drops what was typed, else leaves when it is pressed twice. */
  #interrupt(): void {
    if (this.#running !== undefined) return this.#running.abort(new Interrupted());
    // A command that waits for the server keeps nobody here.
    if (this.#isClosed) process.exit(ExitCode.INTERRUPTED);
    if (!this.#isTerminal || this.#isLeaving) return this.#end(ExitCode.INTERRUPTED);
    const isEmpty = this.#pending.length === 0 && this.#lines.line === "";
    this.#pending = [];
    process.stdout.write("\n");
    if (isEmpty) {
      this.#isLeaving = true;
      this.say("ctrl-C again, ctrl-D or .exit leaves");
    }
    // Takes away what was typed.
    this.#lines.write(null, { ctrl: true, name: "e" });
    this.#lines.write(null, { ctrl: true, name: "u" });
    this.#prompt();
  }

  #end(exitCode: number): void {
    process.exitCode = exitCode;
    this.#running?.abort(new Interrupted());
    this.close();
  }

  async #complete(line: string): Promise<Completions> {
    if (this.#pending.length === 0 && /^\.[a-z]*$/.test(line)) {
      return [dotCommandNames().filter((name) => name.startsWith(line)), line];
    }
    return await complete(this.#workspace.session, line);
  }
}

function hasRelease(value: unknown): value is { release(): Promise<void> } {
  return typeof value === "object" && value !== null && "release" in value;
}
