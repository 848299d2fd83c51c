/** The flags of `serve`, their defaults, and one clear sentence for each thing that can be wrong. */
import { isIP } from "node:net";
import { availableParallelism } from "node:os";
import { Command } from "commander";
import { UsageError } from "./failure.js";

export interface ServeOptions {
  /** Host and port; port 0 takes any free one. */
  readonly host: string;
  readonly port: number;
  /** Threads that run guest code. */
  readonly workers: number;
  /** The most sessions that may be in memory at once. */
  readonly maximumSessions: number;
  /** The most sessions that may rest in the store; 0: none leaves memory but durable ones. */
  readonly maximumHibernated: number;
  /** The most sessions that may be durable. */
  readonly maximumDurable: number;
  /** Seconds without use after which a session leaves memory. */
  readonly hibernateAfter: number;
  /** The data directory; absent: what is stored ends with the process, and no session can be durable. */
  readonly data?: string;
  /** The file with the key that signs snapshots and durable sessions; absent: the one of the data directory. */
  readonly keyFile?: string;
  /** The most that the heaps of all sessions may hold together, in bytes; absent: half of what the process may use. */
  readonly maximumMemory?: number;
  /** Allows an address that other machines can reach, without encryption or authentication. */
  readonly insecure: boolean;
  readonly logLevel: string;
}

/** The flags as they were typed. */
type Flags = Readonly<
  Partial<
    Record<
      | "address"
      | "workers"
      | "maxSessions"
      | "maxHibernated"
      | "maxDurable"
      | "hibernateAfter"
      | "maxMemory"
      | "data"
      | "keyFile"
      | "logLevel",
      string
    >
  >
> & { readonly insecure?: true };

export const DEFAULT_ADDRESS = "127.0.0.1:50051";
/** A process can hold about 13,000 memories; some are needed besides the sessions. */
const DEFAULT_MAXIMUM_SESSIONS = 12_000;
const DEFAULT_MAXIMUM_HIBERNATED = 1_000_000;
const DEFAULT_MAXIMUM_DURABLE = 1_000_000;
const DEFAULT_HIBERNATE_AFTER = 300;
const A_WEEK = 7 * 24 * 60 * 60;
const DEFAULT_DATA = ".livescope";
/** What names no directory. */
const NO_DATA = "none";
const MEBIBYTE = 1 << 20;
/** In MiB: what is counted in pages of 64 KiB fits into a signed word. */
const MAXIMUM_MEMORY = 2 ** 26;
/** The engine counts for 256 threads at most, those included that are being ended. */
const MOST_WORKERS = 64;
const LOG_LEVELS = ["silent", "error", "warn", "info", "debug"];

/** @param serve starts the server, and resolves when it listens */
export function serveCommand(serve: (options: ServeOptions) => Promise<void>): Command {
  return new Command("serve")
    .summary("serve sessions; what livescope does when no command is given")
    .description("Serves sessions over gRPC, until SIGTERM or SIGINT.")
    .usage("[flags]")
    .option("--address <host:port>", `where to listen (default ${DEFAULT_ADDRESS}; port 0 takes any free one)`)
    .option("--workers <n>", `threads that run guest code (default: one per core, at least 2, at most ${MOST_WORKERS})`)
    .option("--max-sessions <n>", `sessions that may be in memory at once (default ${DEFAULT_MAXIMUM_SESSIONS})`)
    .option(
      "--max-hibernated <n>",
      `sessions that may rest in the store (default ${DEFAULT_MAXIMUM_HIBERNATED}; 0: only durable ones leave memory)`,
    )
    .option("--max-durable <n>", `durable sessions that may be kept (default ${DEFAULT_MAXIMUM_DURABLE})`)
    .option(
      "--hibernate-after <s>",
      `seconds without use after which a session leaves memory (default ${DEFAULT_HIBERNATE_AFTER})`,
    )
    .option(
      "--max-memory <mib>",
      "memory that all sessions may hold together, in MiB (default: half of what the process may use)",
    )
    .option(
      "--data <dir>",
      `where snapshots, durable sessions and those at rest are kept (default ${DEFAULT_DATA}, made when first needed); ` +
        `${NO_DATA}: in memory, so they end with the process, and no session can be durable`,
    )
    .option(
      "--key-file <file>",
      "the key that signs snapshots and durable sessions (default: DIR/key, made when first needed)",
    )
    .option("--log-level <level>", `${LOG_LEVELS.join(", ")} (default info)`)
    .option(
      "--insecure",
      "allow an address that other machines can reach: there is no encryption and no authentication",
    )
    .addHelpText("after", "\nExample:\n  $ livescope serve --address 127.0.0.1:50051 --data /var/lib/livescope\n")
    .allowExcessArguments()
    .action((flags: Flags, command: Command) => {
      const [word] = command.args;
      if (word !== undefined) throw new UsageError(`${word}: serve takes flags only; --help lists them`);
      return serve(serveOptions(flags));
    });
}

