/** The connection of a command to its server, and what ctrl-C does meanwhile. */
import { credentials } from "@grpc/grpc-js";
import { Livescope, UnavailableError } from "@livescope/sdk";
import { ExitCode, Interrupted } from "./failure.js";
import type { ClientFlags } from "./flags.js";

/**
 * Connects, and closes the connection when `work` has ended.
 *
 * @param signal ends the attempt to connect
 * @throws UnavailableError where there is no server, and what `work` throws
 */
export async function withClient<T>(
  { address, insecure }: ClientFlags,
  work: (client: Livescope) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  await using client = await Livescope.connect(address, {
    credentials: insecure ? credentials.createInsecure() : undefined,
    signal,
  }).catch((error: unknown) => {
    throw error instanceof UnavailableError ? unreachable(error) : error;
  });
  return await work(client);
}

function unreachable({ message, code, reason, retryDelay }: UnavailableError): UnavailableError {
  return new UnavailableError(`${message}; ${adviceFor(message)}`, { code, reason, retryDelay });
}

/** @param message of gRPC, which has no codes for these */
function adviceFor(message: string): string {
  if (/certificate/i.test(message))
    return "if its authority is to be trusted, name the file with that one's certificate in GRPC_DEFAULT_SSL_ROOTS_FILE_PATH";
  if (/EPROTO|SSL|wrong version/i.test(message)) return "if it is to be talked to in plain text, add --insecure";
  return 'start one with "livescope serve", or say where it is with --address';
}

/** Aborts `signal` with {@link Interrupted} on the first ctrl-C; the second one ends the process. Disposed, ctrl-C is as it was. */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #onSignal = (): void => {
    if (this.signal.aborted) process.exit(ExitCode.INTERRUPTED);
    this.#controller.abort(new Interrupted());
  };

  constructor() {
    process.on("SIGINT", this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    process.removeListener("SIGINT", this.#onSignal);
  }
}
