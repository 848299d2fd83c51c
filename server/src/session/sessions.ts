/** All sessions of this server: creates, finds, lists, expires and deletes them. */
import { randomBytes } from "node:crypto";
import type { Engine } from "../engine/engine.js";
import type { InputValue } from "../engine/kernel-protocol.js";
import { invalid, SessionError } from "./errors.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import { type Limits, sessionLimits } from "./limits.js";
import type { GuestException } from "./outcome.js";
import { RequestIds } from "./request-ids.js";
import { Session } from "./session.js";

/** Milliseconds: 30 minutes unless the session says otherwise, at most a week. */
const DEFAULT_IDLE_TTL = 30 * 60_000;
const MAXIMUM_IDLE_TTL = 7 * 24 * 60 * 60_000;
const SWEEP_EVERY = 1_000;
/** Ids of sessions that are gone are remembered, so that whoever comes late learns why. */
const TOMBSTONES = 10_000;
const QUOTA_RETRY = 1_000;
const ID_LIMIT = 128;

export interface CreateOptions {
  /** Empty: the server draws one. */
  readonly sessionId: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly limits: Partial<Limits>;
  /** Milliseconds; 0 for the default. */
  readonly idleTtl: number;
  readonly globals: ReadonlyMap<string, InputValue>;
  /** Texts of modules by name. */
  readonly modules: ReadonlyMap<string, string>;
  /** Source that runs before anybody gets the session; empty for none. */
  readonly setup: string;
  readonly requestId: string;
  readonly digest: string;
  /** Milliseconds since the epoch by which the setup has to be through; Infinity for none. */
  readonly deadline: number;
}

type Ending = "SESSION_DELETED" | "SESSION_EXPIRED";

export class Sessions {
  readonly #engine: Engine;
  readonly #maximum: number;
  /** In the order they were created; the number orders pages of a list. */
  readonly #sessions = new Map<string, { readonly session: Session; readonly number: number }>();
  readonly #tombstones = new Map<string, Ending>();
  /** Ids of sessions, not sessions: a deleted one must not be kept for the sake of a repeat. */
  readonly #created = new RequestIds<string>(({ length }) => length);
  /** Sessions that are being set up; their ids are taken, but nobody can see them. */
  readonly #nascent = new Map<string, Session>();
  readonly #alone = new Set<Session>();
  readonly #sweeper: NodeJS.Timeout;
  #nextNumber = 1;
  #draining = false;

  /** @param maximum the most sessions that may live at once */
  constructor(engine: Engine, maximum: number) {
    this.#engine = engine;
    this.#maximum = maximum;
    this.#sweeper = setInterval(() => this.#expire(), SWEEP_EVERY);
    this.#sweeper.unref();
  }

  get count(): number {
    return this.#sessions.size + this.#nascent.size + this.#alone.size;
  }

