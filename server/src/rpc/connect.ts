/** Connect: any number of executions of any sessions on one stream. */
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { type ConnectRequest, type ConnectResponse, SandboxServiceService } from "@livescope/proto";
import { SessionError } from "../session/errors.js";
import type { Sessions } from "../session/sessions.js";
import { readOneAhead } from "./arriving-messages.js";
import { Connection } from "./connection.js";
import type { Serving } from "./serving.js";
import type { Slices } from "./slices.js";
import { toServiceError } from "./status.js";
import { deadlineOf } from "./unary.js";

/**
 * The method, for a handler that reads and writes encoded messages: of a large one so many frames at a time are decoded, and what is
 * said is encoded once, and its size is then known.
 */
export const CONNECT_METHOD = {
  ...SandboxServiceService.connect,
  requestDeserialize: (request: Buffer): Buffer => request,
  responseSerialize: (response: Buffer): Buffer => response,
};

export function connect(
  sessions: Sessions,
  decoded: ServerDuplexStream<ConnectRequest, ConnectResponse>,
  slices: Slices,
  { untaken, arriving, openStreams, logger }: Serving,
): void {
  // What the types of the contract do not say, and `CONNECT_METHOD` does.
  const stream = decoded as unknown as ServerDuplexStream<Buffer, Buffer>;
  const peer = stream.getPeer();
  const reader = { peer, cut: () => connection.cut() };
  const sender = { peer, cut: () => connection.cutSender() };
  const connection = new Connection(
    sessions,
    slices,
    {
      deadline: deadlineOf(stream),
      send: (message, taken) => void stream.write(message, taken),
      untaken: (bytes) => untaken.update(reader, bytes),
      unhandled: (bytes) => arriving.update(sender, bytes),
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
  readOneAhead(stream);
  stream.on("data", (message) => connection.receive(message));
  stream.on("end", () => connection.finish());
  stream.on("cancelled", () => {
    closed();
    connection.lost();
  });
}
