import type { Writable } from "node:stream";

/** Messages that a stream is given before others have the thread: each takes it some 40 microseconds. */
const AT_ONCE = 50;

/** Gives a stream its messages, in order, and of many so many at a time. */
export class PacedWriter {
  readonly #stream: Writable;
  readonly #onChanged: (bytes: number) => void;
  readonly #waiting: Buffer[] = [];
  #onTheirWay = 0;
  #bytes = 0;
  #end: (() => void) | undefined;
  #isDropped = false;

  /** @param onChanged told how many bytes the stream has not taken, whenever it is something else */
  constructor(stream: Writable, onChanged: (bytes: number) => void) {
    this.#stream = stream;
    this.#onChanged = onChanged;
  }

  /** Bytes that the stream has not taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** After the end nothing is written. */
  write(message: Buffer): void {
    if (this.#end !== undefined) return;
    if (this.#waiting.length === 0 && this.#onTheirWay < AT_ONCE) this.#give(message);
    else this.#waiting.push(message);
    // Who hears of it may drop all that waits.
    this.#change(message.length);
  }

  /** Calls back when all that was written is on its way. */
  endWith(end: () => void): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    if (this.#onTheirWay === 0 && this.#waiting.length === 0) end();
  }

  /** The stream is gone: nothing more is written, and nobody called back. */
  drop(): void {
    this.#end = () => undefined;
    this.#waiting.length = 0;
    this.#change(-this.#bytes);
    this.#isDropped = true;
  }

  #change(bytes: number): void {
    if (this.#isDropped) return;
    this.#bytes += bytes;
    this.#onChanged(this.#bytes);
  }

  #give(message: Buffer): void {
    this.#onTheirWay++;
    this.#stream.write(message, () => {
      this.#change(-message.length);
      this.#onTheirWay--;
      if (this.#onTheirWay > 0) return;
      if (this.#waiting.length > 0) setImmediate(() => this.#giveNext());
      else this.#end?.();
    });
  }

  #giveNext(): void {
    for (const message of this.#waiting.splice(0, AT_ONCE)) this.#give(message);
  }
}
