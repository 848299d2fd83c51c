/**
 * A livescope server inside the process of a test, for tests of code that uses one:
 *
 *     await using server = await startTestServer();
 *     await using client = await server.connect();
 *
 * It needs the package `@livescope/server`, which the SDK does not bring along: `npm install --save-dev @livescope/server`.
 */
import { type ConnectOptions, Livescope } from "./client.js";
import { LivescopeError } from "./errors.js";

/** What a test may say of its server. */
export interface TestServerOptions {
  /** Threads that run guest code. Left out: 1. */
  readonly workers?: number | undefined;
  /** The most that the heaps of all sessions may hold together, in bytes. Left out: half of what the process may use. */
  readonly maximumMemory?: number | undefined;
}

/** @internal What is used of the package `@livescope/server`. */
export interface ServerPackage {
  startServer(options: { readonly workers?: number; readonly maximumMemory?: number }): Promise<{
    readonly address: string;
    close(): Promise<void>;
  }>;
}

/**
 * A server on a free port of the loopback address. It keeps everything in memory and logs nothing. Whoever starts it closes it;
 * then nothing of it is left that would keep the process from ending.
 */
export class TestServer implements AsyncDisposable {
  /** Host and port, for `Livescope.connect`. */
  readonly address: string;
  readonly #close: () => Promise<void>;
  readonly #clients: Livescope[] = [];

  /** @internal */
  constructor(address: string, close: () => Promise<void>) {
    this.address = address;
    this.#close = close;
  }

  /** Connects a client. The server closes it with itself, if nobody does before. */
  async connect(options: ConnectOptions = {}): Promise<Livescope> {
    const client = await Livescope.connect(this.address, options);
    this.#clients.push(client);
    return client;
  }

  /** Closes its clients, lets go of all sessions, and ends. Doing it again does nothing. */
  async close(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    await this.#close();
  }

  /** See `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Starts a server for a test; see {@link TestServer}.
 * @throws {LivescopeError} if the package `@livescope/server` is not installed
 */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { startServer } = await importServer();
  const { workers = 1, maximumMemory } = options;
  const server = await startServer({ workers, ...(maximumMemory === undefined ? {} : { maximumMemory }) });
  return new TestServer(server.address, () => server.close());
}

/** A name that the compiler does not follow: the server builds on the SDK, and not the other way round. */
const SERVER: string = "@livescope/server";

async function importServer(): Promise<ServerPackage> {
  try {
    return (await import(SERVER)) as ServerPackage;
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new LivescopeError(
      `a test server needs the package ${SERVER}, which is not installed: npm install --save-dev ${SERVER}`,
      { cause: error },
    );
  }
}

/** Says whether it is the package itself that was not found, and nothing that it imports. */
function isMissing(error: unknown): boolean {
  const isNotFound = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
  return isNotFound && error.message.includes(`'${SERVER}'`);
}
