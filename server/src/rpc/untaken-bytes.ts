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
  /** Whose it is: address and port of the connection. It is asked for when some are to be cut. */
  readonly peer: string;
  /** Ends the stream, with all that was not taken. */
  cut(): void;
}

export class UntakenBytes {
  readonly #most: number;
  readonly #readers = new Map<Reader, number>();
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
    const before = this.#readers.get(reader) ?? 0;
    if (bytes === before) return;
    this.#bytes += bytes - before;
    if (bytes > 0) this.#readers.set(reader, bytes);
    else this.#readers.delete(reader);
  }

  #heaviest(): Reader {
    const byPeer = new Map<string, number>();
    for (const [{ peer }, bytes] of this.#readers) byPeer.set(peer, (byPeer.get(peer) ?? 0) + bytes);
    const heaviestPeer = keyOfMost(byPeer);
    return keyOfMost([...this.#readers].filter(([{ peer }]) => peer === heaviestPeer));
  }
}

/** @param entries at least one; of several with the most it is the first */
function keyOfMost<Key>(entries: Iterable<readonly [Key, number]>): Key {
  return [...entries].reduce((most, entry) => (entry[1] > most[1] ? entry : most))[0];
}
