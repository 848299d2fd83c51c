/** Flags that several commands share, and how their values are read. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { DEFAULT_ADDRESS, isScheme } from "./serve-options.js";

/** The flags of every command that asks a server. */
export interface ClientFlags {
  readonly address: string;
  /** In milliseconds. */
  readonly timeout?: number;
  readonly insecure?: true;
}

const MILLISECONDS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** @param timeout what `--timeout` bounds */
export function withClientFlags(command: Command, timeout = "how long a request may take"): Command {
  return command
    .addOption(
      new Option("--address <host:port>", "where the server listens")
        .env("LIVESCOPE_ADDRESS")
        .default(DEFAULT_ADDRESS)
        .argParser(parseServerAddress),
    )
    .option("--timeout <time>", `${timeout}: 500ms, 30s, 5m; a number alone is seconds`, parseDuration)
    .option("--insecure", "talk in plain text to a server on another machine");
}

/** `host:port`, or a Unix socket; gRPC would take anything for the name of a machine, and look for it. */
function parseServerAddress(text: string): string {
  if (text === "") return DEFAULT_ADDRESS;
  if (/^unix:./.test(text)) return text;
  const [, host] = /^(\[[^\]]+\]|[^:[\]/]+):\d{1,5}$/.exec(text) ?? [];
  if (host !== undefined && !isScheme(host)) return text;
  throw new InvalidArgumentError(`Give HOST:PORT, such as ${DEFAULT_ADDRESS}.`);
}

/** A hundred years, in milliseconds: more than anybody waits, and within what a deadline and a date can be. */
const LONGEST_DURATION = 36_500 * 86_400_000;
/** The most that the protocol carries. */
const LARGEST_COUNT = 2 ** 31 - 1;

/** Milliseconds, of `500ms`, `30s`, `5m`, `2h`, `1d` or a number of seconds. */
export function parseDuration(text: string): number {
  const [, digits = "", unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  const milliseconds = digits === "" ? 0 : Number(digits) * (MILLISECONDS[unit] ?? 0);
  if (milliseconds > 0 && milliseconds <= LONGEST_DURATION) return milliseconds;
  throw new InvalidArgumentError("Give a time above zero and of at most 36500d, such as 500ms, 30s or 5m.");
}

/** An id to give, or to find something by: where it is empty the server would choose one, or take none. */
export function parseId(text: string): string {
  if (text !== "") return text;
  throw new InvalidArgumentError("It is empty; is the variable that should hold it unset?");
}

/** A whole number above zero. */
export function parseCount(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value > 0 && value <= LARGEST_COUNT) return value;
  throw new InvalidArgumentError(`Give a whole number from 1 to ${LARGEST_COUNT}.`);
}

/** Collects `name=value` of a flag that may be given several times. */
export function parseLabel(text: string, labels: Readonly<Record<string, string>> = {}): Record<string, string> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("Give NAME=VALUE.");
  return { ...labels, [text.slice(0, equals)]: text.slice(equals + 1) };
}
