/** How deltas are kept: most of one are zeroes. */
import { promisify } from "node:util";
import { deflateRaw, deflateRawSync, inflateRaw } from "node:zlib";

/** More effort takes three times as long, and saves a tenth. */
const OPTIONS = { level: 1 };
/** What comes out at once on another thread: each piece waits here for what the thread does at that moment, such as a sync. */
const PIECES = { chunkSize: 1 << 20 };
/** What takes a few milliseconds at most, and less than the way to another thread. */
const SMALL_BYTES = 256 << 10;

const deflated = promisify(deflateRaw);
const inflated = promisify(inflateRaw);

/** Whether one is packed so soon that nobody minds waiting for it. */
export function isSmall({ length }: Uint8Array): boolean {
  return length <= SMALL_BYTES;
}

export function packed(delta: Uint8Array): Uint8Array {
  return deflateRawSync(delta, OPTIONS);
}

/** As `packed`, on another thread. */
export function packedApart(delta: Uint8Array): Promise<Uint8Array> {
  return deflated(delta, { ...OPTIONS, ...PIECES });
}

/** One after the other, each when it is asked for. @param deltas are taken out as they are given, so that nobody keeps them */
export async function* unpacked(deltas: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (let next = deltas.shift(); next !== undefined; next = deltas.shift()) {
    yield inflated(next, isSmall(next) ? {} : PIECES);
  }
}
