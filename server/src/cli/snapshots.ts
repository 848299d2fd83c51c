/** `livescope snapshot`: snapshots are taken, listed, exported, imported, made sessions of, and deleted. */
import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream, rmSync } from "node:fs";
import { open, realpath, rename, rm, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { Livescope, Snapshot } from "@livescope/sdk";
import { Command } from "commander";
import { withClient } from "./client.js";
import { UsageError } from "./failure.js";
import { type ClientFlags, parseDuration, parseId, parseLabel, withClientFlags } from "./flags.js";
import { forEach, PAGE_SIZE, tellOfSession } from "./sessions.js";
import { refuseDirectory, STDIN } from "./source-file.js";
import { ago, bytes, labelsText, span, table } from "./tables.js";
import { Progress, taken, writeJson, writeLine } from "./terminal.js";

interface Flags extends ClientFlags {
  readonly label?: Readonly<Record<string, string>>;
  readonly out?: string;
  readonly ttl?: number;
  readonly json?: true;
}

const STDOUT = "-";

export function snapshotCommand(): Command {
  return new Command("snapshot")
    .summary("take, list, export, import, restore and delete snapshots")
    .description('Takes a snapshot of a session, as "snapshot take" does; with another command does what that says.')
    .usage("<session> [flags] | <command>")
    .addHelpText(
      "after",
      "\nExamples:\n  $ livescope snapshot rules\n  $ livescope snapshot rules --out rules.snapshot\n" +
        "  $ livescope snapshot list\n",
    )
    .addCommand(takeCommand(), { isDefault: true })
    .addCommand(listCommand())
    .addCommand(exportCommand())
    .addCommand(importCommand())
    .addCommand(restoreCommand())
    .addCommand(deleteCommand());
}

function takeCommand(): Command {
  const command = new Command("take")
    .description("Takes a snapshot of a session, which goes on, and prints the snapshot's id. The server keeps it.")
    .argument("<session>", "the session")
    .option("-o, --out <file>", "write its bytes there as well; - is standard output, and its id is not printed then")
    .option("-l, --label <name=value>", "a label of it; may be given several times", parseLabel)
    .option("--ttl <time>", "how long the server keeps it, such as 2h (default: until it is deleted)", parseDuration)
    .option("--json", "print all about it as one JSON document");
  return withClientFlags(command)
    .addHelpText("after", "\nExample:\n  $ livescope snapshot rules --ttl 7d\n")
    .action((id: string, flags: Flags) =>
      withClient(flags, async (client) => {
        refuseTerminal(flags);
        const { label: labels, ttl, timeout } = flags;
        const snapshot = await client.attach(id).snapshot({ labels, ttl, timeout });
        // Said first: should writing it fail, it is there.
        if (flags.out !== STDOUT) tellOfSnapshot(snapshot, flags);
        if (flags.out !== undefined) await writeOut(client, snapshot, flags.out, flags);
      }),
    );
}

function listCommand(): Command {
  const command = new Command("list")
    .description("Lists snapshots, the oldest first.")
    .option("-l, --label <name=value>", "only those with this label; may be given several times", parseLabel)
    .option("--json", "print one JSON document for each");
  return withClientFlags(command).action((flags: Flags) =>
    withClient(flags, async (client) => {
      const rows: string[][] = [];
      const { label: labels, timeout } = flags;
      for await (const snapshot of client.listSnapshots({ labels, timeout, pageSize: PAGE_SIZE })) {
        if (flags.json) writeJson(snapshot);
        else rows.push(row(snapshot));
        await taken();
      }
      if (!flags.json) writeLine(process.stdout, table(["ID", "SESSION", "SIZE", "AGE", "ENDS IN", "LABELS"], rows));
    }),
  );
}

function row({ snapshotId, sessionId, sizeBytes, createTime, expireTime, labels }: Snapshot): string[] {
  const left = expireTime === undefined ? "-" : span(expireTime.getTime() - Date.now());
  return [snapshotId, sessionId, bytes(sizeBytes), ago(createTime), left, labelsText(labels)];
}

function exportCommand(): Command {
  const command = new Command("export")
    .description("Writes a snapshot's bytes. They hold all that its session held: keep them as its secrets.")
    .argument("<snapshot>", "the snapshot")
    .option("-o, --out <file>", "where to, instead of standard output");
  return withClientFlags(command)
    .addHelpText("after", "\nExample:\n  $ livescope snapshot export ID > rules.snapshot\n")
    .action((id: string, flags: Flags) =>
      withClient(flags, async (client) => {
        const out = flags.out ?? STDOUT;
        refuseTerminal({ out });
        await writeOut(client, await client.snapshot(id, { timeout: flags.timeout }), out, flags);
      }),
    );
}

function importCommand(): Command {
  const command = new Command("import")
    .description("Gives the server a snapshot that was exported, and prints its id.")
    .argument("<file>", "the file; - is standard input")
    .option("--json", "print all about it as one JSON document");
  return withClientFlags(command)
    .addHelpText("after", "\nExample:\n  $ livescope snapshot import rules.snapshot\n")
    .action((file: string, flags: Flags) =>
      withClient(flags, async (client) => {
        if (file !== STDIN) await refuseDirectory(file);
        let sent = 0;
        using _progress = new Progress(() => `importing, ${bytes(sent)} sent`);
        const source = file === STDIN ? process.stdin : createReadStream(file);
        const counted = async function* () {
          for await (const chunk of source as AsyncIterable<Buffer>) {
            sent += chunk.length;
            yield chunk;
          }
        };
        tellOfSnapshot(await client.importSnapshot(counted(), { timeout: flags.timeout }), flags);
      }),
    );
}

interface RestoreFlags extends Flags {
  readonly id?: string;
}

function restoreCommand(): Command {
  const command = new Command("restore")
    .description("Makes a session from a snapshot, and prints the session's id.")
    .argument("<snapshot>", "the snapshot", parseId)
    .option("--id <id>", "the id to give to the session", parseId)
    .option("-l, --label <name=value>", "a label of the session; may be given several times", parseLabel)
    .option("--json", "print all about it as one JSON document");
  return withClientFlags(command)
    .addHelpText("after", "\nExample:\n  $ livescope snapshot restore ID --id rules-again\n")
    .action((from: string, flags: RestoreFlags) =>
      withClient(flags, async (client) => {
        const { id: sessionId, label: labels, timeout } = flags;
        const session = await client.createSession({ from, sessionId, labels, timeout });
        await tellOfSession(client, session.id, flags);
      }),
    );
}

function deleteCommand(): Command {
  const command = new Command("delete")
    .description("Deletes snapshots. Sessions made from them stay.")
    .argument("<snapshot...>", "the snapshots");
  return withClientFlags(command)
    .addHelpText("after", "\nExample:\n  $ livescope snapshot delete ID\n")
    .action((ids: string[], flags: ClientFlags) =>
      withClient(flags, (client) =>
        forEach(ids, async (id) => {
          // Deleting what is not there is no error to the server. Who types an id wants to know.
          await client.snapshot(id, { timeout: flags.timeout });
          await client.deleteSnapshot(id, { timeout: flags.timeout });
        }),
      ),
    );
}

function tellOfSnapshot(snapshot: Snapshot, { json }: Flags): void {
  if (json) writeJson(snapshot);
  else process.stdout.write(`${snapshot.snapshotId}\n`);
}

function refuseTerminal({ out }: Pick<Flags, "out">): void {
  if (out === STDOUT && process.stdout.isTTY) {
    throw new UsageError("the bytes of a snapshot are not for a terminal: say where to with --out FILE, or redirect");
  }
}

/**
 * To a file all bytes come, or none: it is written under another name first. Only its owner can read it. What is there and is no file, such
 * as a pipe, gets them as they come.
 */
async function writeOut(client: Livescope, snapshot: Snapshot, out: string, { timeout }: ClientFlags): Promise<void> {
  let written = 0;
  using _progress = new Progress(() => `exporting, ${bytes(written)} of ${bytes(snapshot.sizeBytes)}`);
  const counted = async function* () {
    for await (const chunk of client.exportSnapshot(snapshot, { timeout })) {
      written += chunk.length;
      yield chunk;
    }
  };
  if (out === STDOUT) return await pipeline(counted, process.stdout, { end: false });
  const found = await stat(out).catch(() => undefined);
  if (found?.isFile() === false) return await pipeline(counted, createWriteStream(out));
  // A link stays, and what it leads to is replaced.
  const target = found === undefined ? out : await realpath(out);
  const unfinished = `${target}.${randomBytes(4).toString("hex")}`;
  using _removal = new RemovalOnSignal(unfinished);
  const file = await open(unfinished, "wx", 0o600).catch((error: Error) => {
    // What was typed is told, not a name that nobody knows.
    throw Object.assign(error, { path: out });
  });
  try {
    await pipeline(counted, file.createWriteStream());
    await rename(unfinished, target);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Takes a file away if a signal ends the process before this is disposed. */
class RemovalOnSignal implements Disposable {
  readonly #onSignal: (signal: NodeJS.Signals) => void;

  constructor(file: string) {
    this.#onSignal = (signal) => {
      rmSync(file, { force: true });
      this[Symbol.dispose]();
      process.kill(process.pid, signal);
    };
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }
}
