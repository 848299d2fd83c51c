import { randomUUID } from "node:crypto";
import {
  ForkSessionRequest,
  SessionServiceService,
  UpdateSessionRequest,
  Session as WireSession,
} from "@livescope/proto";
import { checkCount, checkId, checkTexts, LARGEST_NUMBER } from "./checks.js";
import { type Limits, writeDuration, writeLimits } from "./limits.js";
import type { RequestOptions } from "./options.js";
import { type IdleAction, readSession, type SessionInfo, writeIdleAction } from "./session-info.js";
import type { Channel } from "./transport/channel.js";
import type { LetGo } from "./transport/line.js";
import { make } from "./transport/making.js";

/** Options of {@link Session.fork}. */
export interface ForkOptions extends RequestOptions {
  /** Labels of the copies; those of the session itself are not copied. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /**
   * A UUID that makes a repeat of the same request safe, also from another process. Left out: one is made, and copies whose request is
   * aborted are deleted.
   */
  readonly requestId?: string | undefined;
}

/** Options of {@link Session.rollback}. */
export interface RollbackOptions extends RequestOptions {
  /** A UUID that makes a repeat of the same request safe, also from another process. Left out: one is made. */
  readonly requestId?: string | undefined;
}

/** What {@link Session.update} changes. What is left out stays. */
export interface SessionUpdate {
  /** The labels, all of them. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** The limits that are named; the others stay. */
  readonly limits?: Limits | undefined;
  /** How long the session is kept after its last use, in milliseconds. */
  readonly idleTtl?: number | undefined;
  /** What becomes of the session after that. */
  readonly idleAction?: IdleAction | undefined;
}

/**
 * Makes copies of a session, and gives their ids.
 * @throws {RangeError} if the count is none
 */
export async function forkSession(
  channel: Channel,
  sessionId: string,
  count: number,
  options: ForkOptions,
): Promise<string[]> {
  checkCount("count", count, LARGEST_NUMBER);
  checkTexts("labels", options.labels);
  checkId("requestId", options.requestId);
  const request = ForkSessionRequest.create({
    sessionId,
    count,
    labels: new Map(Object.entries(options.labels ?? {})),
    requestId: options.requestId ?? randomUUID(),
  });
  const { forkSession } = SessionServiceService;
  const { sessions } = await make(channel, forkSession, request, options, (made, letGo) =>
    deleteSessions(letGo, made.sessions),
  );
  return sessions.map((session) => session.sessionId);
}

/** Deletes sessions that nobody is to get. */
export async function deleteSessions(
  letGo: LetGo,
  sessions: readonly (Pick<WireSession, "sessionId"> | undefined)[],
): Promise<void> {
  const ids = sessions.map((session) => session?.sessionId ?? "");
  const { deleteSession } = SessionServiceService;
  await Promise.all(ids.map((sessionId) => letGo(deleteSession, { sessionId, allowMissing: true })));
}

/** Puts a session back to a snapshot of it. */
export async function rollbackSession(
  channel: Channel,
  sessionId: string,
  snapshotId: string,
  { requestId = randomUUID(), ...options }: RollbackOptions,
): Promise<void> {
  checkId("requestId", requestId);
  const request = { sessionId, snapshotId, requestId };
  await channel.send(SessionServiceService.rollbackSession, request, options);
}

/** Changes what an update names. */
export async function updateSession(
  channel: Channel,
  sessionId: string,
  { labels, limits, idleTtl, idleAction }: SessionUpdate,
  options: RequestOptions,
): Promise<SessionInfo> {
  checkTexts("labels", labels);
  const named = Object.entries(limits ?? {}).filter(([, value]) => value !== undefined);
  const session = WireSession.create({
    sessionId,
    labels: new Map(Object.entries(labels ?? {})),
    limits: limits && writeLimits(limits),
    idleTtl: idleTtl === undefined ? undefined : writeDuration("idleTtl", idleTtl),
    idleAction: writeIdleAction(idleAction),
  });
  const updateMask = [
    ...(labels === undefined ? [] : ["labels"]),
    ...named.map(([name]) => `limits.${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`),
    ...(idleTtl === undefined ? [] : ["idle_ttl"]),
    ...(idleAction === undefined ? [] : ["idle_action"]),
  ];
  const request = UpdateSessionRequest.create({ session, updateMask });
  const response = await channel.send(SessionServiceService.updateSession, request, options);
  return readSession(response.session);
}
