/** WatchSession: what happens in a session, from now on, whoever asked for it. */
import type { Writable } from "node:stream";
import type { ServerWritableStream } from "@grpc/grpc-js";
import {
  type Event,
  encoded,
  SessionServiceService,
  type WatchSessionRequest,
  WatchSessionResponse,
} from "@livescope/proto";
import { SessionError } from "../session/errors.js";
import type { SessionInfo } from "../session/session-info.js";
import type { Sessions } from "../session/sessions.js";
import type { Watcher } from "../session/watchers.js";
import { PacedWriter } from "./paced-writer.js";
import type { Serving } from "./serving.js";
import { sessionMessage } from "./session-message.js";
import { toServiceError } from "./status.js";
import { consoleMessage, executionMessage } from "./values.js";

/** Bytes that a watcher may be behind; with more its stream ends. */
const BEHIND_BYTES = 4 * 1024 * 1024;

/** The method, for a handler that writes encoded responses, whose size is then known. */
export const WATCH_SESSION_METHOD = {
  ...SessionServiceService.watchSession,
  responseSerialize: (response: Buffer): Buffer => response,
};

type Update = NonNullable<WatchSessionResponse["update"]>;

/** What is told just now, and the message: all who watch are told in one go, of what may have some megabytes. */
let latest: { readonly what: object; readonly message: Buffer } | undefined;

/** @param what is told; it does not change */
function messageOf(what: object, update: () => Update): Buffer {
  if (latest?.what === what) return latest.message;
  const message = encoded(WatchSessionResponse, { update: update() });
  latest = { what, message };
  // When all have been told nothing of it is kept.
  queueMicrotask(() => {
    latest = undefined;
  });
  return message;
}

/** How many watch each session: what they are told is one message for all of them. */
export class Watched {
  readonly #counts = new Map<string, number>();

  /** @returns to be called when a watcher has all that it was told, or is gone; again does nothing */
  add(sessionId: string): () => void {
    this.#counts.set(sessionId, this.count(sessionId) + 1);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      const left = this.count(sessionId) - 1;
      if (left > 0) this.#counts.set(sessionId, left);
      else this.#counts.delete(sessionId);
    };
  }

  count(sessionId: string): number {
    return this.#counts.get(sessionId) ?? 0;
  }
}

export function watchSession(
  sessions: Sessions,
  stream: ServerWritableStream<WatchSessionRequest, WatchSessionResponse>,
  watched: Watched,
  { openStreams, untaken, logger }: Pick<Serving, "openStreams" | "untaken" | "logger">,
): void {
  const { sessionId } = stream.request;
  const reader = {
    get peer() {
      return stream.getPeer();
    },
    cut: () => tooSlow(),
  };
  const messages = new PacedWriter(stream as Writable, (bytes) =>
    untaken.update(reader, Math.ceil(bytes / Math.max(1, watched.count(sessionId)))),
  );
  const fail = (error: unknown): void => {
    left();
    stream.emit("error", toServiceError(error, logger));
  };
  const end = (error: unknown): void => {
    close();
    messages.endWith(() => fail(error));
  };
  let close = (): void => undefined;
  let left = (): void => undefined;
  const say = (what: object, update: () => Update): void => {
    messages.write(messageOf(what, update));
    if (messages.bytes > BEHIND_BYTES) tooSlow();
  };
  const tooSlow = (): void => {
    const text = `the watcher is ${messages.bytes} bytes behind what happens; read faster, or watch again from now on`;
    close();
    messages.drop();
    fail(new SessionError("READER_TOO_SLOW", text));
  };
  const sayEvent = (what: object, executionId: string, event: () => NonNullable<Event["event"]>): void =>
    say(what, () => ({ $case: "event", value: { executionId, event: event() } }));
  const saySession = (session: SessionInfo): void =>
    say(session, () => ({ $case: "session", value: sessionMessage(session) }));
  const watcher: Watcher = {
    console: (executionId, entry) =>
      sayEvent(entry, executionId, () => ({ $case: "console", value: consoleMessage(entry) })),
    // Its entries were told.
    finished: (outcome, encoding) =>
      sayEvent(outcome, outcome.executionId, () => ({
        $case: "finished",
        value: executionMessage({ ...outcome, console: [] }, encoding),
      })),
    changed: saySession,
    ended: end,
  };
  stream.on("cancelled", () => {
    close();
    messages.drop();
    left();
  });
  sessions.watch(sessionId, watcher).then(({ info, unwatch }) => {
    const closed = openStreams.add(() =>
      end(new SessionError("DRAINING", "the server is stopping; watch again elsewhere or later")),
    );
    left = watched.add(sessionId);
    close = () => {
      unwatch();
      closed();
    };
    if (stream.cancelled) {
      left();
      return close();
    }
    saySession(info);
  }, end);
}