/** @throws UsageError */
function serveOptions(flags: Flags): ServeOptions {
  const address = flags.address ?? DEFAULT_ADDRESS;
  const { host, port } = parseAddress(address);
  const insecure = flags.insecure === true;
  if (!insecure && !isLoopback(host)) {
    throw new UsageError(
      `--address ${address}: ${host} can be reached from other machines and this server has no authentication; ` +
        "listen on 127.0.0.1, or add --insecure if something else protects it",
    );
  }
  const logLevel = flags.logLevel ?? "info";
  if (!LOG_LEVELS.includes(logLevel)) throw new UsageError(`--log-level ${logLevel}: choose ${LOG_LEVELS.join(", ")}`);
  return {
    host,
    port,
    workers: count("--workers", flags.workers, defaultWorkers(), MOST_WORKERS),
    maximumSessions: count("--max-sessions", flags.maxSessions, DEFAULT_MAXIMUM_SESSIONS, DEFAULT_MAXIMUM_SESSIONS),
    maximumHibernated: count("--max-hibernated", flags.maxHibernated, DEFAULT_MAXIMUM_HIBERNATED, 10_000_000, 0),
    maximumDurable: count("--max-durable", flags.maxDurable, DEFAULT_MAXIMUM_DURABLE, 10_000_000, 0),
    hibernateAfter: count("--hibernate-after", flags.hibernateAfter, DEFAULT_HIBERNATE_AFTER, A_WEEK),
    ...(flags.data === NO_DATA ? {} : { data: path("--data", flags.data ?? DEFAULT_DATA) }),
    ...(flags.keyFile === undefined ? {} : { keyFile: path("--key-file", flags.keyFile) }),
    ...(flags.maxMemory === undefined
      ? {}
      : { maximumMemory: count("--max-memory", flags.maxMemory, 0, MAXIMUM_MEMORY) * MEBIBYTE }),
    insecure,
    logLevel,
  };
}

/** What gRPC takes for the scheme of an address where a host is meant: `dns:0` is the machine 0 to it, and the port of HTTPS. */
const SCHEMES: ReadonlySet<string> = new Set(["dns", "ipv4", "ipv6", "unix"]);

/** Whether gRPC would take a host for something else. */
export function isScheme(host: string): boolean {
  return SCHEMES.has(host);
}

/** `host:port`, with brackets around an IPv6 host. */
function parseAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535) || isScheme(host)) {
    throw new UsageError(`--address ${address}: give HOST:PORT, such as ${DEFAULT_ADDRESS}`);
  }
  return { host, port };
}

function path(flag: string, text: string): string {
  if (text === "") throw new UsageError(`${flag}: the path is empty`);
  // Else the flag after one whose path was forgotten would become its path.
  if (text.startsWith("--")) throw new UsageError(`${flag} ${text}: give a path; one that begins so is ./${text}`);
  return text;
}

/** How many threads run guest code on a machine of so many cores, where nobody says. */
export function defaultWorkers(cores = availableParallelism()): number {
  return Math.min(MOST_WORKERS, Math.max(2, cores));
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function count(flag: string, text: string | undefined, unset: number, most: number, least = 1): number {
  if (text === undefined) return unset;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new UsageError(`${flag} ${text}: give a whole number from ${least} to ${most}`);
  }
  return value;
}
