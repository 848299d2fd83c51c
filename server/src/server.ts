/** Joins the parts: engine, sessions, and the gRPC services over them. */
import { readFileSync } from "node:fs";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { SnapshotServiceService } from "@livescope/proto";
import { type Logger, pino } from "pino";
import { Engine } from "./engine/engine.js";
import { ArrivingMessages } from "./rpc/arriving-messages.js";
import { Health } from "./rpc/health.js";
import { HeldBytes } from "./rpc/held-bytes.js";
import { cutLongDeadlines } from "./rpc/long-deadlines.js";
import { OpenCalls } from "./rpc/open-calls.js";
import { OpenStreams } from "./rpc/open-streams.js";
import { addReflection } from "./rpc/reflection.js";
import { SANDBOX_SERVICE, sandboxService } from "./rpc/sandbox-service.js";
import { SESSION_SERVICE, sessionService } from "./rpc/session-service.js";
import { snapshotService } from "./rpc/snapshot-service.js";
import { streamDeadlines } from "./rpc/stream-deadlines.js";
import { boundHeaders, StreamRoom } from "./rpc/stream-room.js";
import { DurableSessions } from "./session/durable-sessions.js";
import { Hibernation } from "./session/hibernation.js";
import { Sessions } from "./session/sessions.js";
import { Snapshots } from "./session/snapshots.js";
import { openStore } from "./store/open-store.js";

export interface StartOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Threads that run guest code; default 2. */
  readonly workers?: number;
  /** The most sessions that may be in memory at once; default 12,000. */
  readonly maximumSessions?: number;
  /** The most sessions that may rest in the store, without durable ones; default 1,000,000. */
  readonly maximumHibernated?: number;
  /** The most sessions that may be durable; default 1,000,000. None is without a data directory. */
  readonly maximumDurable?: number;
  /** Seconds without use after which a session leaves memory for the store; default 300. */
  readonly hibernateAfter?: number;
  /** The data directory, made when first needed; default: none, what is stored ends with the process. */
  readonly data?: string;
  /** The file with the key that signs snapshots and durable sessions; default: the one of the data directory. */
  readonly keyFile?: string;
  /** The most that the heaps of all sessions may hold together, in bytes; default: half of what the process may use. */
  readonly maximumMemory?: number;
  /** The most bytes of code and values that requests in flight may carry together; default: an eighth of what the heap may grow to. */
  readonly maximumCarried?: number;
  /** The most bytes that the main thread may keep of all sessions beside their memories; default: a sixth of its heap. */
  readonly maximumKept?: number;
  /** The most bytes of answers that clients may leave untaken together; default: 256 MiB, or an eighth of the heap where that is more. */
  readonly maximumUntaken?: number;
  /** The most bytes that may have come of messages that are not whole; default: the same. */
  readonly maximumArriving?: number;
  /** The most streams of all connections at once; default: what a quarter of the heap has room for, with 32 KiB for each. */
  readonly maximumStreams?: number;
  /** Tests only: each turn of a session goes to another worker than the one before. */
  readonly rotateWorkers?: boolean;
  /** Milliseconds a request message may take to arrive after its headers; default 30,000. */
  readonly receiveTimeout?: number;
  /** Milliseconds in which a client has to take something of an answer that is over; default 600,000. */
  readonly takeTimeout?: number;
  /** Default: silent. */
  readonly logger?: Logger;
}

export interface RunningServer {
  /** Host and port it listens on. */
  readonly address: string;
  /** Bytes every session starts with. */
  readonly baseImageBytes: number;
  /** Takes nothing new, lets what runs finish, then ends. A second call waits for the first. */
  close(): Promise<void>;
}

const MESSAGE_BYTES = 4 * 1024 * 1024;
const CHANNEL_OPTIONS = {
  "grpc.max_receive_message_length": MESSAGE_BYTES,
  "grpc.max_send_message_length": MESSAGE_BYTES,
  "grpc.max_concurrent_streams": 1_000,
  "grpc.max_connection_idle_ms": 10 * 60_000,
  "grpc.keepalive_time_ms": 60_000,
  "grpc.keepalive_timeout_ms": 20_000,
  // Nothing serves its tables, and each call would pay for them.
  "grpc.enable_channelz": 0,
} as const;

