/**
 * What the corpus of bad requests is sent to: a server with sessions in it, another server, and a canary whose calls go on
 * while somebody misbehaves.
 */
import {
  CallRequest,
  CreateSessionRequest,
  DeleteSessionRequest,
  Encoding,
  ExecuteRequest,
  type Execution,
  HealthCheckRequest,
  HealthCheckResponse_ServingStatus,
  HealthService,
  ListSessionsRequest,
  SandboxServiceService as Sandbox,
  type Session,
  SessionServiceService as SessionRpcs,
} from "@livescope/proto";
import { type RunningServer, startServer } from "@livescope/server";
import { pino } from "pino";
import { expect } from "vitest";
import { keyFile } from "../key-file.js";
import { type Answer, type Method, RawConnection, responseOf } from "../raw-http2.js";

/** The most sessions that the server takes. */
export const QUOTA = 12;

/** Between calls of the canary, in milliseconds. */
const PAUSE = 5;

/** What the server signs snapshots by. */
export const SNAPSHOT_KEY = Buffer.alloc(32, "known");
const KEY_FILE = keyFile(SNAPSHOT_KEY);

/** Everything here counts in `ran` that it was run. */
const SETUP = `
  let ran = 0;
  function mark(...args) { ran++; return args.length }
  function echo(value) { ran++; return value }
  function kinds(...args) { ran++; return args.map((arg) => typeof arg) }
  function size(value) { ran++; return value.length ?? Object.keys(value).length }
  function slow() { ran++; for (let i = 0; i < 2e6; i++); return 42 }
  const box = { here: true };
`;

/** A session with SETUP in it, and handles of two of its values. */
export interface Place {
  readonly sessionId: string;
  /** A handle of the function. */
  readonly mark: string;
  /** A handle of an object that is no function. */
  readonly box: string;
}

/** One implementation of a case: does what the case says and gives the answer that its expectation is about. */
export type BadRequest = (world: World) => Promise<Answer>;

export class World implements AsyncDisposable {
  /** Lines that the server logged. */
  readonly log: readonly string[];
  /** Host and port of the server. */
  readonly address: string;
  /** Those of the other server. */
  readonly addressAbroad: string;
  /** The session that bad requests are about. */
  readonly here: Place;
  /** Another session of the same server. */
  readonly neighbour: Place;
  /** A session of another server. */
  readonly abroad: Place;
  /** The connection for bad requests; a new one for each case. */
  connection: RawConnection;
  /** Like `connection`, to the other server, which waits only shortly for request messages. */
  readonly connectionAbroad: RawConnection;
  readonly #servers: readonly RunningServer[];
  readonly #good: RawConnection;
  readonly #canary: string;
  #counted = 0;

  static async start(): Promise<World> {
    const log: string[] = [];
    const logger = pino({ level: "trace" }, { write: (line: string) => void log.push(line) });
    const server = await startServer({ maximumSessions: QUOTA, maximumHibernated: 0, keyFile: KEY_FILE, logger });
    const other = await startServer({ workers: 1, receiveTimeout: 200, takeTimeout: 200 });
    const good = new RawConnection(server.address);
    const abroad = new RawConnection(other.address);
    const canary = await createSession(good, { setup: "let count = 0; function next() { return ++count }" });
    const places = [await place(good), await place(good), await place(abroad)] as const;
    return new World([server, other], [good, abroad], canary.sessionId, places, log);
  }

