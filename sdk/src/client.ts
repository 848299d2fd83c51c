import { randomUUID } from "node:crypto";
import type { ChannelCredentials } from "@grpc/grpc-js";
import {
  CreateSessionRequest,
  SandboxServiceService,
  SessionServiceService,
  SnapshotServiceService,
} from "@livescope/proto";
import { checkAddress, checkId, checkOneOf, checkRecord, checkText, checkTexts, countOf } from "./checks.js";
import type { ClientParts, SessionKind } from "./client-parts.js";
import { StatusError, UnavailableError } from "./errors.js";
import type { ExecutionPromise } from "./execution.js";
import type { ExecutionStream } from "./execution-stream.js";
import { Executor } from "./executor.js";
import { HostFunctions } from "./host-functions.js";
import { Lifetime } from "./lifetime.js";
import { type AllLimits, type Limits, readLimits, writeDuration, writeLimits } from "./limits.js";
import type { ExecuteOptions, RequestOptions } from "./options.js";
import { Session } from "./session.js";
import { deleteSessions } from "./session-changes.js";
import {
  type Durability,
  type IdleAction,
  readSession,
  type SessionInfo,
  writeDurability,
  writeIdleAction,
} from "./session-info.js";
import {
  exportSnapshot,
  getSnapshot,
  importSnapshot,
  type ListSnapshotsOptions,
  listSnapshots,
  type Snapshot,
  snapshotIdOf,
} from "./snapshots.js";
import { Channel } from "./transport/channel.js";
import { type CommandTransport, checkTimeout } from "./transport/commands.js";
import { Connection } from "./transport/connection.js";
import { make } from "./transport/making.js";
import { UnaryCommands } from "./transport/unary-commands.js";
import { encodeValues } from "./values.js";

