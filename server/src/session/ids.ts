/** Ids that callers choose, and those that are drawn for them. */
import { randomFillSync } from "node:crypto";
import { invalid } from "./errors.js";

const ID_LIMIT = 128;

const ID_BYTES = 16;

/** Random bytes for ids to come: to ask for them takes as long for many as for one. */
const drawn = new Uint8Array(64 * ID_BYTES);
let used = drawn.length;

/** 128 random bits as text. */
export function drawId(): string {
  if (used === drawn.length) {
    randomFillSync(drawn);
    used = 0;
  }
  const id = idOf(drawn.subarray(used));
  used += ID_BYTES;
  return id;
}

/** As much of some bytes as an id has, as text. None begins like a flag, which a shell would take it for. */
export function idOf(bytes: Uint8Array): string {
  const id = Buffer.from(bytes.buffer, bytes.byteOffset, ID_BYTES).toString("base64url");
  return id.startsWith("-") ? `_${id.slice(1)}` : id;
}

/**
 * Printable characters only: ids end up in logs and in file names.
 *
 * @throws SessionError INVALID_REQUEST
 */
export function checkId(field: string, id: string): void {
  if (id === "") throw invalid(field, "must not be empty; is the variable that should hold it unset?");
  if (id.length > ID_LIMIT) throw invalid(field, `must have at most ${ID_LIMIT} characters`);
  if (!/^[\x21-\x7e]+$/.test(id)) throw invalid(field, "must consist of visible ASCII characters");
}
