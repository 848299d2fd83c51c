/** SessionService: create, get, list, delete. */
import { CreateSessionRequest, Durability, type SessionServiceServer, SessionServiceService } from "@livescope/proto";
import type { Logger } from "pino";
import { invalid, SessionError, unimplemented } from "../session/errors.js";
import type { Session } from "../session/session.js";
import type { Sessions } from "../session/sessions.js";
import {
  canonicalTexts,
  canonicalValues,
  checkedModules,
  checkedRequestId,
  digestOf,
  requestedLimits,
} from "./commands.js";
import type { OpenStreams } from "./open-streams.js";
import { sessionMessage } from "./session-message.js";
import { millisecondsOf } from "./time.js";
import { type Handler, unary } from "./unary.js";
import { checkedText, inputValues } from "./values.js";
import { WATCH_SESSION_METHOD, watchSession } from "./watch-session.js";

const PAGE = { unset: 50, most: 1_000 };
const LABELS = 64;

export const SESSION_SERVICE = { ...SessionServiceService, watchSession: WATCH_SESSION_METHOD };

export function sessionService(sessions: Sessions, openStreams: OpenStreams, logger: Logger): SessionServiceServer {
  const handle = <Request, Response>(handler: Handler<Request, Response>) => unary(handler, logger);
  return {
    createSession: handle(async (request, context) => {
      let isCancelled = false;
      context.onCancelled(() => {
        isCancelled = true;
      });
      // Without a request id nobody can ask again, so whatever was set up has to end with the call.
      const isLost = (): boolean => isCancelled && request.requestId === "";
      const session = await create(
        sessions,
        request,
        request.requestId === "" ? context.deadline : Number.POSITIVE_INFINITY,
      );
      if (isLost()) await sessions.delete(session.sessionId);
      return { session: sessionMessage(session) };
    }),
    getSession: handle((request) => ({ session: sessionMessage(sessions.get(request.sessionId)) })),
    listSessions: handle((request) => {
      const { pageSize } = request;
      if (pageSize < 0) throw invalid("page_size", "must not be negative");
      const page = sessions.list(Math.min(pageSize || PAGE.unset, PAGE.most), request.pageToken, request.labels);
      return { sessions: page.sessions.map(sessionMessage), nextPageToken: page.next };
    }),
    updateSession: handle(() => {
      throw unimplemented("UpdateSession");
    }),
    deleteSession: handle(async (request) => {
      try {
        await sessions.delete(request.sessionId);
      } catch (error) {
        if (!request.allowMissing || !isMissing(error)) throw error;
      }
      return {};
    }),
    forkSession: handle(() => {
      throw unimplemented("ForkSession");
    }),
    rollbackSession: handle(() => {
      throw unimplemented("RollbackSession");
    }),
    watchSession: (stream) => watchSession(sessions, stream, openStreams, logger),
  };
}

function create(sessions: Sessions, request: CreateSessionRequest, deadline: number): Promise<Session> {
  if (request.snapshotId !== "") throw unimplemented("snapshot_id");
  if (!(request.durability in Durability) || request.durability === Durability.UNRECOGNIZED) {
    throw invalid("durability", "is not known");
  }
  if (request.durability === Durability.DURABLE) throw unimplemented("durability: DURABLE");
  if (request.labels.size > LABELS) throw invalid("labels", `may have at most ${LABELS} entries`);
  for (const [name, value] of request.labels) {
    checkedText(name, "labels");
    checkedText(value, `labels[${name}]`);
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
    labels: request.labels,
    limits: requestedLimits(request.limits) ?? {},
    idleTtl: millisecondsOf(request.idleTtl, "idle_ttl"),
    globals: inputValues(request.globals, "globals"),
    modules: checkedModules(request.modules),
    setup: request.setup,
    requestId,
    digest: requestId === "" ? "" : digest(),
    deadline,
  });
}

function isMissing(error: unknown): boolean {
  return (
    error instanceof SessionError &&
    (error.reason === "SESSION_NOT_FOUND" || error.reason === "SESSION_DELETED" || error.reason === "SESSION_EXPIRED")
  );
}
