/** The command `livescope` as users run it: a process of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { expect } from "vitest";
import { MAIN } from "./built-command.js";

/** How a command ended, and what it wrote. */
export interface Ended {
  /** Null if a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** What standard input has, and then ends. Left out: nothing. */
  readonly input?: string;
  /** Variables, beside those of this process. */
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** A command that runs. */
export class CommandProcess {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
  stdout = "";
  stderr = "";

  constructor(program: string, args: readonly string[], { env, cwd }: CommandOptions = {}) {
    this.child = spawn(program, args, { env: { ...process.env, ...env }, cwd });
    this.child.stdout.on("data", (chunk) => {
      this.stdout += chunk;
    });
    this.child.stderr.on("data", (chunk) => {
      this.stderr += chunk;
    });
    // Who stops reading, or ends before it has read, is what some tests are about.
    this.child.stdin.on("error", () => undefined);
    this.ended = once(this.child, "close").then(([code]) => ({
      code: code as number | null,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
  }

  /** Waits until standard output has a text. */
  async says(text: string): Promise<void> {
    await expect.poll(() => this.stdout, { timeout: 10_000 }).toContain(text);
  }
}

/** Runs commands against a server. */
export class CommandLine {
  readonly #address: () => string;

  constructor(address: () => string) {
    this.#address = address;
  }

  /** Starts a command, whose standard input stays open. */
  start(args: readonly string[], options: CommandOptions = {}): CommandProcess {
    return this.startProgram(process.execPath, [MAIN, ...args], options);
  }

  /** Starts another program, which runs the command. */
  startProgram(program: string, args: readonly string[], options: CommandOptions = {}): CommandProcess {
    const env = { LIVESCOPE_ADDRESS: this.#address(), LIVESCOPE_HISTORY: "", ...options.env };
    return new CommandProcess(program, args, { ...options, env });
  }

  /** Runs a command to its end. */
  run(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
    const { child, ended } = this.start(args, options);
    child.stdin.end(options.input ?? "");
    return ended;
  }

  /** What a command that ends well prints. */
  async output(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return stdout;
  }

  /** The documents that a command that ends well prints. */
  async json(...args: string[]): Promise<Record<string, unknown>[]> {
    return documents(await this.output(...args, "--json"));
  }
}

/** Lines of JSON. */
export function documents(text: string): Record<string, unknown>[] {
  return text
    .trimEnd()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