/** Options of {@link Livescope.connect}. */
export interface ConnectOptions {
  /**
   * Left out: none, in plain text, for a loopback address or a Unix socket, and TLS for any other address. With or without, the first two
   * are reached directly, and others through the proxy that the environment names, such as by `https_proxy`.
   */
  readonly credentials?: ChannelCredentials | undefined;
  /** How long the server may take to answer that it is there, in milliseconds. Left out: 5,000. */
  readonly connectTimeout?: number | undefined;
  /**
   * How executions travel: all on one stream ("connect"), or each as an RPC of its own ("unary"), for where something between
   * here and the server lets no streams through. Both give the same answers. Left out: "connect", which is faster. Functions
   * that are lent to a session need a stream, and open one over "unary" as well: see `session.expose`.
   */
  readonly transport?: "connect" | "unary" | undefined;
  /**
   * How long a call waits for a connection where there is none, as while the server is started again, in milliseconds. Left out:
   * 5,000.
   */
  readonly reconnectTimeout?: number | undefined;
  /** Ends the attempt when aborted; of no effect on what comes after. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link Livescope.createSession}. `timeout` is that of the request, not that of the session's executions. */
export interface CreateSessionOptions extends RequestOptions {
  /** The id to give to the session. Left out: the server makes one that cannot be guessed. */
  readonly sessionId?: string | undefined;
  /**
   * The snapshot, or its id, to make the session from, with all its values, handles and executions in flight. Limits that are left
   * out are then the snapshot's. Left out: the session is made afresh.
   */
  readonly from?: Snapshot | string | undefined;
  /** The caller's own marks, by which `listSessions` finds the session. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** What the session may use. */
  readonly limits?: Limits | undefined;
  /**
   * What the session survives. Calls of a durable one carry a request id, so that the SDK repeats them when the server goes away and
   * comes back, and each is done once. Left out: "ephemeral".
   */
  readonly durability?: Durability | undefined;
  /** How long the session is kept after its last use, in milliseconds. Left out: the server's default. */
  readonly idleTtl?: number | undefined;
  /**
   * What becomes of the session after that: it is deleted, or put into the server's store until it is used or deleted. Left
   * out: "delete".
   */
  readonly idleAction?: IdleAction | undefined;
  /** Values to write to the global object, before the setup runs: such as can be copied. */
  readonly globals?: Readonly<Record<string, unknown>> | undefined;
  /**
   * Texts of modules by the name that `import` gives, also to the setup. Those whose name ends in `.ts` are TypeScript.
   */
  readonly modules?: Readonly<Record<string, string>> | undefined;
  /** JavaScript to run before the session is handed out. If it throws there is no session. */
  readonly setup?: string | undefined;
  /**
   * A UUID that makes a repeat of the same request safe, also from another process: it gives the session that the first one
   * made. Left out: one is made, which makes the SDK's own retries safe, and a session whose request is aborted is deleted.
   */
  readonly requestId?: string | undefined;
}

/** Options of {@link Livescope.attach}. */
export interface AttachOptions {
  /** What is known of the session: calls of a durable one carry a request id. Nothing is asked of the server. Left out: "ephemeral". */
  readonly durability?: Durability | undefined;
}

/** Options of {@link Livescope.listSessions}. `timeout` is that of each page. */
export interface ListSessionsOptions extends RequestOptions {
  /** Labels that a session must have, all of them with these values. Left out: every session. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** How many sessions are asked for at a time, at most 1,000. Left out: 50. */
  readonly pageSize?: number | undefined;
}

/** What the server is and what it allows. */
export interface ServerInfo {
  /** The server's own version. */
  readonly version: string;
  /** Names the build of the engine: a snapshot can be restored where it is the same. */
  readonly engineDigest: string;
  /** The limits of a session that asks for none. */
  readonly defaultLimits: AllLimits;
  /** The most that a session may ask for. */
  readonly maximumLimits: AllLimits;
}

/**
 * A connection to a livescope server.
 *
 *     await using client = await Livescope.connect("localhost:50051");
 *     await client.execute("1 + 1");
 *
 * All methods are safe to call at once. After `close`, and for its sessions as well, they fail with a {@link DisposedError}, whose cause
 * leads to where that was.
 */
export class Livescope implements AsyncDisposable {
  readonly #lifetime: Lifetime;
  readonly #channel: Channel;
  readonly #commands: CommandTransport;
  readonly #executor: Executor;
  readonly #hostFunctions: HostFunctions;

