/** What begins with a dot at the prompt is for the REPL, not for the session. */
import { NotFoundError } from "@livescope/sdk";
import { messageOf, UsageError } from "../failure.js";
import { sessionText } from "../sessions.js";
import { readSource } from "../source-file.js";
import { bytes, table } from "../tables.js";
import type { Repl } from "./repl.js";
import type { Workspace } from "./workspace.js";

/** What the commands work on. */
interface Surroundings {
  readonly repl: Repl;
  readonly workspace: Workspace;
}

interface DotCommand {
  readonly argument: string;
  readonly summary: string;
  readonly run: (argument: string, surroundings: Surroundings) => Promise<void> | void;
}

const COMMANDS: Readonly<Record<string, DotCommand>> = {
  ".exit": { argument: "", summary: "leave; ctrl-D does the same", run: (_, { repl }) => repl.close() },
  ".fork": { argument: "", summary: "go on in a copy of the session", run: fork },
  ".help": { argument: "", summary: "tell what the prompt can do", run: help },
  ".load": { argument: "FILE", summary: "run a file", run: load },
  ".session": { argument: "[ID]", summary: "tell about the session, or go on in another one", run: session },
  ".snapshot": { argument: "[NAME]", summary: "take a snapshot that stays", run: snapshot },
  ".undo": { argument: "[N]", summary: "put the session back to before the last input, or the last N", run: undo },
};

export function dotCommandNames(): string[] {
  return Object.keys(COMMANDS);
}

/** @throws UsageError for what is no command, and what the command throws */
export async function dotCommand(line: string, surroundings: Surroundings): Promise<void> {
  const [, name = "", argument = ""] = /^(\.\S*)\s*(.*?)\s*$/.exec(line) ?? [];
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw new UsageError(`${name} is no command; .help lists them`);
  await command.run(argument, surroundings);
}

function help(_: string, { repl }: Surroundings): void {
  const rows = Object.entries(COMMANDS).map(([name, { argument, summary }]) => [`${name} ${argument}`, summary]);
  const [head = [], ...rest] = rows;
  repl.say(`${table(head, rest)}\n\nTAB completes, ctrl-C ends what runs, _ is the last value.`);
}

async function fork(_: string, { repl, workspace }: Surroundings): Promise<void> {
  const origin = workspace.session.id;
  await workspace.fork();
  repl.say(`in session ${workspace.session.id}, a copy; .session ${origin} goes back`);
}

async function load(file: string, { repl }: Surroundings): Promise<void> {
  if (file === "") throw new UsageError(".load needs a file");
  await repl.runSource(await readSource(file));
}

async function session(id: string, { repl, workspace }: Surroundings): Promise<void> {
  if (id !== "") {
    await workspace.attach(id).catch((error: unknown) => {
      // It says nothing of the session that the prompt is in.
      throw error instanceof NotFoundError ? new UsageError(messageOf(error) ?? `there is no session ${id}`) : error;
    });
  }
  const info = await workspace.session.info();
  repl.say(`in session ${info.sessionId}: ${sessionText(info)}`);
}

async function snapshot(name: string, { repl, workspace }: Surroundings): Promise<void> {
  const { snapshotId, sizeBytes } = await workspace.snapshot(name === "" ? {} : { name });
  repl.say(`snapshot ${snapshotId}, ${bytes(sizeBytes)}; "livescope snapshot restore" makes sessions from it`);
}

async function undo(argument: string, { repl, workspace }: Surroundings): Promise<void> {
  const count = argument === "" ? 1 : Number(argument);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new UsageError(`.undo ${argument}: give how many inputs to undo`);
  const undone = await workspace.undo(count);
  if (undone.length === 0) return repl.say("there is nothing to undo");
  repl.say(undone.map((input) => `undone: ${firstLine(input)}`).join("\n"));
}

function firstLine(text: string): string {
  const [line = "", ...more] = text.split("\n");
  return more.length === 0 ? line : `${line} …`;
}
