/** SessionService: create, get, list, update, fork, roll back, delete; watch is in watch-session.ts. */
import {
  CreateSessionRequest,
  CreateSessionResponse,
  Durability,
  encoded,
  ForkSessionRequest,
  RollbackSessionRequest,
  type SessionServiceServer,
  SessionServiceService,
} from "@livescope/proto";
import { invalid, SessionError } from "../session/errors.js";
import { labelBytes } from "../session/pages.js";
import { NEVER_RETRY } from "../session/room.js";
import type { SessionInfo } from "../session/session-info.js";
import type { Sessions } from "../session/sessions.js";
import {
  canonicalTexts,
  canonicalValues,
  checkedModules,
  checkedRequestId,
  digestOf,
  requestedLimits,
} from "./commands.js";
import { checkedLabels } from "./labels.js";
import { checkedPageSize } from "./pages.js";
import type { Serving } from "./serving.js";
import { checkedIdleAction, sessionMessage } from "./session-message.js";
import { MESSAGE_BYTES } from "./streamed-command.js";
import { millisecondsOf } from "./time.js";
import { type Handler, isUnheard, unary } from "./unary.js";
import { updateSession } from "./update-session.js";
import { inputValues } from "./values.js";
import { WATCH_SESSION_METHOD, Watched, watchSession } from "./watch-session.js";

/** Of a session in an answer, without its labels and without the id of its origin. */
const COPY_BYTES = 256;

export const SESSION_SERVICE = {
  ...SessionServiceService,
  watchSession: WATCH_SESSION_METHOD,
  // One writer for all of them: the generated code makes one for each.
  createSession: {
    ...SessionServiceService.createSession,
    responseSerialize: (response: CreateSessionResponse) => encoded(CreateSessionResponse, response),
  },
};

export function sessionService(sessions: Sessions, serving: Serving): SessionServiceServer {
  const handle = <Request, Response>(handler: Handler<Request, Response>) => unary(handler, serving);
  const watched = new Watched();
  return {
    createSession: handle(async (request, context) => {
      const isLost = isUnheard(context, request.requestId);
      const session = await create(
        sessions,
        request,
        request.requestId === "" ? context.deadline : Number.POSITIVE_INFINITY,
      );
      if (isLost()) await sessions.delete(session.sessionId);
      return { session: sessionMessage(session) };
    }),
    getSession: handle(async ({ sessionId }) => ({ session: sessionMessage(await sessions.info(sessionId)) })),
    listSessions: handle(async (request) => {
      const labels = checkedLabels(request.labels);
      const page = await sessions.list(checkedPageSize(request.pageSize), request.pageToken, labels);
      return { sessions: page.sessions.map(sessionMessage), nextPageToken: page.next };
    }),
    updateSession: handle(async (request) => ({ session: sessionMessage(await updateSession(sessions, request)) })),
    deleteSession: handle(async (request) => {
      try {
        await sessions.delete(request.sessionId);
      } catch (error) {
        if (!request.allowMissing || !isMissing(error)) throw error;
      }
      return {};
    }),
    forkSession: handle(async (request, context) => {
      const { sessionId, count } = request;
      if (count < 0) throw invalid("count", "must not be negative; leave it at 0 for one");
      const labels = checkedLabels(request.labels);
      checkAnswerOf(count, sessionId, labels);
      const requestId = checkedRequestId(request.requestId);
      const canonical = { ...request, labels: canonicalTexts(labels) };
      const digest = digestOf("forkSession", ForkSessionRequest.encode(canonical).finish());
      const isLost = isUnheard(context, requestId);
      const copies = await sessions.fork(sessionId, { count: count || 1, labels, requestId, digest });
      if (isLost()) await Promise.all(copies.map((copy) => sessions.delete(copy.sessionId)));
      return { sessions: copies.map(sessionMessage) };
    }),
    rollbackSession: handle(async (request) => {
      const requestId = checkedRequestId(request.requestId);
      const digest = digestOf("rollbackSession", RollbackSessionRequest.encode(request).finish());
      const session = await sessions.rollBack(request.sessionId, request.snapshotId, requestId, digest);
      return { session: sessionMessage(session) };
    }),
    watchSession: (stream) => watchSession(sessions, stream, watched, serving),
  };
}

/** @throws SessionError QUOTA_EXCEEDED where the copies would be more than one message can tell of: nobody would learn their ids */
function checkAnswerOf(count: number, origin: string, labels: ReadonlyMap<string, string>): void {
  const most = Math.floor(MESSAGE_BYTES / (COPY_BYTES + origin.length + labelBytes(labels)));
  if (count <= most) return;
  const message = `count: is ${count}, and an answer has room for ${most} with these labels; ask for fewer at once`;
  throw new SessionError("QUOTA_EXCEEDED", message, { retryAfter: NEVER_RETRY });
}

function create(sessions: Sessions, request: CreateSessionRequest, deadline: number): Promise<SessionInfo> {
  if (!(request.durability in Durability) || request.durability === Durability.UNRECOGNIZED) {
    throw invalid("durability", "is not known");
  }
  const requestId = checkedRequestId(request.requestId);
  const digest = (): string =>
    digestOf(
      "createSession",
      CreateSessionRequest.encode({
        ...request,
        globals: canonicalValues(request.globals),
        modules: canonicalTexts(request.modules),
        labels: canonicalTexts(request.labels),
        limits: undefined,
      }).finish(),
    );
  return sessions.create({
    sessionId: request.sessionId,
    snapshotId: request.snapshotId,
    labels: checkedLabels(request.labels),
    limits: requestedLimits(request.limits),
    idleTtl: millisecondsOf(request.idleTtl, "idle_ttl"),
    idleAction: checkedIdleAction(request.idleAction, "idle_action"),
    isDurable: request.durability === Durability.DURABLE,
    globals: inputValues(request.globals, "globals"),
    modules: checkedModules(request.modules),
    setup: request.setup,
    requestId,
    digest: requestId === "" ? "" : digest(),
    deadline,
  });
}

const MISSING: readonly string[] = ["SESSION_NOT_FOUND", "SESSION_DELETED", "SESSION_EXPIRED", "SESSION_LOST"];

function isMissing(error: unknown): boolean {
  return error instanceof SessionError && MISSING.includes(error.reason);
}
