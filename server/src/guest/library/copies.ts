/**
 * Results that travel, and not as JSON: bytes, and graphs. The kernel relies on it, so it follows the rules of intrinsics.ts.
 */
import { description } from "../description.js";
import { graphCodec } from "../graph.js";
import { handleCount } from "../handle-lookup.js";
import { StopCause, stopTurn } from "../host.js";
import { apply, construct, typedArrayTag } from "../intrinsics.js";
import { BytesOf } from "../natives.js";
import { originals } from "../originals.js";
import { idOf } from "../other-results.js";
import { Arm } from "../protocol.js";
import { type EncodedResult, fits, type ResultOptions } from "../result.js";

/** @returns undefined where the turn is stopped because the value does not fit */
export function asCopy(value: unknown, options: ResultOptions): EncodedResult | undefined {
  return isBytes(value) ? asBytes(value, options) : asGraph(value, options);
}

function isBytes(value: unknown): value is Uint8Array {
  return typeof value === "object" && value !== null && typedArrayTag(value) === "Uint8Array";
}

function asBytes(value: Uint8Array, options: ResultOptions): EncodedResult | undefined {
  const length = apply(originals.bytesLength, value, []) as number;
  const isGone = apply(originals.detached, apply(originals.bytesBuffer, value, []), []) === true;
  if (isGone || length > options.valueBytes) return description().asHandle(value, options);
  // A buffer that holds the bytes of the view and no others.
  const exact = construct(BytesOf, [length]) as object;
  // Of a view that its buffer has shrunk away from nothing can be read.
  if (length > 0) apply(originals.bytesSet, exact, [value]);
  return { arm: Arm.BYTES, text: "", bytes: apply(originals.bytesBuffer, exact, []) as ArrayBuffer };
}

export function asGraph(value: unknown, options: ResultOptions): EncodedResult | undefined {
  const text = graphCodec().encodeGraph(
    value,
    options.valueBytes,
    (whole) => fits(whole, options),
    (live) => idOf(live, options),
  );
  if (text === undefined) return description().asHandle(value, options);
  if (handleCount() > options.handles) return stopTurn(StopCause.HANDLES) as undefined;
  return { arm: Arm.GRAPH, text, bytes: undefined };
}
