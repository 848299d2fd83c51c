/** A session as the contract shows it. */
import { Durability, IdleAction, type Session as SessionMessage, SessionState } from "@livescope/proto";
import { invalid } from "../session/errors.js";
import type { IdleAction as SessionIdleAction, SessionInfo } from "../session/session-info.js";
import { limitsMessage } from "./sandbox-service.js";
import { durationOf } from "./time.js";

export function sessionMessage(session: SessionInfo): SessionMessage {
  return {
    sessionId: session.sessionId,
    state: session.isHibernated ? SessionState.HIBERNATED : SessionState.ACTIVE,
    labels: new Map(session.labels),
    limits: limitsMessage(session.limits),
    durability: session.isDurable ? Durability.DURABLE : Durability.EPHEMERAL,
    idleTtl: durationOf(session.idleTtl),
    createTime: new Date(session.createdAt),
    lastUseTime: new Date(session.lastUsedAt),
    expireTime: session.expiresAt === undefined ? undefined : new Date(session.expiresAt),
    idleAction: session.idleAction === "delete" ? IdleAction.DELETE : IdleAction.HIBERNATE,
    parent: session.parent,
    usage: {
      wallTime: durationOf(session.usage.wallTime),
      cpuTime: durationOf(session.usage.cpuTime),
      queueTime: durationOf(session.usage.queueTime),
      hostTime: durationOf(session.usage.hostTime),
      memoryBytes: BigInt(session.memoryBytes),
      turns: BigInt(session.usage.turns),
      hostCalls: BigInt(session.usage.hostCalls),
    },
    memoryBytes: BigInt(session.memoryBytes),
    handleCount: BigInt(session.handleCount),
  };
}

/** @throws SessionError INVALID_REQUEST */
export function checkedIdleAction(action: IdleAction, field: string): SessionIdleAction {
  if (action === IdleAction.HIBERNATE) return "hibernate";
  if (action === IdleAction.DELETE || action === IdleAction.UNSPECIFIED) return "delete";
  throw invalid(field, "is not known");
}
