/** `livescope repl`: a prompt in a session. */
import type { Livescope, Session } from "@livescope/sdk";
import { Command } from "commander";
import { withClient } from "../client.js";
import { UsageError } from "../failure.js";
import { type ClientFlags, parseId, withClientFlags } from "../flags.js";
import { History, historyFile } from "./history.js";
import { Repl } from "./repl.js";
import { Workspace } from "./workspace.js";

interface Flags extends ClientFlags {
  readonly session?: string;
  readonly create?: string;
  readonly keep?: true;
  /** False after `--no-undo`. */
  readonly undo: boolean;
}

/** How long a session stays whose REPL was killed, in milliseconds. A prompt may wait that long for its next input. */
const IDLE_TTL = 24 * 60 * 60 * 1_000;

export function replCommand(): Command {
  const command = new Command("repl")
    .summary("a prompt in a session")
    .description(
      "Runs what is typed in a session: one made for it, which is deleted at the end, or one that is there. .help at the prompt " +
        "tells what else it can do. The history is in the file that LIVESCOPE_HISTORY names, unset in one of yours; empty, there is none.",
    )
    .option("-s, --session <id>", "work in this session, which stays")
    .option("--create <id>", "make a session of this id", parseId)
    .option("--keep", "do not delete what sessions it made")
    .option("--no-undo", "take no snapshot before each input");
  return withClientFlags(command, "how long an input may run (default: the session's limit)")
    .addHelpText("after", "\nExamples:\n  $ livescope repl\n  $ livescope repl --session rules\n")
    .action((flags: Flags) =>
      withClient(flags, async (client) => {
        const session = await sessionFor(client, flags);
        const { timeout, undo, keep = false } = flags;
        await using workspace = new Workspace(client, session, flags.session === undefined, { timeout, undo, keep });
        const repl = new Repl(workspace, new History(historyFile(process.env)));
        if (process.stdout.isTTY) repl.say(`in session ${session.id}; .help tells what the prompt can do`);
        await repl.run();
      }),
    );
}

async function sessionFor(client: Livescope, { session: id, create: sessionId }: Flags): Promise<Session> {
  if (id === undefined) return await client.createSession({ sessionId, idleTtl: IDLE_TTL, labels: { for: "repl" } });
  if (sessionId !== undefined)
    throw new UsageError("--session names a session that is there, --create one to make: give one");
  const { durability } = await client.attach(id).info();
  return client.attach(id, { durability });
}
