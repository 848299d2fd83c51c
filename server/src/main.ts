#!/usr/bin/env node
/** The command line `livescope`. */
import { logVerbosity, setLogVerbosity } from "@grpc/grpc-js";
import { pino } from "pino";
import { HELP, parseOptions, type ServerOptions, UsageError } from "./options.js";
import { type RunningServer, startServer } from "./server.js";
import { StoreError } from "./store/store.js";

const EXIT_USAGE = 2;

// Its failures come back as errors, which are told once and in our words.
if (process.env.GRPC_VERBOSITY === undefined) setLogVerbosity(logVerbosity.NONE);

let options: ServerOptions | "help";
try {
  options = parseOptions(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  fail(error.message);
}
if (options === "help") {
  process.stdout.write(HELP);
} else {
  await serve(options);
}

async function serve(options: ServerOptions): Promise<void> {
  const logger = pino({ level: options.logLevel }, pino.destination(2));
  let server: RunningServer;
  try {
    server = await startServer({ ...options, logger });
  } catch (error) {
    if (error instanceof StoreError) fail(error.message);
    fail(`cannot listen on ${options.host}:${options.port}: ${reasonOf(error)}`);
  }
  const stop = (): void => {
    void server.close().then(() => process.exit(0));
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  logger.info({ baseImageBytes: server.baseImageBytes }, "sessions start from a base image of this size");
  process.stdout.write(`livescope listening on ${server.address}\n`);
}

function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (message.includes("EADDRINUSE"))
    return "the port is taken; choose another with --address, or port 0 for any free one";
  if (message.includes("EACCES")) return "not allowed; choose a port above 1023";
  return message.replaceAll("\n", " ");
}

function fail(message: string): never {
  process.stderr.write(`livescope: ${message}\n`);
  process.exit(EXIT_USAGE);
}
