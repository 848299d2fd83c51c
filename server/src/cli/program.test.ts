import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { messageOf } from "./failure.js";
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

test.each([
  ["nope", "unknown command 'nope'; --help tells what there is"],
  ["sessions lst", "unknown command 'lst'; --help tells what there is"],
  ["help nope", "help: there is no such command; --help tells what there is"],
  ["sessions help nope", "help: there is no such command; --help tells what there is"],
])("a command that is not there is told as that: %s", async (line, message) => {
  const parsed = program({ serve: async () => undefined }).parseAsync(line.split(" "), { from: "user" });
  expect(messageOf(await parsed.catch((error: unknown) => error))).toBe(message);
});
