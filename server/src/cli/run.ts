/** `livescope run`: a file, as `node` would run it, but in a session. */
import { type ConsoleEntry, type ExecuteOptions, ExecutionError, GuestError, type Livescope } from "@livescope/sdk";
import { Command } from "commander";
import { Interruption, withClient } from "./client.js";
import { executionAsJson, failureAsJson } from "./execution-json.js";
import { ExitCode, UsageError } from "./failure.js";
import { type ClientFlags, withClientFlags } from "./flags.js";
import { describeGuestError } from "./guest-error.js";
import { writeEntry, writeNotes } from "./guest-output.js";
import { readSource, type SourceFile, type SourceFlags, STDIN, sourceOf } from "./source-file.js";
import { Progress, paintFor, plain, writeJson, writeLine } from "./terminal.js";
import { isTooLarge, printed } from "./values.js";

interface Flags extends ClientFlags, SourceFlags {
  readonly session?: string;
  readonly eval?: string;
  readonly print?: true;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  $ livescope run rules.js
  $ livescope run --print --eval '6 * 7'
  $ livescope bundle guest.ts | livescope run --module - -- an argument
`;

export function runCommand(): Command {
  const command = new Command("run")
    .summary("run a file in a session")
    .description(
      "Runs a file in a session made for it, or in one that is there. The guest finds the arguments in locals.args; " +
        "what it leaves unawaited ends with it. A name that ends in .ts is TypeScript, in .mjs a module, in .mts both.",
    )
    .argument("[file]", "what to run; - is standard input")
    .argument("[args...]", "arguments of the code, after --")
    .option("-s, --session <id>", "run it in this session, where what it defines stays")
    .option("-e, --eval <code>", "run this text instead of a file")
    .option("-p, --print", "print the value")
    .option("--module", "run it as a module")
    .option("--typescript", "take it for TypeScript, whatever its name")
    .option("--json", "print the whole execution as one JSON document, its console included");
  return withClientFlags(command, "how long the code may run (default: the session's limit)")
    .addHelpText("after", EXAMPLES)
    .action(async (file: string | undefined, args: string[], flags: Flags) => {
      const isText = flags.eval !== undefined;
      const source = isText ? sourceOf("eval.js", flags.eval, flags) : await readSource(fileOf(file), flags);
      await run(source, isText && file !== undefined ? [file, ...args] : args, flags);
    });
}

function fileOf(file: string | undefined): string {
  if (file !== undefined) return file;
  if (process.stdin.isTTY) throw new UsageError("give a file to run, or --eval with a text");
  return STDIN;
}

async function run(source: SourceFile, args: readonly string[], flags: Flags): Promise<void> {
  using interruption = new Interruption();
  const { signal } = interruption;
  await withClient(flags, (client) => runWith(client, source, args, flags, signal), signal);
}

async function runWith(
  client: Livescope,
  source: SourceFile,
  args: readonly string[],
  flags: Flags,
  signal: AbortSignal,
): Promise<void> {
  using progress = new Progress(() => "running; ctrl-C ends it");
  const onConsole = (entry: ConsoleEntry): void => {
    progress.clear();
    writeEntry(entry);
  };
  const options: ExecuteOptions = {
    ...source.options,
    // Locals reach scripts and modules alike, and leave nothing behind in the session.
    locals: { args },
    timeout: flags.timeout,
    signal,
    onConsole: flags.json ? undefined : onConsole,
  };
  try {
    const execution = await execute(client, flags.session, source.text, options);
    progress.clear();
    if (flags.json) return writeJson(executionAsJson(execution));
    writeNotes(execution);
    if (!flags.print) return;
    writeLine(process.stdout, printed(execution.value, paintFor(process.stdout) !== plain));
    if (isTooLarge(execution.value)) {
      process.stderr.write("warning: the value is larger than one may be: what is printed only describes it\n");
    }
  } catch (error) {
    if (!(error instanceof ExecutionError)) throw error;
    progress.clear();
    process.exitCode = error instanceof GuestError ? ExitCode.GUEST : ExitCode.STOPPED;
    if (flags.json) return writeJson(failureAsJson(error));
    writeNotes(error);
    if (!(error instanceof GuestError)) throw error;
    writeLine(process.stderr, describeGuestError(error, source, paintFor(process.stderr)));
    const advice = adviceFor(error);
    if (advice !== undefined) writeLine(process.stderr, `livescope: ${advice}`);
  }
}

async function execute(client: Livescope, sessionId: string | undefined, text: string, options: ExecuteOptions) {
  if (sessionId === undefined) return await client.execute(text, options).execution();
  // Left with an await, so that its handles are released before the connection closes.
  const { durability } = await client.attach(sessionId).info();
  await using session = client.attach(sessionId, { durability });
  return await session.execute(text, options).execution();
}

/** What to do about a source that was not read because it imports. */
function adviceFor({ phase, message }: GuestError): string | undefined {
  if (phase !== "PARSE") return undefined;
  if (message.startsWith("import and export statements are for modules")) return "run it with --module";
  if (message.startsWith("Cannot find module ")) return '"livescope bundle" makes one module of it and what it imports';
  return undefined;
}
