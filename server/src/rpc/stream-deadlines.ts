/**
 * Streams that their clients would hold for ever are ended by the server: of a request that does not arrive whole, since half a
 * message was sent or nobody says that it is done; and of an answer that is over, but that the client leaves where it is. Before that,
 * what it leaves is counted, and what has come of a message. Streams that are too many of all together do not begin.
 *
 * The layer that this puts around a call has another use: what ends after it was answered does not reach its handler. The call of the
 * library itself would let it through.
 */
import type { Http2Stream } from "node:http2";
import { constants } from "node:http2";
import { status as Code, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import type { ArrivingMessages } from "./arriving-messages.js";
import type { HeldBytes } from "./held-bytes.js";
import type { StreamRoom } from "./stream-room.js";

const TOO_MANY = "the server has as many open streams as it may; end some that this connection has, or try again later";
const TOO_MUCH =
  "too much has come of messages that are not whole; send fewer at once, and each without pauses and in larger pieces";

export interface StreamDeadlines {
  /** Milliseconds from the headers to the end of a request that is one message, or to the first of several. */
  readonly receive: number;
  /** Milliseconds without the client taking anything of an answer that is over. */
  readonly take: number;
}

/**
 * @param untaken where the answers are counted that were given and not taken
 * @param arriving where it is counted what has come of messages that their handlers were not given
 * @param room of all streams: one that there is no room for is refused
 */
export function streamDeadlines(
  { receive, take }: StreamDeadlines,
  untaken: HeldBytes,
  arriving: ArrivingMessages,
  room: StreamRoom,
): ServerInterceptor {
  return (method, call) => {
    const stream = streamOf(call);
    let countUntaken: (() => void) | undefined;
    let taken = (): void => undefined;
    const counted = new ServerInterceptingCall(call, {
      start: (next) => {
        const end = (code: Code, details: string): void => {
          call.sendStatus({ code, details });
          // A status alone leaves the client's half of the stream open.
          setImmediate(() => stream?.close(constants.NGHTTP2_NO_ERROR));
        };
        if (stream !== undefined && !room.take(stream)) return end(Code.RESOURCE_EXHAUSTED, TOO_MANY);
        const timer = setTimeout(() => {
          end(Code.DEADLINE_EXCEEDED, `the request did not arrive whole within ${receive} ms`);
        }, receive);
        const clear = (): void => clearTimeout(timer);
        if (stream !== undefined) {
          resetIfLeft(stream, take);
          const tooMuch = (): void => end(Code.RESOURCE_EXHAUSTED, TOO_MUCH);
          taken = arriving.count(stream, () => call.getPeer(), tooMuch);
        }
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
      sendMessage: (message, next) => {
        next(message);
        if (!stream?.writableNeedDrain) return;
        countUntaken ??= counterOf(stream, call.getPeer(), untaken);
        countUntaken();
      },
    });
    const startRead = counted.startRead.bind(counted);
    counted.startRead = () => {
      taken();
      startRead();
    };
    return counted;
  };
}

/** @returns to be called when more was written to the stream */
function counterOf(stream: Http2Stream, peer: string, untaken: HeldBytes): () => void {
  const cut = (): void => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  const reader = { peer, cut };
  const taken = (): void => untaken.update(reader, 0);
  stream.on("drain", taken);
  stream.on("close", taken);
  return () => untaken.update(reader, stream.writableLength);
}

/** Resets a stream that is at its end when nothing of it was taken for so long; while it lasts its reader may be slow. */
function resetIfLeft(stream: Http2Stream, milliseconds: number): void {
  stream.setTimeout(milliseconds, () => {
    if (stream.writableEnded) stream.close(constants.NGHTTP2_CANCEL);
    else resetIfLeft(stream, milliseconds);
  });
}

/** grpc-js keeps the HTTP/2 stream of a call to itself; the version is pinned, and without the field only the resets are lost. */
function streamOf(call: object): Http2Stream | undefined {
  return (call as { stream?: Http2Stream }).stream;
}
