/** Snapshots as docs/snapshots.md describes them, signed by whoever knows the key. */
import { createHmac } from "node:crypto";

const MAC_BYTES = 32;
/** Where the version of the format stands. */
export const VERSION_AT = 8;

/** The bytes with another MAC: as if a holder of the key had written them, for this tenant. */
export function sealedAgain(snapshot: Uint8Array, key: Uint8Array, tenant = ""): Buffer {
  const body = Buffer.from(snapshot.subarray(0, snapshot.length - MAC_BYTES));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(tenant));
  return Buffer.concat([body, createHmac("sha256", key).update(length).update(tenant).update(body).digest()]);
}
