/** `livescope serve`: a server that says when it is ready, and drains when it is told to stop. */
import { pino } from "pino";
import { outliveErrorOutput, UsageError } from "./cli/failure.js";
import type { ServeOptions } from "./cli/serve-options.js";
import { Log } from "./log.js";
import { AddressError, type RunningServer, startServer } from "./server.js";
import { StoreError } from "./store/store.js";

/**
 * Resolves when the server listens; the process then lives until it is told to stop.
 *
 * @throws UsageError when the address, the data directory or the key cannot be used, or the engine does not start
 */
export async function serve(options: ServeOptions): Promise<void> {
  const logger = pino({ level: options.logLevel }, new Log(process.stderr.fd));
  outliveErrorOutput();
  let server: RunningServer;
  try {
    server = await startServer({ ...options, logger });
  } catch (error) {
    if (error instanceof StoreError) throw new UsageError(error.message);
    if (error instanceof AddressError)
      throw new UsageError(`cannot listen on ${options.host}:${options.port}: ${reasonOf(error.message)}`);
    throw new UsageError(`the engine does not start: ${error instanceof Error ? error.message : String(error)}`);
  }
  const stop = (): void => {
    void server.close().then(() => process.exit(0));
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  logger.info({ baseImageBytes: server.baseImageBytes }, "sessions start from a base image of this size");
  process.stdout.write(`livescope listening on ${server.address}\n`);
}

function reasonOf(message: string): string {
  if (message.includes("EADDRINUSE"))
    return "the port is taken; choose another with --address, or port 0 for any free one";
  if (message.includes("EACCES")) return "not allowed; choose a port above 1023";
  if (/EADDRNOTAVAIL|Name resolution failed/.test(message))
    return "this machine has no such address; choose one of its own with --address, such as 127.0.0.1:50051";
  return message;
}
