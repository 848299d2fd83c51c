/** What a caller is told of what was thrown: its description, and the value itself where it asked for values. */
import { describeThrown } from "./errors.js";
import { handleCount } from "./handle-lookup.js";
import { isError } from "./inspect.js";
import { slice, stringify, typedArrayTag } from "./intrinsics.js";
import { library } from "./libraries.js";
import type * as copies from "./library/copies.js";
import { armOf, textOf } from "./other-results.js";
import { Arm, Encoding } from "./protocol.js";
import { encodeResult, type ResultOptions } from "./result.js";

/**
 * Of an error the description tells all; and who asked for no encoding is told what plain data it was.
 *
 * @returns JSON text of an object
 */
export function tellThrown(thrown: unknown, options: ResultOptions): string {
  const told = describeThrown(thrown);
  const { encoding, valueBytes, handles } = options;
  if (encoding === Encoding.UNSPECIFIED || encoding === Encoding.NONE || isError(thrown)) return told;
  // Where no more handles may live it is still told what it was.
  const group = handleCount() < handles ? options.group : undefined;
  const asked = { encoding, valueBytes, handles, group };
  try {
    const value = isBytes(thrown)
      ? (library("copies") as typeof copies).asGraph(thrown, asked)
      : encodeResult(thrown, asked);
    if (value === undefined || armOf(value) === Arm.UNDEFINED) return told;
    return `{"value":[${armOf(value)},${stringify(textOf(value))}],${slice(told, 1)}`;
  } catch {
    return told;
  }
}

function isBytes(value: unknown): boolean {
  return typeof value === "object" && value !== null && typedArrayTag(value) === "Uint8Array";
}
