/** How a result leaves: in which arm, and as which text. */
import { description } from "./description.js";
import { graphCodec } from "./graph.js";
import { handleCount, retain } from "./handles.js";
import { byteLength, keepBytes, StopCause, stopTurn } from "./host.js";
import { numberToString, slice, stringify, typedArrayTag } from "./intrinsics.js";
import { library } from "./libraries.js";
import type * as bytes from "./library/bytes.js";
import { plainJson } from "./plain-json.js";
import { Arm, Encoding, emitEffect } from "./protocol.js";
import { isProxy } from "./proxies.js";

/** What a caller wants of a value. */
export interface ResultOptions {
  readonly encoding: number;
  /** Handles live in this group; undefined where none can live. */
  readonly group: string | undefined;
  /** The most bytes an encoded value may have. */
  readonly valueBytes: number;
  /** The most handles the session may hold afterwards. */
  readonly handles: number;
}

/**
 * A text alone is JSON: most results are that, and an object costs more than all else that is done with them. It may wait in
 * the session before it leaves, so bytes stay here until then.
 */
export type EncodedResult =
  | string
  | { readonly arm: number; readonly text: string; readonly bytes: ArrayBuffer | undefined };

const UNDEFINED = encoded(Arm.UNDEFINED, "");

function encoded(arm: number, text: string, bytes?: ArrayBuffer): EncodedResult {
  return { arm, text, bytes };
}

export function armOf(result: EncodedResult): number {
  return typeof result === "string" ? Arm.JSON : result.arm;
}

/** The text that leaves for a value: of bytes, which leave beside it, their number. It must leave in this turn. */
export function textOf(result: EncodedResult): string {
  if (typeof result === "string") return result;
  const { text, bytes } = result;
  return bytes === undefined ? text : numberToString(keepBytes(bytes));
}

/** Adds an effect that is a value. */
export function emitResult(kind: number, subject: number, result: EncodedResult): void {
  emitEffect(kind, subject, armOf(result), textOf(result));
}

const nativeStringify = JSON.stringify as (value: unknown) => string | undefined;

/**
 * Encodes what an execution gives. Guest code runs where the encoding asks for it (`toJSON`, getters of what is copied), and
 * what it throws is thrown here.
 *
 * @returns undefined where the turn is stopped because the value does not fit
 */
export function encodeResult(value: unknown, options: ResultOptions): EncodedResult | undefined {
  switch (options.encoding) {
    case Encoding.NONE:
      return UNDEFINED;
    case Encoding.JSON:
      return asJson(value, options);
    case Encoding.HANDLE:
      return asHandle(value, options);
    case Encoding.FULL:
      return inFull(value, options);
    default:
      return asData(value, options);
  }
}

/**
 * Adds what was thrown to its description, as the caller asked for values. Of an error the description tells all; and who
 * asked for no encoding is told what plain data it was.
 *
 * @param told JSON text of an object
 */
export function withThrownValue(told: string, thrown: unknown, options: ResultOptions): string {
  const { encoding, valueBytes, handles } = options;
  if (encoding === Encoding.UNSPECIFIED || encoding === Encoding.NONE || description().isError(thrown)) return told;
  // Where no more handles may live it is still told what it was.
  const group = handleCount() < handles ? options.group : undefined;
  try {
    const value = isBytes(thrown)
      ? asGraph(thrown, { encoding, valueBytes, handles, group })
      : encodeResult(thrown, { encoding, valueBytes, handles, group });
    if (value === undefined || value === UNDEFINED) return told;
    return `{"value":[${armOf(value)},${stringify(textOf(value))}],${slice(told, 1)}`;
  } catch {
    return told;
  }
}

function asJson(value: unknown, options: ResultOptions): EncodedResult | undefined {
  const text = nativeStringify(value);
  if (typeof text !== "string") return UNDEFINED;
  if (!fits(text, options)) return stopTurn(StopCause.VALUE_SIZE) as undefined;
  return text;
}

function asData(value: unknown, options: ResultOptions): EncodedResult | undefined {
  if (value === undefined) return UNDEFINED;
  const text = plainJson(value, true, options.valueBytes);
  return text === undefined || !fits(text, options) ? asHandle(value, options) : text;
}

function inFull(value: unknown, options: ResultOptions): EncodedResult | undefined {
  if (value === undefined) return UNDEFINED;
  const json = plainJson(value, false, options.valueBytes);
  if (json !== undefined) return fits(json, options) ? json : asHandle(value, options);
  if (mustStay(value)) return asHandle(value, options);
  if (isBytes(value)) {
    const { byteLength, bufferOf } = library("bytes") as unknown as typeof bytes;
    if (byteLength(value) > options.valueBytes) return asHandle(value, options);
    return encoded(Arm.BYTES, "", bufferOf(value));
  }
  return asGraph(value, options);
}

function asGraph(value: unknown, options: ResultOptions): EncodedResult | undefined {
  const text = graphCodec().encodeGraph(
    value,
    options.valueBytes,
    (whole) => fits(whole, options),
    (live) => idOf(live, options),
  );
  if (text === undefined) return asHandle(value, options);
  if (handleCount() > options.handles) return stopTurn(StopCause.HANDLES) as undefined;
  return encoded(Arm.GRAPH, text);
}

/** What need not be looked at closer to know that it cannot be copied. */
function mustStay(value: unknown): boolean {
  if (typeof value === "function" || typeof value === "symbol") return true;
  return typeof value === "object" && value !== null && isProxy(value);
}

function isBytes(value: unknown): value is Uint8Array {
  return typeof value === "object" && value !== null && typedArrayTag(value) === "Uint8Array";
}

function asHandle(value: unknown, options: ResultOptions): EncodedResult | undefined {
  const text = description().describeHandle(value, idOf(value, options));
  if (handleCount() > options.handles) return stopTurn(StopCause.HANDLES) as undefined;
  return encoded(Arm.HANDLE, text);
}

function idOf(value: unknown, { group }: ResultOptions): string {
  return group === undefined ? "" : retain(value, group);
}

/** Text has at least one byte and at most three for each of its UTF-16 units; only between is it worth counting. */
function fits(text: string, { valueBytes }: ResultOptions): boolean {
  if (text.length * 3 <= valueBytes) return true;
  return text.length <= valueBytes && byteLength(text) <= valueBytes;
}
