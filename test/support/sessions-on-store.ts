/** All sessions of a server without the server, on a store that fails or waits where a test says so. */
import type { Engine } from "../../server/src/engine/engine.js";
import { DurableSessions } from "../../server/src/session/durable-sessions.js";
import type { CommandOptions, Execution } from "../../server/src/session/execution.js";
import { Hibernation } from "../../server/src/session/hibernation.js";
import type { SessionInfo } from "../../server/src/session/session-info.js";
import type { CreateOptions } from "../../server/src/session/session-setup.js";
import { Sessions } from "../../server/src/session/sessions.js";
import { Snapshots } from "../../server/src/session/snapshots.js";
import { MemoryStore } from "../../server/src/store/memory.js";
import {
  type CommitAnswer,
  type Page,
  type PageOptions,
  type StoredCommit,
  type StoredSession,
  StoreError,
} from "../../server/src/store/store.js";

type Call = "put" | "find" | "image" | "delete" | "list" | "commit";

/** Calls take effect when they are let go. */
export class TestStore extends MemoryStore {
  /** Those of these are refused, as a full disk would. */
  readonly failing = new Set<Call>();
  refuses: (session: StoredSession) => boolean = () => false;
  readonly #gates = new Map<Call, Promise<void>>();
  readonly #met = new Map<Call, () => void>();

  /** Holds calls back until what this gives is called. `met` resolves when one has come. */
  hold(call: Call): { met: Promise<void>; open: () => void } {
    let open = (): void => undefined;
    this.#gates.set(call, new Promise((resolve) => (open = resolve)));
    const met = new Promise<void>((resolve) => this.#met.set(call, resolve));
    return {
      met,
      open: () => {
        this.#gates.delete(call);
        open();
      },
    };
  }

  async #pass(call: Call): Promise<void> {
    this.#met.get(call)?.();
    await this.#gates.get(call);
    if (this.failing.has(call)) throw new StoreError("full", `no room to ${call}`);
  }

  override async putSession(session: StoredSession, image: Uint8Array): Promise<void> {
    await this.#pass("put");
    if (this.refuses(session)) throw new StoreError("full", "it is too large");
    return super.putSession(session, image);
  }

  override async session(sessionId: string): Promise<StoredSession | undefined> {
    await this.#pass("find");
    return super.session(sessionId);
  }

  override async sessionImage(sessionId: string): Promise<Uint8Array | undefined> {
    await this.#pass("image");
    return super.sessionImage(sessionId);
  }

  override async deleteSession(sessionId: string): Promise<boolean> {
    await this.#pass("delete");
    return super.deleteSession(sessionId);
  }

  override async sessions(options: PageOptions): Promise<Page<StoredSession>> {
    await this.#pass("list");
    return super.sessions(options);
  }

  override async commit(commit: StoredCommit): Promise<CommitAnswer> {
    await this.#pass("commit");
    return super.commit(commit);
  }
}

const signingKey = async (): Promise<Uint8Array> => Buffer.alloc(32, "key");

export interface StartOptions {
  readonly maximum?: number;
  readonly maximumHibernated?: number;
  readonly maximumDurable?: number;
  readonly hibernateAfter?: number;
}

export function startSessions(
  engine: Engine,
  store: TestStore,
  {
    maximum = 1,
    maximumHibernated = 100,
    maximumDurable = 0,
    hibernateAfter = Number.POSITIVE_INFINITY,
  }: StartOptions = {},
): { sessions: Sessions; snapshots: Snapshots; hibernation: Hibernation; failures: unknown[] } {
  const hibernation = new Hibernation(engine, store, signingKey);
  const snapshots = new Snapshots(engine, store, signingKey);
  const durable = new DurableSessions(engine, store, signingKey);
  const failures: unknown[] = [];
  const onRestFailed = (error: unknown): void => void failures.push(error);
  const options = { maximumDurable, maximum, maximumHibernated, hibernateAfter, onRestFailed };
  const sessions = new Sessions(engine, snapshots, { hibernation, durable }, options);
  return { sessions, snapshots, hibernation, failures };
}

export function create(sessions: Sessions, sessionId = "", options: Partial<CreateOptions> = {}): Promise<SessionInfo> {
  return sessions.create({
    sessionId,
    snapshotId: "",
    labels: new Map(),
    limits: {},
    idleTtl: 0,
    idleAction: "delete",
    isDurable: false,
    globals: new Map(),
    modules: new Map(),
    setup: "",
    requestId: "",
    digest: "",
    deadline: Number.POSITIVE_INFINITY,
    ...options,
  });
}

const OPTIONS: CommandOptions = {
  encoding: 0,
  handleGroup: "",
  atomic: false,
  parentExecutionId: "",
  requestId: "",
  digest: "",
  deadline: Number.POSITIVE_INFINITY,
};

export function submit(
  sessions: Sessions,
  sessionId: string,
  code: string,
  options: Partial<CommandOptions> = {},
): Execution {
  const command = { kind: "execute", code, filename: "a.js", bindings: new Map() } as const;
  return sessions.submit(sessionId, command, { ...OPTIONS, ...options });
}

export function executeAlone(sessions: Sessions, code: string, options: Partial<CommandOptions> = {}): Execution {
  const command = { kind: "execute", code, filename: "a.js", bindings: new Map() } as const;
  return sessions.executeAlone(command, { ...OPTIONS, ...options });
}

/** @returns the value, or what kind of outcome there is in place of one */
export async function run(
  sessions: Sessions,
  sessionId: string,
  code: string,
  options: Partial<CommandOptions> = {},
): Promise<unknown> {
  const { result } = await submit(sessions, sessionId, code, options).outcome;
  return result.kind === "value" && result.value.kind === "json" ? JSON.parse(result.value.text) : result.kind;
}

/** The reason for which it was refused. */
export function reasonOf(promise: Promise<unknown>): Promise<string | undefined> {
  return promise.then(
    () => "none",
    (error: { reason?: string; kind?: string }) => error.reason ?? error.kind,
  );
}
