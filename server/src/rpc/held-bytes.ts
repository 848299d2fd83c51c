/**
 * What is held for streams, of all of them together: answers that clients have not taken, and what has come of their messages. A stream
 * has its own bound; as many streams as clients may open, each just below it, would be more than the process can hold.
 */
import { getHeapStatistics } from "node:v8";

/** Buffers lie beside the heap of JavaScript, so a small one need not make this less. */
const MOST = Math.max(256 * 1024 * 1024, getHeapStatistics().heap_size_limit / 8);
/** A stream takes about as much itself; with less it is not counted. */
const SMALL = 16 * 1024;

/** A stream that bytes are held for; those for its answers and those for its messages are counted as of two. */
export interface CountedStream {
  /** Whose it is: address and port of the connection. It is asked for when there is something to count. */
  readonly peer: string;
  /** Ends it, with all that is held for it. */
  cut(): void;
}

/** The streams of one connection, by what is held for them. */
interface Connection {
  readonly streams: Map<CountedStream, number>;
  bytes: number;
}

export class HeldBytes {
  readonly #most: number;
  readonly #connections = new Map<string, Connection>();
  /** Whose they are that are counted: of one that ends nobody can tell. */
  readonly #peers = new Map<CountedStream, string>();
  #bytes = 0;

  /** @param most bytes for all streams together; default: 256 MiB, or an eighth of what the heap may grow to where that is more */
  constructor(most = MOST) {
    this.#most = most;
  }

  /**
   * Counts what is held for a stream by now, instead of what was before. Where that of all is more than there is room for, streams are cut:
   * of the connection that has most, the one that has most.
   */
  update(stream: CountedStream, bytes: number): void {
    this.#set(stream, bytes < SMALL ? 0 : bytes);
    while (this.#bytes > this.#most) {
      const heaviest = this.#heaviest();
      this.#set(heaviest, 0);
      heaviest.cut();
    }
  }

  #set(stream: CountedStream, bytes: number): void {
    const known = this.#peers.get(stream);
    if (known === undefined && bytes === 0) return;
    const peer = known ?? stream.peer;
    const connection = this.#connections.get(peer) ?? { streams: new Map(), bytes: 0 };
    const growth = bytes - (connection.streams.get(stream) ?? 0);
    connection.bytes += growth;
    this.#bytes += growth;
    if (bytes > 0) {
      connection.streams.set(stream, bytes);
      this.#peers.set(stream, peer);
      this.#connections.set(peer, connection);
    } else {
      connection.streams.delete(stream);
      this.#peers.delete(stream);
      if (connection.streams.size === 0) this.#connections.delete(peer);
    }
  }

  /** Looks at all connections and at the streams of one, which a client may not have many of, and never at all streams. */
  #heaviest(): CountedStream {
    const { streams } = mostOf(this.#connections.values(), ({ bytes }) => bytes);
    return mostOf(streams, ([, bytes]) => bytes)[0];
  }
}

/** @param items at least one; of several with the most it is the first */
function mostOf<Item>(items: Iterable<Item>, sizeOf: (item: Item) => number): Item {
  return [...items].reduce((most, item) => (sizeOf(item) > sizeOf(most) ? item : most));
}
