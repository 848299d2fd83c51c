/**
 * Room for bytes on their way to another thread, in memory that both see: posting large ones clones them into the message, and out of it
 * again into memory that nobody has touched. One thread puts bytes there and posts where they lie; the other copies them from there to
 * where they are to be, and answers; from then on the room may be used again.
 */

/** As much as a message of gRPC carries. */
const SIZE = 4 << 20;
/** Smaller ones are cloned faster than their place is told. */
const LEAST = 64 << 10;

export class BytesRoom {
  #room: Uint8Array<SharedArrayBuffer> | undefined;
  #used = 0;

  /** All that was put here was taken. */
  clear(): void {
    this.#used = 0;
  }

  /** A place for so many bytes, to be written to and then posted; of its own where there is none in the room. */
  place(length: number): Uint8Array {
    const end = this.#used + length;
    if (length < LEAST || end > SIZE) return new Uint8Array(length);
    this.#room ??= new Uint8Array(new SharedArrayBuffer(SIZE));
    const place = this.#room.subarray(this.#used, end);
    this.#used = end;
    return place;
  }

  /** A copy of bytes, to be posted. */
  put(bytes: Uint8Array): Uint8Array {
    const place = this.place(bytes.length);
    place.set(bytes);
    return place;
  }
}

/** Bytes that were posted, for as long as one likes. */
export function taken(bytes: Uint8Array): Uint8Array {
  return bytes.buffer instanceof SharedArrayBuffer ? Buffer.from(bytes) : bytes;
}
