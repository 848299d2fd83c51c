/**
 * A request that does not arrive whole is ended by the server: a client that sends half a message, or never says that it is
 * done, would otherwise hold its stream for ever.
 */
import type { Http2Stream } from "node:http2";
import { constants } from "node:http2";
import { status as Code, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";

/** @param milliseconds from the headers to the end of a request that is one message, or to the first of several */
export function receiveDeadline(milliseconds: number): ServerInterceptor {
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) => {
        const timer = setTimeout(() => {
          const details = `the request did not arrive whole within ${milliseconds} ms`;
          call.sendStatus({ code: Code.DEADLINE_EXCEEDED, details });
          // A status alone leaves the client's half of the stream open.
          setImmediate(() => streamOf(call)?.close(constants.NGHTTP2_NO_ERROR));
        }, milliseconds);
        const clear = (): void => clearTimeout(timer);
        next({
          onReceiveMessage: (message, deliver) => {
            if (method.requestStream) clear();
            deliver(message);
          },
          onReceiveHalfClose: (deliver) => {
            clear();
            deliver();
          },
          onCancel: clear,
        });
      },
    });
}

/** grpc-js keeps the HTTP/2 stream of a call to itself; the version is pinned, and without the field only the reset is lost. */
function streamOf(call: object): Http2Stream | undefined {
  return (call as { stream?: Http2Stream }).stream;
}
