/**
 * What has come of messages that are not handled, of all streams together. The library keeps it until they are whole, which on a stream
 * of many may be never, and until their handler reads on; and a handler keeps what it handles in parts.
 */
import type { Http2Stream } from "node:http2";
import type { Readable } from "node:stream";
import { type CountedStream, HeldBytes } from "./held-bytes.js";

/** What a piece of a message takes to be kept beside its bytes, which may be few. */
const PIECE = 128;
/** What has come of one message and more than it may take with its pieces; honest ones have some hundreds. */
const MOST_OF_ONE = 16 * 1024 * 1024;

export class ArrivingMessages {
  readonly #all: HeldBytes;

  /** @param most bytes of all streams together; default: as of answers that clients have not taken */
  constructor(most?: number) {
    this.#all = new HeldBytes(most);
  }

  /**
   * Counts what comes by a stream, and ends those of which most has come where that is too much.
   *
   * @param peerOf tells whose it is: address and port of the connection
   * @param end ends the stream
   * @returns to be called when its handler wants the next message
   */
  count(stream: Http2Stream, peerOf: () => string, end: () => void): () => void {
    let bytes = 0;
    let isOver = false;
    const taken = (): void => {
      bytes = 0;
      this.#all.update(reader, 0);
    };
    const cut = (): void => {
      isOver = true;
      taken();
      end();
    };
    let peer: string | undefined;
    const reader = {
      get peer() {
        peer ??= peerOf();
        return peer;
      },
      cut,
    };
    // Before the library's own, which may find that it is whole now, and give it to who wants it.
    stream.prependListener("data", ({ length }: Buffer) => {
      if (isOver) return;
      bytes += length + PIECE;
      if (bytes > MOST_OF_ONE) cut();
      else this.#all.update(reader, bytes);
    });
    stream.on("close", taken);
    return taken;
  }

  /** Counts what a handler was given of a stream and has not handled by now, instead of what it had not before. */
  update(handler: CountedStream, bytes: number): void {
    this.#all.update(handler, bytes);
  }
}

/** Of a stream whose handler has paused it one message is read, and not sixteen, each of which may have megabytes. */
export function readOneAhead(stream: Readable): void {
  (stream as unknown as { readonly _readableState: { highWaterMark: number } })._readableState.highWaterMark = 1;
}
