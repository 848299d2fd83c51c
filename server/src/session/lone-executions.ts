/** Executions that run without a session: each in one made for it alone, which goes with its outcome. */
import type { Engine } from "../engine/engine.js";
import { SessionError } from "./errors.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import { type Limits, sessionLimits } from "./limits.js";
import { A_FRESH_ONE, type Room } from "./room.js";
import type { Rounds } from "./rounds.js";
import { Session } from "./session.js";
import { WakingExecution } from "./waking-execution.js";

export class LoneExecutions {
  readonly #engine: Engine;
  readonly #room: Room;
  readonly #fresh: Rounds;
  readonly #sessions = new Set<Session>();
  /** The same, by the ids of their executions: of one request id there may be several. */
  readonly #byId = new Map<string, Set<Session>>();
  /** Those that wait for their turn, or for room, by their ids. */
  readonly #coming = new Map<string, Set<Execution>>();

  /** @param fresh in which sessions are made */
  constructor(engine: Engine, room: Room, fresh: Rounds) {
    this.#engine = engine;
    this.#room = room;
    this.#fresh = fresh;
  }

  /** @throws SessionError INVALID_REQUEST; that there is no room rejects the outcome */
  begin(command: Command, options: CommandOptions): Execution {
    const limits = sessionLimits(options.limits);
    const isNow = this.#fresh.takeNow();
    const room = isNow ? this.#room.takeAtOnce() : undefined;
    if (room !== undefined) return this.#beginIn(room, command, options, limits);
    const made = this.#makeRoom(isNow);
    const begin = (leave: () => void): Execution => this.#beginIn(leave, command, options, limits);
    const execution = new WakingExecution(options.requestId, made, begin);
    add(this.#coming, options.requestId, execution);
    const came = (): void => forget(this.#coming, options.requestId, execution);
    made.then(came, came);
    return execution;
  }

  /** @returns gives it back */
  async #makeRoom(isNow: boolean): Promise<() => void> {
    if (!isNow) await this.#fresh.take();
    return this.#room.bringIn(A_FRESH_ONE, 0, async () => this.#room.take(A_FRESH_ONE.sessions));
  }

  /** @param leave gives its room back */
  #beginIn(leave: () => void, command: Command, options: CommandOptions, limits: Limits): Execution {
    let session: Session | undefined;
    let executionId: string | undefined;
    const gone = (): void => {
      leave();
      if (session === undefined) return;
      this.#sessions.delete(session);
      if (executionId !== undefined) forget(this.#byId, executionId, session);
      void session.end(() => new SessionError("SESSION_DELETED", "the session of this execution ended with it"));
    };
    try {
      const init = { sessionId: "", labels: new Map(), parent: "" };
      // It does not expire: its execution ends before.
      session = new Session(this.#engine, { ...init, limits, idleTtl: Number.POSITIVE_INFINITY, idleAction: "delete" });
      this.#sessions.add(session);
      const execution = session.submit(command, { ...options, limits: undefined });
      executionId = execution.executionId;
      add(this.#byId, executionId, session);
      // Before whoever waits for the outcome can have heard of it, and asks for the place that it took.
      const goneSoon = (): unknown => setImmediate(gone);
      execution.outcome.then(goneSoon, goneSoon);
      return execution;
    } catch (error) {
      gone();
      throw error;
    }
  }

  /** Ends one by the request id it was given. */
  cancel(executionId: string): void {
    for (const session of this.#byId.get(executionId) ?? []) void session.cancel(executionId);
    for (const execution of this.#coming.get(executionId) ?? []) execution.cancel();
  }

  /** Resolves when all have ended that have come until then. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#coming.values()].flatMap((same) => [...same].map(({ outcome }) => outcome)));
    await Promise.all([...this.#sessions].map((session) => session.settled()));
  }
}

function add<T>(all: Map<string, Set<T>>, id: string, one: T): void {
  const same = all.get(id);
  if (same === undefined) all.set(id, new Set([one]));
  else same.add(one);
}

function forget<T>(all: Map<string, Set<T>>, id: string, one: T): void {
  const same = all.get(id);
  same?.delete(one);
  if (same?.size === 0) all.delete(id);
}
