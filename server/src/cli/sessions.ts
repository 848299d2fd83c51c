/** `livescope sessions`: which there are; making and deleting them. And `livescope fork`. */
import type { Livescope, SessionInfo } from "@livescope/sdk";
import { Command } from "commander";
import { withClient } from "./client.js";
import { reportFailure } from "./failure.js";
import { type ClientFlags, parseCount, parseDuration, parseId, parseLabel, withClientFlags } from "./flags.js";
import { ago, bytes, labelsText, table } from "./tables.js";
import { taken, writeJson, writeLine } from "./terminal.js";

interface Flags extends ClientFlags {
  readonly label?: Readonly<Record<string, string>>;
  readonly json?: true;
}

/** The most that the server gives at once. */
export const PAGE_SIZE = 1_000;

export function sessionsCommand(): Command {
  return new Command("sessions")
    .summary("list, make and delete sessions")
    .description('Lists sessions, as "sessions list" does; with another command does what that says.')
    .usage("[flags] | <command>")
    .addHelpText("after", "\nExample:\n  $ livescope sessions --label user=ann\n")
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(createCommand())
    .addCommand(deleteCommand())
    .hook("preSubcommand", refuseUnknownCommand);
}

/** What is no command would be an argument too many of the default one. */
function refuseUnknownCommand(sessions: Command): void {
  const [first = "-"] = sessions.args;
  const isCommand = sessions.commands.some((command) => command.name() === first);
  if (!isCommand && !first.startsWith("-")) sessions.error(`error: unknown command '${first}'`);
}

function listCommand(): Command {
  const command = new Command("list")
    .description("Lists sessions, the oldest first. That changes nothing, and is no use of them.")
    .option("-l, --label <name=value>", "only those with this label; may be given several times", parseLabel)
    .option("--json", "print one JSON document for each");
  return withClientFlags(command).action((flags: Flags) =>
    withClient(flags, async (client) => {
      const rows: string[][] = [];
      const { label: labels, timeout } = flags;
      for await (const session of client.listSessions({ labels, timeout, pageSize: PAGE_SIZE })) {
        if (flags.json) writeJson(session);
        else rows.push(row(session));
        await taken();
      }
      if (!flags.json) writeLine(process.stdout, table(["ID", "STATE", "MEMORY", "HANDLES", "AGE", "LABELS"], rows));
    }),
  );
}

function row(session: SessionInfo): string[] {
  const { sessionId, memoryBytes, handleCount, createTime, labels } = session;
  return [sessionId, stateOf(session), bytes(memoryBytes), String(handleCount), ago(createTime), labelsText(labels)];
}

/** What a session is up to, as far as the server tells: of one that is not to be deleted when idle, not whether it is busy. */
function stateOf({ state, idleAction, expireTime }: SessionInfo): string {
  if (state !== "ACTIVE") return state.toLowerCase();
  if (idleAction !== "delete") return "active";
  return expireTime === undefined ? "running" : "idle";
}

/** A session in a few words, without its id. */
export function sessionText(session: SessionInfo): string {
  const { memoryBytes, handleCount, labels } = session;
  const handles = `${handleCount} ${handleCount === 1 ? "handle" : "handles"}`;
  return [stateOf(session), bytes(memoryBytes), handles, labelsText(labels)].filter((part) => part !== "").join(", ");
}

interface CreateFlags extends Flags {
  readonly durable?: true;
  readonly idle?: number;
}

function createCommand(): Command {
  const command = new Command("create")
    .description("Makes a session and prints its id.")
    .argument("[id]", "the id to give to it; left out, the server makes one that cannot be guessed", parseId)
    .option("-l, --label <name=value>", "a label of it; may be given several times", parseLabel)
    .option("--durable", "it survives the server's process")
    .option("--idle <time>", "how long it is kept after its last use, such as 2h", parseDuration)
    .option("--json", "print all about it as one JSON document");
  return withClientFlags(command)
    .addHelpText("after", "\nExample:\n  $ livescope sessions create rules --label user=ann\n")
    .action((id: string | undefined, flags: CreateFlags) =>
      withClient(flags, async (client) => {
        const { label: labels, idle: idleTtl, timeout } = flags;
        const durability = flags.durable ? "durable" : "ephemeral";
        const session = await client.createSession({ sessionId: id, labels, durability, idleTtl, timeout });
        await tellOfSession(client, session.id, flags);
      }),
    );
}

/** Prints the id of a session that was made, or all about it. */
export async function tellOfSession(client: Livescope, id: string, { json, timeout }: Flags): Promise<void> {
  if (json) writeJson(await client.attach(id).info({ timeout }));
  else process.stdout.write(`${id}\n`);
}

function deleteCommand(): Command {
  const command = new Command("delete")
    .description("Deletes sessions. What runs in them ends.")
    .argument("<id...>", "the sessions");
  return withClientFlags(command)
    .addHelpText("after", "\nExample:\n  $ livescope sessions delete rules\n")
    .action((ids: string[], flags: ClientFlags) =>
      withClient(flags, (client) =>
        forEach(ids, async (id) => {
          const session = client.attach(id);
          // Deleting what is not there is no error to the server. Who types an id wants to know.
          await session.info({ timeout: flags.timeout });
          await session.delete();
        }),
      ),
    );
}

/** Does it for each, also after one has failed; each failure is told. */
export async function forEach(ids: readonly string[], work: (id: string) => Promise<void>): Promise<void> {
  for (const id of ids) await work(id).catch(reportFailure);
}

interface ForkFlags extends Flags {
  readonly count: number;
}

export function forkCommand(): Command {
  const command = new Command("fork")
    .summary("copy a session")
    .description("Copies a session as it is, with all that lives in it, and prints the ids of the copies.")
    .argument("<id>", "the session")
    .option("-n, --count <n>", "how many copies; all are made, or none", parseCount, 1)
    .option("-l, --label <name=value>", "a label of the copies; may be given several times", parseLabel)
    .option("--json", "print all about each as a JSON document");
  return withClientFlags(command)
    .addHelpText("after", "\nExample:\n  $ livescope fork rules -n 4\n")
    .action((id: string, flags: ForkFlags) =>
      withClient(flags, async (client) => {
        const { count, label: labels, timeout } = flags;
        const copies = await client.attach(id).fork(count, { labels, timeout });
        for (const copy of copies) await tellOfSession(client, copy.id, flags);
      }),
    );
}