  private constructor(address: string, { credentials, transport, reconnectTimeout = 5_000 }: ConnectOptions) {
    this.#lifetime = Lifetime.ofClient();
    const channel = Channel.open(address, this.#lifetime, reconnectTimeout, credentials);
    // A stream is opened when there is something to say on it.
    const connection = new Connection(channel);
    this.#channel = channel;
    this.#hostFunctions = new HostFunctions(connection);
    this.#commands = transport === "unary" ? new UnaryCommands(channel, connection) : connection;
    this.#executor = new Executor(this.#commands, this.#lifetime);
  }

  /**
   * Connects to a server and asks it who it is, so that a wrong address is noticed here. `address` is "host:port",
   * "unix:/path" or another form that gRPC knows. The caller closes the client.
   * @throws {UnavailableError} if no livescope server answers at the address within `connectTimeout`
   * @throws {StatusError} if the server does not accept the credentials
   * @throws {TypeError} if the address is of another form, such as a URL, or an option is no value of its kind
   * @throws {RangeError} if a timeout is no positive number
   */
  static async connect(address: string, options: ConnectOptions = {}): Promise<Livescope> {
    const { connectTimeout = 5_000, reconnectTimeout, transport, signal } = options;
    checkAddress(address);
    checkOneOf("transport", transport, ["connect", "unary"]);
    checkTimeout(reconnectTimeout, "reconnectTimeout");
    const client = new Livescope(address, options);
    try {
      await client.serverInfo({ timeout: connectTimeout, signal });
      return client;
    } catch (error) {
      client.close();
      if (error instanceof StatusError && noServer.has(error.code)) {
        const message = `no livescope server answers at ${address}: ${error.message}`;
        throw new UnavailableError(
          message,
          { code: "UNAVAILABLE", reason: error.reason, retryDelay: error.retryDelay },
          { cause: error },
        );
      }
      throw error;
    }
  }

  /**
   * Makes a session. Leaving an `await using` block of the Session that it gives deletes it; otherwise it lives until it has
   * not been used for its `idleTtl`.
   * @throws {TypeError} if a global cannot be sent, or an option or limit is unknown or no value of its kind
   * @throws {RangeError} if a limit is no positive number
   * @throws {AlreadyExistsError} if there is a session of that id
   * @throws {InvalidRequestError} if a limit is above the server's maximum, or the setup throws
   * @throws {NotFoundError} if there is no snapshot of that id
   * @throws {IncompatibleSnapshotError} if another build of the engine made the snapshot
   * @throws {ResourceExhaustedError} if there are as many sessions as there may be
   * @throws {StatusError} if the service fails otherwise
   */
  async createSession(options: CreateSessionOptions = {}): Promise<Session> {
    const { labels, modules, setup = "", globals } = options;
    checkId("sessionId", options.sessionId);
    checkId("requestId", options.requestId);
    checkTexts("labels", labels);
    checkTexts("modules", modules);
    checkText("setup", setup);
    checkRecord("globals", globals);
    const request = CreateSessionRequest.create({
      sessionId: options.sessionId ?? "",
      snapshotId: options.from === undefined ? "" : snapshotIdOf(options.from),
      labels: new Map(Object.entries(labels ?? {})),
      limits: options.limits && writeLimits(options.limits),
      durability: writeDurability(options.durability),
      idleTtl: options.idleTtl === undefined ? undefined : writeDuration("idleTtl", options.idleTtl),
      idleAction: writeIdleAction(options.idleAction),
      globals: encodeValues(globals, "globals"),
      modules: new Map(Object.entries(modules ?? {})),
      setup,
      requestId: options.requestId ?? randomUUID(),
    });
    const { createSession } = SessionServiceService;
    const { session } = await make(this.#channel, createSession, request, options, (made, letGo) =>
      deleteSessions(letGo, [made.session]),
    );
    const { sessionId, durability } = readSession(session);
    return this.#session(sessionId, { isOwned: true, isDurable: durability === "durable" });
  }

  /**
   * Gives a Session for a session that exists. Nothing is asked of the server: that there is none of that id shows at the first
   * use. Disposing of it releases its own handles and leaves the session alone.
   * @throws {TypeError} if the id is no string, or there is no such durability
   */
  attach(sessionId: string, { durability }: AttachOptions = {}): Session {
    checkText("sessionId", sessionId);
    checkOneOf("durability", durability, ["ephemeral", "durable"]);
    return this.#session(sessionId, { isOwned: false, isDurable: durability === "durable" });
  }

  #session(sessionId: string, kind: SessionKind): Session {
    return new Session(this.#parts, sessionId, kind);
  }

  /**
   * Lists the sessions that the caller may see, the oldest first, page by page as they are read. Sessions made or deleted
   * meanwhile may or may not be among them.
   * @throws {StatusError} if the service fails
   */
  async *listSessions(options: ListSessionsOptions = {}): AsyncGenerator<SessionInfo, void, void> {
    checkTexts("labels", options.labels);
    const labels = new Map(Object.entries(options.labels ?? {}));
    const pageSize = countOf("pageSize", options.pageSize);
    let pageToken = "";
    do {
      const request = { pageSize, pageToken, labels };
      const page = await this.#channel.send(SessionServiceService.listSessions, request, options);
      yield* page.sessions.map(readSession);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /**
   * Tells about a snapshot.
   * @throws {NotFoundError} if there is none of that id
   * @throws {StatusError} if the service fails otherwise
   */
  snapshot(snapshotId: string, options: RequestOptions = {}): Promise<Snapshot> {
    return getSnapshot(this.#channel, snapshotId, options);
  }

  /**
   * Lists the snapshots that the caller may see, the oldest first, page by page as they are read.
   * @throws {StatusError} if the service fails
   */
  listSnapshots(options: ListSnapshotsOptions = {}): AsyncGenerator<Snapshot, void, void> {
    return listSnapshots(this.#channel, options);
  }

  /**
   * Deletes a snapshot; sessions made from it stay. That it is gone already is no error.
   * @throws {StatusError} if the service fails
   */
  async deleteSnapshot(snapshot: Snapshot | string, options: RequestOptions = {}): Promise<void> {
    const request = { snapshotId: snapshotIdOf(snapshot), allowMissing: true };
    await this.#channel.send(SnapshotServiceService.deleteSnapshot, request, options);
  }

  /**
   * Gives the bytes of a snapshot in pieces, signed by the server. They hold all that the session held: keep them as one keeps
   * its secrets. {@link importSnapshot} takes them, here or on a server with the same key and the same build of the engine.
   * @throws {NotFoundError} if there is no such snapshot
   * @throws {StatusError} if the service fails otherwise
   */
  exportSnapshot(snapshot: Snapshot | string, options: RequestOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    return exportSnapshot(this.#channel, snapshotIdOf(snapshot), options);
  }

  /**
   * Stores a snapshot that was exported, whole or in pieces. One that the server has already stays as it is and is the answer.
   * @throws {InvalidSnapshotError} if the bytes are not all that was exported, or the server has another key
   * @throws {IncompatibleSnapshotError} if another build of the engine made it
   * @throws {ResourceExhaustedError} if the server has no room for it
   * @throws {StatusError} if the service fails otherwise
   */
  importSnapshot(
    bytes: Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    options: RequestOptions = {},
  ): Promise<Snapshot> {
    return importSnapshot(this.#channel, bytes, options);
  }

  /**
   * Runs source text in a session made for it alone, which is gone with its timers when the result has settled. What cannot be
   * copied comes as a {@link Preview}.
   * @throws as `session.execute`
   */
  execute<T = unknown>(code: string, options: ExecuteOptions = {}): ExecutionPromise<T> {
    return this.#executor.execute(code, options);
  }

  /** Runs source text as `execute` does, and gives the values that it emits as they come; see `session.stream`. */
  stream<T = unknown, R = unknown>(code: string, options: ExecuteOptions = {}): ExecutionStream<T, R> {
    return this.#executor.streamExecute(code, options);
  }

  /**
   * Tells what the server is. The request is not retried.
   * @throws {StatusError} if the service fails
   */
  async serverInfo(options: RequestOptions = {}): Promise<ServerInfo> {
    const info = await this.#channel.sendOnce(SandboxServiceService.getServerInfo, {}, options);
    return {
      version: info.version,
      engineDigest: info.engineDigest,
      defaultLimits: readLimits(info.defaultLimits),
      maximumLimits: readLimits(info.maximumLimits),
    };
  }

  /**
   * Closes the connection. What is under way is given up: it rejects with a {@link DisposedError}, and its executions are ended, but for
   * those with a `requestId`, whose outcome can be asked for again. Sessions are not deleted: dispose of them before, or delete them.
   * Functions that were exposed to sessions are provided no more. Doing it again does nothing.
   */
  close(): void {
    this.#lifetime.end();
    this.#commands.close();
    this.#channel.line.close();
  }

  get #parts(): ClientParts {
    return {
      channel: this.#channel,
      commands: this.#commands,
      hostFunctions: this.#hostFunctions,
      lifetime: this.#lifetime,
    };
  }

  /** Closes the connection; see `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

// Nothing answers, nothing answers in time, or what answers is another service.
const noServer: ReadonlySet<string> = new Set(["UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"]);
