/** What is told of a session, in memory or not. */
import type { Limits } from "./limits.js";

export interface SessionUsage {
  wallTime: number;
  cpuTime: number;
  queueTime: number;
  hostTime: number;
  turns: number;
  hostCalls: number;
}

/** What becomes of a session when it was not used for its idle_ttl. */
export type IdleAction = "delete" | "hibernate";

/** Times are in milliseconds, of a moment since the epoch. */
export interface SessionInfo {
  readonly sessionId: string;
  /** It survives the process. */
  readonly isDurable: boolean;
  /** It is in the store only. */
  readonly isHibernated: boolean;
  readonly labels: ReadonlyMap<string, string>;
  readonly limits: Limits;
  readonly idleTtl: number;
  readonly idleAction: IdleAction;
  readonly createdAt: number;
  readonly lastUsedAt: number;
  /** When it is deleted unless it is used before; undefined while it runs, and where it is kept until somebody deletes it. */
  readonly expiresAt: number | undefined;
  /** Id of the session or snapshot that it was made from; empty for one that was made afresh. */
  readonly parent: string;
  readonly usage: Readonly<SessionUsage>;
  /** Heap in use, in bytes. */
  readonly memoryBytes: number;
  readonly handleCount: number;
}

/** What a session is to be. */
export interface SessionInit {
  /** Empty for a session that lives for one execution; no handle can live in it. */
  readonly sessionId: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly limits: Limits;
  /** Milliseconds without use after which the session is deleted. */
  readonly idleTtl: number;
  readonly idleAction: IdleAction;
  /** Id of the session or snapshot that it is made from; empty for one that is made afresh. */
  readonly parent: string;
}

/** What of a session may change; what is absent stays. */
export interface SessionChanges {
  readonly labels?: ReadonlyMap<string, string>;
  /** Those that are named; 0 is the server's default. */
  readonly limits?: Partial<Limits>;
  /** Milliseconds; 0 for the default. */
  readonly idleTtl?: number;
  readonly idleAction?: IdleAction;
}
