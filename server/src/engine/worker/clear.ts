/** Clearing shared memory. */

/** Node copies these in blocks. `TypedArray.prototype.fill` writes shared memory byte by byte, which takes ten times as long. */
const ZEROES = Buffer.alloc(65_536);

/** Writes zeroes into a range of a buffer. @param start in bytes, as is `end` */
export function clear(buffer: ArrayBufferLike, start: number, end = buffer.byteLength): void {
  if (end > start) Buffer.from(buffer, start, end - start).fill(ZEROES);
}
