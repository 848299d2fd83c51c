import {
  Durability as WireDurability,
  IdleAction as WireIdleAction,
  type Session as WireSession,
  SessionState as WireSessionState,
} from "@livescope/proto";
import { checkOneOf } from "./checks.js";
import { LivescopeError } from "./errors.js";
import { readUsage, type Usage } from "./execution.js";
import { type AllLimits, readDuration, readLimits } from "./limits.js";

/** What the server tells about a session. */
export interface SessionInfo {
  readonly sessionId: string;
  /** Whether the session is in memory, or in the store only until it is used next. */
  readonly state: SessionState;
  /** What it survives. */
  readonly durability: Durability;
  /** The labels that its maker gave it. */
  readonly labels: Readonly<Record<string, string>>;
  /** Its limits, every one of them. */
  readonly limits: AllLimits;
  /** How long it is kept after its last use, in milliseconds. */
  readonly idleTtl: number;
  /** What becomes of it after that. */
  readonly idleAction: IdleAction;
  readonly createTime: Date | undefined;
  /** When something last ran in it, or when handles of it were last released. */
  readonly lastUseTime: Date | undefined;
  /** When it will be deleted if it is not used before. Undefined while something runs in it, and where it is not to be. */
  readonly expireTime: Date | undefined;
  /** The id of the session or snapshot that it was made from. Empty: it was made afresh. */
  readonly parent: string;
  /** What all its executions cost together. */
  readonly usage: Usage;
  /** The memory it holds now, in bytes. */
  readonly memoryBytes: number;
  /** How many handles it holds now, those of all clients. */
  readonly handleCount: number;
}

/** Where a session's memory is. "UNSPECIFIED" stands for a state that this version does not know. */
export type SessionState = Exclude<keyof typeof WireSessionState, "UNRECOGNIZED">;

/**
 * What a session survives. An ephemeral one ends with the server's process. A durable one does not: what it does is on the server's
 * disk before anybody is told of it, which takes time for every call.
 */
export type Durability = "ephemeral" | "durable";

/**
 * What becomes of a session that was not used for its idle_ttl. Whatever it says, the server may put a session that nobody uses
 * into its store to free memory; its next use brings it back.
 */
export type IdleAction = "delete" | "hibernate";

/** @throws {LivescopeError} if the answer carries no session */
export function readSession(session: WireSession | undefined): SessionInfo {
  if (session === undefined) throw new LivescopeError("the answer carries no session: is the server newer?");
  const { sessionId, createTime, lastUseTime, expireTime, parent } = session;
  return {
    sessionId,
    state: state(session.state),
    durability: session.durability === WireDurability.DURABLE ? "durable" : "ephemeral",
    labels: Object.fromEntries(session.labels),
    limits: readLimits(session.limits),
    idleTtl: readDuration(session.idleTtl),
    idleAction: session.idleAction === WireIdleAction.HIBERNATE ? "hibernate" : "delete",
    createTime,
    lastUseTime,
    expireTime,
    parent,
    usage: readUsage(session.usage),
    memoryBytes: Number(session.memoryBytes),
    handleCount: Number(session.handleCount),
  };
}

function state(value: WireSessionState): SessionState {
  const name = WireSessionState[value] as keyof typeof WireSessionState | undefined;
  return name === undefined || name === "UNRECOGNIZED" ? "UNSPECIFIED" : name;
}

/** Undefined is the server's default. @throws {TypeError} if there is no such durability */
export function writeDurability(durability: Durability | undefined): WireDurability {
  checkOneOf("durability", durability, ["ephemeral", "durable"]);
  if (durability === undefined) return WireDurability.UNSPECIFIED;
  return durability === "durable" ? WireDurability.DURABLE : WireDurability.EPHEMERAL;
}

/** Undefined is the server's default. @throws {TypeError} if there is no such action */
export function writeIdleAction(action: IdleAction | undefined): WireIdleAction {
  checkOneOf("idleAction", action, ["delete", "hibernate"]);
  if (action === undefined) return WireIdleAction.UNSPECIFIED;
  return action === "hibernate" ? WireIdleAction.HIBERNATE : WireIdleAction.DELETE;
}
