/** How a result leaves: in which arm, and as which text. What is no JSON is written by libraries. */
import { description } from "./description.js";
import { byteLength, keepBytes, StopCause, stopTurn } from "./host.js";
import { numberToString } from "./intrinsics.js";
import { library } from "./libraries.js";
import type * as copies from "./library/copies.js";
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

const UNDEFINED: EncodedResult = { arm: Arm.UNDEFINED, text: "", bytes: undefined };

/** Adds an effect that is a value. */
export function emitResult(kind: number, subject: number, result: EncodedResult): void {
  if (typeof result === "string") emitEffect(kind, subject, Arm.JSON, result);
  else
    emitEffect(
      kind,
      subject,
      result.arm,
      result.bytes === undefined ? result.text : numberToString(keepBytes(result.bytes)),
    );
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
      return description().asHandle(value, options);
    case Encoding.FULL:
      return inFull(value, options);
    default:
      return asData(value, options);
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
  return text === undefined || !fits(text, options) ? description().asHandle(value, options) : text;
}

function inFull(value: unknown, options: ResultOptions): EncodedResult | undefined {
  if (value === undefined) return UNDEFINED;
  const json = plainJson(value, false, options.valueBytes);
  if (json !== undefined) return fits(json, options) ? json : description().asHandle(value, options);
  // What need not be looked at closer to know that it cannot be copied.
  if (typeof value === "function" || typeof value === "symbol") return description().asHandle(value, options);
  if (typeof value === "object" && value !== null && isProxy(value)) return description().asHandle(value, options);
  return (library("copies") as typeof copies).asCopy(value, options);
}

/**
 * True where the text is within the limit of the caller. Text has at least one byte and at most three for each of
 * its UTF-16 units; only between is it
 * worth counting.
 */
export function fits(text: string, { valueBytes }: ResultOptions): boolean {
  if (text.length * 3 <= valueBytes) return true;
  return text.length <= valueBytes && byteLength(text) <= valueBytes;
}