  private constructor(
    servers: readonly [RunningServer, RunningServer],
    connections: readonly [RawConnection, RawConnection],
    canary: string,
    places: readonly [Place, Place, Place],
    log: readonly string[],
  ) {
    this.#servers = servers;
    this.address = servers[0].address;
    this.addressAbroad = servers[1].address;
    [this.#good, this.connectionAbroad] = connections;
    this.connection = this.#good;
    this.#canary = canary;
    [this.here, this.neighbour, this.abroad] = places;
    this.log = log;
  }

  /**
   * Does what a case says, while the canary counts, and then holds the server to what must hold after each: it serves, the
   * canary counted every call once, sessions and handles are as many as before, and what was refused did not run.
   */
  async survive(badRequest: BadRequest): Promise<Answer> {
    const [levels, runs] = [await this.#levels(), await this.#runs()];
    using connection = new RawConnection(this.address);
    this.connection = connection;
    const answer = await this.#whileCounting(() => badRequest(this));
    await this.#count();
    expect(await this.#levels()).toEqual(levels);
    if (answer.status !== "OK") expect(await this.#runs()).toEqual(runs);
    for (const serving of [this.#good, this.connectionAbroad]) {
      const { status } = await serving.ask(HealthService.check, HealthCheckRequest.create());
      expect(status).toBe(HealthCheckResponse_ServingStatus.SERVING);
    }
    return answer;
  }

  /** Asks as a good client does; fails the test on any status but OK. */
  ask<Request, Response>(method: Method<Request, Response>, request: Request): Promise<Response> {
    return this.#good.ask(method, request);
  }

  createSession(request: Partial<CreateSessionRequest> = {}): Promise<Session> {
    return createSession(this.#good, request);
  }

  async deleteSession(sessionId: string): Promise<void> {
    await this.ask(SessionRpcs.deleteSession, DeleteSessionRequest.create({ sessionId }));
  }

  createSessionAbroad(): Promise<Session> {
    return createSession(this.connectionAbroad, {});
  }

  async deleteSessionAbroad(sessionId: string): Promise<void> {
    await this.connectionAbroad.ask(SessionRpcs.deleteSession, DeleteSessionRequest.create({ sessionId }));
  }

  /** Runs code in a session as a good client does. */
  execute(sessionId: string, code: string): Promise<Execution> {
    return execute(this.#good, ExecuteRequest.create({ sessionId, code }));
  }

  /** Takes back the count of a run in `here` that was part of a case whose own request must not run. */
  async forgetRun(): Promise<void> {
    await this.execute(this.here.sessionId, "ran--");
  }

  /** A new handle in `here`; whoever asks for it releases it. */
  async handleOf(code: string): Promise<string> {
    return handleOf(this.#good, this.here.sessionId, code);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#good[Symbol.dispose]();
    this.connectionAbroad[Symbol.dispose]();
    await Promise.all(this.#servers.map((server) => server.close()));
  }

  async #whileCounting<T>(work: () => Promise<T>): Promise<T> {
    let done = false;
    const counting = (async () => {
      while (!done) {
        await this.#count();
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
      }
    })();
    try {
      return await work();
    } finally {
      done = true;
      await counting;
    }
  }

  /** Every answer must be the next number: no call was lost, none ran twice. */
  async #count(): Promise<void> {
    const request = CallRequest.create({ sessionId: this.#canary, path: "next" });
    expect(dataOf((await this.ask(Sandbox.call, request)).execution)).toBe(++this.#counted);
  }

  /** The sessions there are and the handles that each holds. */
  async #levels(): Promise<Record<string, bigint>> {
    const { sessions } = await this.ask(SessionRpcs.listSessions, ListSessionsRequest.create({ pageSize: 1000 }));
    return Object.fromEntries(sessions.map(({ sessionId, handleCount }) => [sessionId, handleCount]));
  }

  async #runs(): Promise<unknown[]> {
    const { here, neighbour, abroad } = this;
    const ran = (sessionId: string) => ExecuteRequest.create({ sessionId, code: "ran" });
    return [
      dataOf(await execute(this.#good, ran(here.sessionId))),
      dataOf(await execute(this.#good, ran(neighbour.sessionId))),
      dataOf(await execute(this.connectionAbroad, ran(abroad.sessionId))),
    ];
  }
}

/** The value of an execution that came as `data`; fails the test for any other outcome. */
export function dataOf(execution: Execution | undefined): unknown {
  const outcome = execution?.outcome;
  if (outcome?.$case !== "value" || outcome.value.kind?.$case !== "data") {
    throw new Error(`expected an outcome with data, got ${JSON.stringify(outcome)}`);
  }
  return JSON.parse(String(outcome.value.kind.value));
}

/** The execution in the answer to Execute or Call; fails the test on any status but OK. */
export function executionOf(answer: Answer): Execution {
  const { execution } = responseOf(Sandbox.execute, answer);
  if (execution === undefined) throw new Error("a response without its execution");
  return execution;
}

async function createSession(connection: RawConnection, request: Partial<CreateSessionRequest>): Promise<Session> {
  const { session } = await connection.ask(SessionRpcs.createSession, { ...CreateSessionRequest.create(), ...request });
  if (session === undefined) throw new Error("a response without its session");
  return session;
}

async function execute(connection: RawConnection, request: ExecuteRequest): Promise<Execution> {
  return executionOf(await connection.call(Sandbox.execute, request));
}

async function handleOf(connection: RawConnection, sessionId: string, code: string): Promise<string> {
  const request = ExecuteRequest.create({ sessionId, code, encoding: Encoding.HANDLE });
  const { outcome } = await execute(connection, request);
  if (outcome?.$case !== "value" || outcome.value.kind?.$case !== "handle") {
    throw new Error(`expected a handle, got ${JSON.stringify(outcome)}`);
  }
  return outcome.value.kind.value.handleId;
}

async function place(connection: RawConnection): Promise<Place> {
  const { sessionId } = await createSession(connection, { setup: SETUP });
  const [mark, box] = [await handleOf(connection, sessionId, "mark"), await handleOf(connection, sessionId, "box")];
  return { sessionId, mark, box };
}
