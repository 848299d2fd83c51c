/** Connect: any number of executions of any sessions on one stream. */
import type { Writable } from "node:stream";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { type ConnectRequest, type ConnectResponse, SandboxServiceService } from "@livescope/proto";
import type { Logger } from "pino";
import { SessionError } from "../session/errors.js";
import type { Sessions } from "../session/sessions.js";
import { Connection } from "./connection.js";
import type { OpenStreams } from "./open-streams.js";
import { toServiceError } from "./status.js";
import { deadlineOf } from "./unary.js";

/** The method, for a handler that writes encoded responses: each frame is encoded once, and its size is then known. */
export const CONNECT_METHOD = {
  ...SandboxServiceService.connect,
  responseSerialize: (response: Buffer): Buffer => response,
};

export function connect(
  sessions: Sessions,
  stream: ServerDuplexStream<ConnectRequest, ConnectResponse>,
  openStreams: OpenStreams,
  logger: Logger,
): void {
  const connection = new Connection(
    sessions,
    {
      deadline: deadlineOf(stream),
      send: (message, taken) => void (stream as Writable).write(message, taken),
      pause: () => void stream.pause(),
      resume: () => void stream.resume(),
      end: (error) => {
        closed();
        if (error === undefined) stream.end();
        else stream.emit("error", toServiceError(error, logger));
      },
    },
    logger,
  );
  const closed = openStreams.add(() =>
    connection.finish(new SessionError("DRAINING", "the server is stopping; connect again elsewhere or later")),
  );
  stream.on("data", ({ frames }) => connection.receive(frames));
  stream.on("end", () => connection.finish());
  stream.on("cancelled", () => {
    closed();
    connection.lost();
  });
}
