/**
 * What clients were answered and have not taken, of all streams together. A stream has its own bound; as many streams as clients may
 * open, each just below it, would be more than the process can hold. So it is with what has come of their messages (`ArrivingMessages`).
 */
import { getHeapStatistics } from "node:v8";

/** Buffers lie beside the heap of JavaScript, so a small one need not make this less. */
const MOST = Math.max(256 * 1024 * 1024, getHeapStatistics().heap_size_limit / 8);
/** A stream takes about as much itself; with less it is not counted. */
const SMALL = 16 * 1024;

/** Who takes what a stream is answered. */
export interface Reader {
  /** Whose it is: address and port of the connection. It is asked for when there is something to count. */
  readonly peer: string;
  /** Ends the stream, with all that was not taken. */
  cut(): void;
}

/** The readers of one connection, by what they have not taken. */
interface Connection {
  readonly readers: Map<Reader, number>;
  bytes: number;
}

export class UntakenBytes {
  readonly #most: number;
  readonly #connections = new Map<string, Connection>();
  /** Whose they are that are counted: of one that ends nobody can tell. */
  readonly #peers = new Map<Reader, string>();
  #bytes = 0;

  /** @param most bytes of all readers together; default: 256 MiB, or an eighth of what the heap may grow to where that is more */
  constructor(most = MOST) {
    this.#most = most;
  }

  /**
   * Counts what a reader has not taken by now, instead of what it had not before. Where all have more than there is room for, readers are
   * cut: of the connection that has most, the one that has most.
   */
  update(reader: Reader, bytes: number): void {
    this.#set(reader, bytes < SMALL ? 0 : bytes);
    while (this.#bytes > this.#most) {
      const heaviest = this.#heaviest();
      this.#set(heaviest, 0);
      heaviest.cut();
    }
  }

  #set(reader: Reader, bytes: number): void {
    const known = this.#peers.get(reader);
    if (known === undefined && bytes === 0) return;
    const peer = known ?? reader.peer;
    const connection = this.#connections.get(peer) ?? { readers: new Map(), bytes: 0 };
    const growth = bytes - (connection.readers.get(reader) ?? 0);
    connection.bytes += growth;
    this.#bytes += growth;
    if (bytes > 0) {
      connection.readers.set(reader, bytes);
      this.#peers.set(reader, peer);
      this.#connections.set(peer, connection);
    } else {
      connection.readers.delete(reader);
      this.#peers.delete(reader);
      if (connection.readers.size === 0) this.#connections.delete(peer);
    }
  }

  /** Looks at all connections and at the streams of one, which a client may not have many of, and never at all streams. */
  #heaviest(): Reader {
    const { readers } = mostOf(this.#connections.values(), ({ bytes }) => bytes);
    return mostOf(readers, ([, bytes]) => bytes)[0];
  }
}

/** @param items at least one; of several with the most it is the first */
function mostOf<Item>(items: Iterable<Item>, sizeOf: (item: Item) => number): Item {
  return [...items].reduce((most, item) => (sizeOf(item) > sizeOf(most) ? item : most));
}
