/** A session as the contract shows it. */
import { Durability, type Session as SessionMessage, SessionState } from "@livescope/proto";
import type { Session } from "../session/session.js";
import { limitsMessage } from "./sandbox-service.js";
import { durationOf } from "./time.js";

export function sessionMessage(session: Session): SessionMessage {
  return {
    sessionId: session.sessionId,
    state: SessionState.ACTIVE,
    labels: new Map(session.labels),
    limits: limitsMessage(session.limits),
    durability: Durability.EPHEMERAL,
    idleTtl: durationOf(session.idleTtl),
    createTime: new Date(session.createdAt),
    lastUseTime: new Date(session.lastUsedAt),
    expireTime: session.isIdle ? new Date(session.expiresAt) : undefined,
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