/** Milliseconds: for what is no execution, such as a session that is being made, copied or deleted. */
const LAST_CALLS = 5_000;
/** Milliseconds. */
const LAST_ANSWERS = 20;

const SERVICES = ["", "sandbox.v1.SandboxService", "sandbox.v1.SessionService", "sandbox.v1.SnapshotService"];

/** The address cannot be bound; the message is the system's. */
export class AddressError extends Error {
  override readonly name = "AddressError";
}

/**
 * @throws StoreError when the data directory or the key cannot be used
 * @throws AddressError
 * @throws Error when the engine does not start
 */
export async function startServer(options: StartOptions = {}): Promise<RunningServer> {
  const { host = "127.0.0.1", port = 0, logger = pino({ level: "silent" }) } = options;
  const { store, signingKey } = await openStore({ directory: options.data, keyFile: options.keyFile });
  const starting = Engine.start({
    workers: options.workers ?? 2,
    rotateWorkers: options.rotateWorkers ?? false,
    onThreadFailed: (err) =>
      logger.error({ err }, "a thread that runs guest code could not start; it is tried again until there is one"),
    mainHeapBytes: options.maximumKept,
    ...(options.maximumMemory === undefined ? {} : { memoryBytes: options.maximumMemory }),
  }).catch(async (error: unknown) => {
    await store.close();
    throw error;
  });
  const untaken = new HeldBytes(options.maximumUntaken);
  const arriving = new ArrivingMessages(options.maximumArriving);
  const deadlines = { receive: options.receiveTimeout ?? 30_000, take: options.takeTimeout ?? 10 * 60_000 };
  const room = new StreamRoom(options.maximumStreams);
  const interceptors = [streamDeadlines(deadlines, untaken, arriving, room)];
  const server = new Server({ ...CHANNEL_OPTIONS, interceptors });
  const engine = await starting;
  const snapshots = new Snapshots(engine, store, signingKey);
  const kept = {
    hibernation: new Hibernation(engine, store, signingKey),
    durable: new DurableSessions(engine, store, signingKey),
  };
  const sessions = new Sessions(engine, snapshots, kept, {
    maximum: options.maximumSessions ?? 12_000,
    maximumHibernated: options.maximumHibernated ?? 1_000_000,
    maximumDurable: options.data === undefined ? 0 : (options.maximumDurable ?? 1_000_000),
    maximumCarried: options.maximumCarried,
    hibernateAfter: (options.hibernateAfter ?? 300) * 1000,
    onRestFailed: (err) => logger.error({ err }, "a session could not leave memory for the store; it stays"),
  });
  const health = new Health(SERVICES);
  const facts = { version: version(), engineDigest: engine.digest };
  const openStreams = new OpenStreams();
  const openCalls = new OpenCalls();
  const serving = { openStreams, openCalls, untaken, arriving, logger };
  server.addService(SANDBOX_SERVICE, sandboxService(sessions, facts, serving));
  server.addService(SESSION_SERVICE, sessionService(sessions, serving));
  server.addService(SnapshotServiceService, snapshotService(sessions, snapshots, serving));
  health.addTo(server);
  addReflection(server);

  let bound: number;
  try {
    bound = await bind(server, host, port);
  } catch (error) {
    await engine.close();
    await store.close();
    throw error;
  }
  cutLongDeadlines(server);
  boundHeaders(server);
  const address = addressOf(host, bound);
  void sessions.resume();
  const close = async (): Promise<void> => {
    health.end();
    await sessions.drain();
    openStreams.endAll();
    await openCalls.finish(LAST_CALLS);
    // Answers of the last executions leave in the ticks after their outcomes. Then its connections go, which `forceShutdown` forgets of a
    // server without channelz.
    server.drain(address, LAST_ANSWERS);
    await new Promise((resolve) => setTimeout(resolve, LAST_ANSWERS));
    server.forceShutdown();
    await engine.close();
    await store.close();
  };
  let closing: Promise<void> | undefined;
  return {
    address,
    baseImageBytes: engine.baseImageBytes,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

function bind(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(addressOf(host, port), ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(new AddressError(error.message));
    });
  });
}

function addressOf(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function version(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
