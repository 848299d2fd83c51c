/** `livescope watch`: what happens in a session, as it happens. */
import { type ExecutionError, GuestError, type SessionEvent, StatusError } from "@livescope/sdk";
import { Command } from "commander";
import { Interruption, withClient } from "./client.js";
import { executionAsJson, failureAsJson } from "./execution-json.js";
import { type ClientFlags, withClientFlags } from "./flags.js";
import { headline, placeOf } from "./guest-error.js";
import { sessionText } from "./sessions.js";
import { type Paint, paintFor, taken, writeJson, writeLine } from "./terminal.js";
import { onOneLine } from "./values.js";

interface Flags extends ClientFlags {
  readonly json?: true;
}

export function watchCommand(): Command {
  const command = new Command("watch")
    .summary("follow what happens in a session")
    .description(
      "Tells what happens in a session, whoever asked for it, until the session ends or ctrl-C: its console, the ends of its " +
        "executions, changes of its state. That is no use of the session.",
    )
    .argument("<id>", "the session")
    .option("--json", "print one JSON document for each thing that happens");
  return withClientFlags(command, "how long to watch")
    .addHelpText("after", "\nExample:\n  $ livescope watch rules\n")
    .action((id: string, flags: Flags) => watch(id, flags));
}

/** The most milliseconds that a timer takes, 24 days; with more it fires at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

async function watch(id: string, flags: Flags): Promise<void> {
  using interruption = new Interruption();
  const time = flags.timeout === undefined ? undefined : AbortSignal.timeout(Math.min(flags.timeout, LONGEST_TIMER));
  const signal = time === undefined ? interruption.signal : AbortSignal.any([interruption.signal, time]);
  const paint = paintFor(process.stdout);
  try {
    await withClient(flags, (client) => follow(client.attach(id).watch({ signal }), flags, paint), interruption.signal);
  } catch (error) {
    if (time?.aborted && error === time.reason) return;
    if (!(error instanceof StatusError) || error.reason !== "SESSION_DELETED" || error.code !== "ABORTED") throw error;
    if (flags.json) writeJson({ kind: "ended", time: new Date() });
    else writeLine(process.stdout, line(new Date(), paint("bold", "ended"), "", ""));
  }
}

async function follow(events: AsyncIterable<SessionEvent>, { json }: Flags, paint: Paint): Promise<void> {
  for await (const event of events) {
    if (json) writeJson(eventAsJson(event));
    else writeLine(process.stdout, eventLine(event, paint));
    await taken();
  }
}

function eventAsJson(event: SessionEvent): object {
  const time = new Date();
  switch (event.kind) {
    case "finished":
      return { kind: "finished", time, ...executionAsJson(event.execution) };
    case "failed":
      return { kind: "failed", time, ...failureAsJson(event.error) };
    default:
      return { time, ...event };
  }
}

function eventLine(event: SessionEvent, paint: Paint): string {
  switch (event.kind) {
    case "session":
      return line(new Date(), paint("bold", "session"), "", sessionText(event.session));
    case "console": {
      const { level, text, time, undone } = event.entry;
      const label = undone ? `${level} (undone)` : level;
      const style = level === "error" ? "red" : level === "warn" ? "yellow" : "cyan";
      return line(time ?? new Date(), paint(style, label), event.executionId, text);
    }
    case "finished": {
      const { value, usage } = event.execution;
      const cost = paint("gray", `(${usage.wallTime.toFixed(1)} ms)`);
      return line(new Date(), paint("green", "value"), event.executionId, `${onOneLine(value)} ${cost}`);
    }
    case "failed":
      return line(new Date(), paint("red", kindOf(event.error)), event.executionId, failureText(event.error));
  }
}

const EXECUTION_LENGTH = 8;

/** A time, what it is, the begin of the execution's id, and a text whose further lines are indented. */
function line(time: Date, kind: string, executionId: string, text: string): string {
  const head = [time.toISOString().slice(11, 23), kind, executionId.slice(0, EXECUTION_LENGTH)];
  return [...head.filter((part) => part !== ""), text.replaceAll("\n", "\n    ")].join("  ").trimEnd();
}

function kindOf(error: ExecutionError): string {
  return error instanceof GuestError ? "threw" : "stopped";
}

function failureText(error: ExecutionError): string {
  const undone = error.undone ? " (undone)" : "";
  if (!(error instanceof GuestError)) return `${error.message}${undone}`;
  const [frame] = error.frames;
  return `${headline(error)}${frame === undefined ? "" : ` at ${placeOf(frame)}`}${undone}`;
}
