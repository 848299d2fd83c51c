import { StatusError } from "@livescope/sdk";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { ExitCode, exitCodeOf, messageOf } from "./failure.js";
import { program } from "./program.js";

/** What `--help` prints. */
function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}

const livescope = program({ serve: async () => undefined });

describe("help", () => {
  test("lists the commands, and the flags of the one that needs no name", () => {
    const help = helpOf(livescope);
    for (const name of ["serve", "repl", "run", "sessions", "watch", "snapshot", "fork", "bundle"]) {
      expect(help).toMatch(new RegExp(`^  ${name} `, "m"));
    }
    for (const flag of ["--max-sessions <n>", "--data <dir>", "--insecure"]) expect(help).toContain(flag);
  });

  test.each(livescope.commands.map((command) => [command.name(), command] as const))(
    "of %s shows how it is used",
    (_, command) => {
      expect(helpOf(command)).toMatch(/^Examples?:\n {2}\$ livescope /m);
    },
  );

  test("tells of each flag and argument what it is", () => {
    const all = livescope.commands.flatMap((command) => [command, ...command.commands]);
    expect(all.length).toBeGreaterThan(15);
    for (const command of all) {
      for (const { description } of [...command.options, ...command.registeredArguments]) {
        expect([command.name(), description]).toEqual([command.name(), expect.stringMatching(/\w/)]);
      }
    }
  });
});

/** What a command line throws, which does nothing else. */
async function thrownBy(...argv: string[]): Promise<unknown> {
  const parsed = program({ serve: async () => undefined }).parseAsync(argv, { from: "user" });
  return parsed.then(
    () => undefined,
    (error: unknown) => error,
  );
}

const UNSET = "is the variable that should hold it unset?";

test.each<[argv: string[], sentence: string]>([
  [["serve", "--nonsense"], "--nonsense"],
  [["serve", "--address", "nowhere"], "--address nowhere: give HOST:PORT"],
  [["serve", "--address", "127.0.0.1:99999"], "--address 127.0.0.1:99999: give HOST:PORT"],
  [["serve", "--address", "dns:0", "--insecure"], "--address dns:0: give HOST:PORT"],
  [["serve", "--address", "0.0.0.0:0"], "--insecure"],
  [["serve", "--address", "[::]:0"], "--insecure"],
  [["serve", "--address"], "--address"],
  [["serve", "--workers", "0"], "--workers 0: give a whole number from 1 to 64"],
  [["serve", "--workers", "two"], "--workers two"],
  [["serve", "--max-sessions", "1e9"], "--max-sessions 1e9"],
  [["serve", "--max-memory", "0"], "--max-memory 0: give a whole number from 1"],
  [["serve", "--log-level", "loud"], "--log-level loud"],
  [["serve", "--data", ""], "--data: the path is empty"],
  [["serve", "--data", "--insecure"], "--data --insecure: give a path"],
  [["serve", "--key-file", "--insecure"], "--key-file --insecure: give a path"],
  [["run", "--nonsense"], "--nonsense"],
  [["rum"], "unknown command 'rum' (Did you mean run?)"],
  [["run", "--timeout", "soon", "-e", "1"], "such as 500ms, 30s or 5m"],
  [["run", "--address", "nowhere", "-e", "1"], "Give HOST:PORT"],
  // gRPC reads it otherwise.
  [["run", "--address", "dns:50051", "-e", "1"], "Give HOST:PORT"],
  [["run", "."], ". is a directory"],
  [["sessions", "create", ""], UNSET],
  [["snapshot", "restore", ""], UNSET],
  [["snapshot", "restore", "some", "--id", ""], UNSET],
  [["repl", "--create", ""], UNSET],
])("what is wrong with a command line is told in one line: %j", async (argv, sentence) => {
  const error = await thrownBy(...argv);
  expect(messageOf(error)).toContain(sentence);
  expect(messageOf(error)).not.toContain("\n");
  expect(exitCodeOf(error)).toBe(ExitCode.USAGE);
});

test("what went wrong is told, and not what then failed at the end of it as well", async () => {
  const failed = (why: string) => new StatusError(why, { code: "FAILED_PRECONDITION" });
  const error = await (async () => {
    await using _ending = {
      [Symbol.asyncDispose]: () => Promise.reject(failed("what it had could not be given back")),
    };
    await using _innermost = { [Symbol.asyncDispose]: () => Promise.reject(failed("nor this")) };
    throw failed("it is of another build");
  })().catch((thrown: unknown) => thrown);
  expect([messageOf(error), exitCodeOf(error)]).toEqual(["it is of another build", ExitCode.SERVICE]);
});

test.each([
  ["nope", "unknown command 'nope'; --help tells what there is"],
  ["sessions lst", "unknown command 'lst'; --help tells what there is"],
  ["help nope", "help: there is no such command; --help tells what there is"],
  ["sessions help nope", "help: there is no such command; --help tells what there is"],
])("a command that is not there is told as that: %s", async (line, message) => {
  expect(messageOf(await thrownBy(...line.split(" ")))).toBe(message);
});
