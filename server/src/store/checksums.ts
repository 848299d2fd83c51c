/** Checksums of the rows of durable sessions. They cover what a row is found by: an index that is damaged finds the row of another. */
import { crc32 } from "node:zlib";

type Keys = readonly (string | number)[];

/** @param content of the row, beside its keys */
export function checksumOf(content: Uint8Array | string, ...keys: Keys): number {
  return withKeys(crc32(content), ...keys);
}

/** @param checksum of the content alone, which need not be read again */
export function withKeys(checksum: number, ...keys: Keys): number {
  return crc32(keys.join(" "), checksum);
}
