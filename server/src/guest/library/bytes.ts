/** The bytes of a Uint8Array that leaves. The kernel relies on it, so it follows the rules of intrinsics.ts. */
import { apply, construct } from "../intrinsics.js";
import { BytesOf } from "../natives.js";
import { originals } from "../originals.js";

export function byteLength(view: object): number {
  return apply(originals.bytesLength, view, []) as number;
}

/** A buffer that holds the bytes of the view and no others. */
export function bufferOf(view: object): ArrayBuffer {
  const exact = construct(BytesOf, [byteLength(view)]) as object;
  apply(originals.bytesSet, exact, [view as Uint8Array]);
  return apply(originals.bytesBuffer, exact, []) as ArrayBuffer;
}