  /**
   * @throws SessionError SESSION_ALREADY_EXISTS, QUOTA_EXCEEDED, INVALID_REQUEST (also when the setup throws), DRAINING,
   * REQUEST_ID_REUSED
   */
  async create(options: CreateOptions): Promise<Session> {
    if (options.requestId === "") return this.#create(options);
    let session: Session | undefined;
    const sessionId = await this.#created.once(options.requestId, options.digest, async () => {
      session = await this.#create(options);
      return session.sessionId;
    });
    return session ?? this.get(sessionId);
  }

  /** @throws SessionError SESSION_NOT_FOUND, SESSION_DELETED, SESSION_EXPIRED, INVALID_REQUEST */
  get(sessionId: string): Session {
    checkId("session_id", sessionId);
    const session = this.#sessions.get(sessionId)?.session;
    if (session !== undefined && !this.#isExpired(session)) return session;
    const ids = { session_id: sessionId };
    switch (this.#tombstones.get(sessionId)) {
      case "SESSION_DELETED":
        throw new SessionError("SESSION_DELETED", "the session was deleted; create a new one", { ids });
      case "SESSION_EXPIRED":
        throw new SessionError(
          "SESSION_EXPIRED",
          "the session was not used for its idle_ttl and is gone; create a new one",
          {
            ids,
          },
        );
      default:
        throw new SessionError("SESSION_NOT_FOUND", "no such session; create it first", { ids });
    }
  }

  /** One page, oldest first, of the sessions that have all these labels. `next` is empty on the last page. */
  list(size: number, token: string, labels: ReadonlyMap<string, string>): { sessions: Session[]; next: string } {
    const after = token === "" ? 0 : readToken(token);
    const sessions: Session[] = [];
    let last = 0;
    for (const { session, number } of this.#sessions.values()) {
      if (number <= after || this.#isExpired(session) || !hasLabels(session, labels)) continue;
      if (sessions.length === size) return { sessions, next: writeToken(last) };
      sessions.push(session);
      last = number;
    }
    return { sessions, next: "" };
  }

  /** Ends a session; what runs in it is answered ABORTED. */
  async delete(sessionId: string): Promise<void> {
    await this.#end(this.get(sessionId), "SESSION_DELETED");
  }

  /** Runs a command in a session made for it alone, which goes with its outcome. */
  executeAlone(command: Command, options: CommandOptions): Execution {
    this.#checkRoom();
    const session = new Session(this.#engine, {
      sessionId: "",
      labels: new Map(),
      limits: sessionLimits(options.limits ?? {}),
      idleTtl: MAXIMUM_IDLE_TTL,
    });
    this.#alone.add(session);
    const gone = (): void => {
      this.#alone.delete(session);
      void session.end(new SessionError("SESSION_DELETED", "the session of this execution ended with it"));
    };
    try {
      const execution = session.submit(command, { ...options, limits: undefined });
      execution.outcome.then(gone, gone);
      return execution;
    } catch (error) {
      gone();
      throw error;
    }
  }

  /** Ends an execution that runs without a session, by the request id it was given. */
  cancelAlone(executionId: string): void {
    for (const session of this.#alone) session.cancel(executionId);
  }

  /** What `submit` gives to sessions goes to the engine together, and at once. */
  together(submit: () => void): void {
    this.#engine.together(submit);
  }

  /** From now on nothing new is taken. Resolves when what runs has ended. */
  async drain(): Promise<void> {
    this.#draining = true;
    clearInterval(this.#sweeper);
    await Promise.all([...this.#all()].map((session) => session.settled()));
  }

  /** @throws SessionError DRAINING when the server is about to stop */
  checkNotDraining(): void {
    if (this.#draining) throw new SessionError("DRAINING", "the server is stopping; try again elsewhere or later");
  }

  *#all(): Generator<Session> {
    for (const { session } of this.#sessions.values()) yield session;
    yield* this.#nascent.values();
    yield* this.#alone;
  }

  async #create(options: CreateOptions): Promise<Session> {
    const sessionId = options.sessionId === "" ? randomBytes(16).toString("base64url") : options.sessionId;
    checkId("session_id", sessionId);
    const known = this.#sessions.get(sessionId)?.session;
    if (this.#nascent.has(sessionId) || (known !== undefined && !this.#isExpired(known))) {
      throw new SessionError("SESSION_ALREADY_EXISTS", "session_id: is in use; leave it empty to get one drawn", {
        ids: { session_id: sessionId },
        field: "session_id",
      });
    }
    if (!(options.idleTtl >= 0 && options.idleTtl <= MAXIMUM_IDLE_TTL)) {
      throw invalid("idle_ttl", `must be between 0 (the default) and ${MAXIMUM_IDLE_TTL / 1000} s`);
    }
    const limits = sessionLimits(options.limits);
    this.#checkRoom();
    const { labels } = options;
    const session = new Session(this.#engine, {
      sessionId,
      labels,
      limits,
      idleTtl: options.idleTtl || DEFAULT_IDLE_TTL,
    });
    this.#nascent.set(sessionId, session);
    try {
      await this.#prepare(session, options);
      this.#sessions.set(sessionId, { session, number: this.#nextNumber++ });
      this.#tombstones.delete(sessionId);
      return session;
    } catch (error) {
      await session.end(new SessionError("SESSION_DELETED_MEANWHILE", "the session could not be set up"));
      throw error;
    } finally {
      this.#nascent.delete(sessionId);
    }
  }

  async #prepare(session: Session, options: CreateOptions): Promise<void> {
    if (options.modules.size > 0) await session.addModules(options.modules);
    if (options.globals.size > 0) await session.defineGlobals(options.globals);
    if (options.setup === "") return;
    const { outcome } = session.submit(
      { kind: "execute", code: options.setup, filename: "setup.js", bindings: new Map() },
      {
        encoding: 4,
        handleGroup: "",
        atomic: false,
        parentExecutionId: "",
        requestId: "",
        digest: "",
        deadline: options.deadline,
      },
    );
    const { result } = await outcome;
    if (result.kind === "exception") throw invalid("setup", `threw ${describe(result.exception)}`);
    if (result.kind === "stopped") throw invalid("setup", `was stopped: ${result.message}`);
  }

  get #hasRoom(): boolean {
    return this.count < this.#maximum && this.#engine.hasRoom;
  }

  #checkRoom(): void {
    this.checkNotDraining();
    if (this.#hasRoom) return;
    this.#expire();
    if (this.#hasRoom) return;
    const [what, flag] =
      this.count < this.#maximum
        ? ["all the memory that its sessions may hold together", "--max-memory"]
        : [`${this.#maximum} sessions`, "--max-sessions"];
    throw new SessionError(
      "QUOTA_EXCEEDED",
      `the server already holds ${what}; delete some, give them a shorter idle_ttl, or start it with a larger ${flag}`,
      { retryAfter: QUOTA_RETRY },
    );
  }

  /** Idle for too long; it is ended here, so that nobody sees it between two sweeps. */
  #isExpired(session: Session): boolean {
    if (!session.isIdle || session.expiresAt > Date.now()) return false;
    void this.#end(session, "SESSION_EXPIRED");
    return true;
  }

  #expire(): void {
    for (const { session } of this.#sessions.values()) this.#isExpired(session);
  }

  async #end(session: Session, ending: Ending): Promise<void> {
    const { sessionId } = session;
    this.#sessions.delete(sessionId);
    this.#tombstones.set(sessionId, ending);
    if (this.#tombstones.size > TOMBSTONES) {
      const [oldest] = this.#tombstones.keys();
      if (oldest !== undefined) this.#tombstones.delete(oldest);
    }
    await session.end(
      new SessionError("SESSION_DELETED_MEANWHILE", "the session was deleted while this call ran", {
        ids: { session_id: sessionId },
      }),
    );
  }
}

function describe(exception: GuestException): string {
  return exception.name === "" ? exception.message : `${exception.name}: ${exception.message}`;
}

function hasLabels(session: Session, labels: ReadonlyMap<string, string>): boolean {
  for (const [name, value] of labels) if (session.labels.get(name) !== value) return false;
  return true;
}

/** Printable characters only: ids end up in logs and in file names. */
function checkId(field: string, id: string): void {
  if (id === "") throw invalid(field, "must not be empty; is the variable that should hold it unset?");
  if (id.length > ID_LIMIT) throw invalid(field, `must have at most ${ID_LIMIT} characters`);
  if (!/^[\x21-\x7e]+$/.test(id)) throw invalid(field, "must consist of visible ASCII characters");
}

function writeToken(number: number): string {
  return Buffer.from(`p${number}`).toString("base64url");
}

function readToken(token: string): number {
  const match = /^p(\d{1,15})$/.exec(Buffer.from(token, "base64url").toString("latin1"));
  if (match === null) throw invalid("page_token", "is not one this server gave; leave it empty for the first page");
  return Number(match[1]);
}
