/**
 * Streams that their clients would hold for ever are ended by the server: of a request that does not arrive whole, since half a
 * message was sent or nobody says that it is done; and of an answer that is over, but that the client leaves where it is.
 */
import type { Http2Stream } from "node:http2";
import { constants } from "node:http2";
import { status as Code, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";

export interface StreamDeadlines {
  /** Milliseconds from the headers to the end of a request that is one message, or to the first of several. */
  readonly receive: number;
  /** Milliseconds without the client taking anything of an answer that is over. */
  readonly take: number;
}

export function streamDeadlines({ receive, take }: StreamDeadlines): ServerInterceptor {
  return (method, inner) => {
    // The type asks for a layer of its own; the library asks for no more than what a call is.
    const call = inner as ServerInterceptingCall;
    const stream = streamOf(call);
    if (stream === undefined) return call;
    let hasMessage = false;
    const timer = setTimeout(() => {
      if (hasMessage || stream.readableEnded) return;
      const details = `the request did not arrive whole within ${receive} ms`;
      call.sendStatus({ code: Code.DEADLINE_EXCEEDED, details });
      // A status alone leaves the client's half of the stream open.
      setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
    }, receive);
    stream.once("close", () => clearTimeout(timer));
    resetIfLeft(stream, take);
    // Each layer around a call costs it something, and that a single message is whole is seen by the end of its stream.
    if (!method.requestStream) return call;
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMessage: (message, deliver) => {
            hasMessage = true;
            deliver(message);
          },
        }),
    });
  };
}

/** Resets a stream that is at its end when nothing of it was taken for so long; while it lasts its reader may be slow. */
function resetIfLeft(stream: Http2Stream, milliseconds: number): void {
  stream.setTimeout(milliseconds, () => {
    if (stream.writableEnded) stream.close(constants.NGHTTP2_CANCEL);
    else resetIfLeft(stream, milliseconds);
  });
}

/** grpc-js keeps the HTTP/2 stream of a call to itself; the version is pinned, and tests see that streams do end. */
function streamOf(call: object): Http2Stream | undefined {
  return (call as { stream?: Http2Stream }).stream;
}
