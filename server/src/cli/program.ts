/** The command line: which commands there are, and how they end. */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { bundleCommand } from "./bundle.js";
import { endOnFailingOutput, reportFailure } from "./failure.js";
import { replCommand } from "./repl/command.js";
import { runCommand } from "./run.js";
import { type ServeOptions, serveCommand } from "./serve-options.js";
import { forkCommand, sessionsCommand } from "./sessions.js";
import { snapshotCommand } from "./snapshots.js";
import { watchCommand } from "./watch.js";

/** What the command line is given, since it knows nothing of the server. */
export interface Surroundings {
  /** Starts a server; resolves when it listens. */
  readonly serve: (options: ServeOptions) => Promise<void>;
}

const DEFAULT_COMMAND = "serve";
/** Flags that are not the default command's. */
const OF_THE_PROGRAM = new Set(["-h", "--help", "-V", "--version"]);

/** Runs what `argv` asks for. It never throws: what goes wrong is told on standard error and by the exit code. */
export async function runCommandLine(argv: readonly string[], surroundings: Surroundings): Promise<void> {
  endOnFailingOutput();
  const [first] = argv;
  const isServe = first === undefined || (first.startsWith("-") && !OF_THE_PROGRAM.has(first));
  try {
    await program(surroundings).parseAsync(isServe ? [DEFAULT_COMMAND, ...argv] : [...argv], { from: "user" });
  } catch (error) {
    reportFailure(error);
  }
}

/** All commands. Parsing throws what goes wrong, and help that was asked for, as CommanderError. */
export function program({ serve }: Surroundings): Command {
  const commands = [
    serveCommand(serve),
    replCommand(),
    runCommand(),
    sessionsCommand(),
    watchCommand(),
    snapshotCommand(),
    forkCommand(),
    bundleCommand(),
  ];
  const program = new Command("livescope")
    .description("Runs untrusted JavaScript in live sessions, over gRPC.")
    .usage("[command] [flags]")
    .version(version(), "-V, --version")
    .addHelpText("after", () => `\nFlags of ${DEFAULT_COMMAND}:\n${optionsOf(commands[0] as Command)}`);
  for (const command of commands) program.addCommand(command);
  for (const command of [program, ...commands, ...commands.flatMap(({ commands: inner }) => inner)]) {
    // Errors are reported in one place, in one line.
    command.exitOverride().configureOutput({ writeErr: () => undefined });
  }
  return program;
}

/** The part of a command's help that lists its flags. */
function optionsOf(command: Command): string {
  return command.helpInformation().split("\nOptions:\n")[1] ?? "";
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
