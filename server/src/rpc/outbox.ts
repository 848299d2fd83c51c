/**
 * What a stream has still to say to its client: encoded, counted, and handed to the transport one message at a time. What is
 * said in one tick, or while the transport is busy with the message before, travels in one message.
 */

/** The transport: takes one message, and calls back when it is on its way. */
export type Send = (message: Buffer, taken: () => void) => void;

interface Part {
  readonly bytes: Uint8Array;
  readonly taken: (() => void) | undefined;
}

/** A message is not made longer than this by joining parts: others of the connection want to be heard between. */
const JOINED_BYTES = 256 * 1024;

export class Outbox {
  readonly #send: Send;
  readonly #onTaken: () => void;
  #parts: Part[] = [];
  #bytes = 0;
  #isScheduled = false;
  #isSending = false;
  #isClosed = false;

  /**
   * @param send is not called again before the message that it was called with is taken
   * @param onTaken called whenever the transport took a message
   */
  constructor(send: Send, onTaken: () => void) {
    this.#send = send;
    this.#onTaken = onTaken;
  }

  /** Bytes that the transport has not taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * @param bytes an encoded message; those of one tick are joined, which makes one message of the items of their repeated
   *   fields
   * @param taken called when the transport has taken it
   */
  push(bytes: Uint8Array, taken?: () => void): void {
    if (this.#isClosed) return;
    this.#parts.push({ bytes, taken });
    this.#bytes += bytes.length;
    if (this.#isScheduled || this.#isSending) return;
    this.#isScheduled = true;
    // After all that the running tick still does, its promises included.
    queueMicrotask(() => process.nextTick(() => this.#flush()));
  }

  /** Lets go of what was not taken; what is pushed from now on goes nowhere. */
  close(): void {
    this.#isClosed = true;
    this.#parts = [];
    this.#bytes = 0;
  }

  #flush(): void {
    this.#isScheduled = false;
    if (this.#isSending || this.#parts.length === 0) return;
    const parts = this.#nextParts();
    const size = parts.reduce((sum, { bytes }) => sum + bytes.length, 0);
    this.#isSending = true;
    this.#send(joined(parts, size), () => {
      this.#isSending = false;
      if (this.#isClosed) return;
      this.#bytes -= size;
      for (const { taken } of parts) taken?.();
      this.#flush();
      this.#onTaken();
    });
  }

  /** At least one. */
  #nextParts(): Part[] {
    let size = 0;
    const end = this.#parts.findIndex(({ bytes }, i) => {
      size += bytes.length;
      return i > 0 && size > JOINED_BYTES;
    });
    return end < 0 ? this.#parts.splice(0) : this.#parts.splice(0, end);
  }
}

function joined(parts: readonly Part[], size: number): Buffer {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) {
    return Buffer.from(first.bytes.buffer, first.bytes.byteOffset, first.bytes.byteLength);
  }
  return Buffer.concat(
    parts.map(({ bytes }) => bytes),
    size,
  );
}
