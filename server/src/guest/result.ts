/** How a result leaves: in which arm, and as which text. What is no JSON is written by libraries. */
import { description } from "./description.js";
import {
  byteLength,
  jsonByteLength,
  keepBytes,
  keepObject,
  keepString,
  NOT_PLAIN,
  StopCause,
  stopTurn,
} from "./host.js";
import { isWellFormed, numberToString, stringify } from "./intrinsics.js";
import { library } from "./libraries.js";
import type * as copies from "./library/copies.js";
import { isDataString, plainJson } from "./plain-json.js";
import { Arm, EffectKind, Encoding, emitEffect } from "./protocol.js";
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

/** UTF-16 units from which on the host writes the JSON text of a string. */
const LONG_STRING = 256;
/** The most bytes of JSON text for one of them. */
const JSON_UNIT = 6;

const UNDEFINED: EncodedResult = { arm: Arm.UNDEFINED, text: "", bytes: undefined };

/** Adds an effect that is a value. */
export function emitResult(kind: number, subject: number, result: EncodedResult): void {
  if (typeof result === "string") return emitEffect(kind, subject, Arm.JSON, result);
  const { arm, text, bytes } = result;
  if (bytes !== undefined) return emitEffect(kind, subject, arm, numberToString(keepBytes(bytes)));
  const kept = arm === Arm.STRING ? keepString(text) : -1;
  if (kept >= 0) emitEffect(kind, subject, arm, numberToString(kept));
  else if (arm === Arm.STRING) emitEffect(kind, subject, Arm.JSON, stringify(text));
  else emitEffect(kind, subject, arm, text);
}

/**
 * Adds the effect that an execution has this value, where the host can write it, which takes a small part of the time.
 *
 * @returns 0 where it has; else what `keepObject` says of the value
 */
export function emitObject(value: unknown, subject: number, { encoding, valueBytes }: ResultOptions): number {
  if (typeof value !== "object" || value === null || encoding > Encoding.FULL) return -1;
  const kept = keepObject(value, encoding === Encoding.FULL ? valueBytes : -valueBytes);
  if (kept < 0) return kept;
  emitEffect(EffectKind.VALUE, subject, Arm.STRING, numberToString(kept));
  return 0;
}

const nativeStringify = JSON.stringify as (value: unknown) => string | undefined;

/**
 * Encodes what an execution gives. Guest code runs where the encoding asks for it (`toJSON`, getters of what is copied), and
 * what it throws is thrown here.
 *
 * @param looked what `keepObject` says of the value; 0 where it was not asked
 * @returns undefined where the turn is stopped because the value does not fit
 */
export function encodeResult(value: unknown, options: ResultOptions, looked = 0): EncodedResult | undefined {
  switch (options.encoding) {
    case Encoding.NONE:
      return UNDEFINED;
    case Encoding.JSON:
      return asJson(value, options);
    case Encoding.HANDLE:
      return description().asHandle(value, options);
    case Encoding.FULL:
      return inFull(value, options, looked);
    default:
      return asData(value, options, looked);
  }
}

/** Undefined for all but a long string that fits, and of which the host can write the JSON text. */
function asLongString(value: unknown, { valueBytes }: ResultOptions): EncodedResult | undefined {
  if (typeof value !== "string" || value.length < LONG_STRING || !isWellFormed(value)) return undefined;
  const isCertain = value.length * JSON_UNIT + 2 <= valueBytes;
  if (!isCertain && (value.length > valueBytes || jsonByteLength(value) > valueBytes)) return undefined;
  return { arm: Arm.STRING, text: value, bytes: undefined };
}

function asJson(value: unknown, options: ResultOptions): EncodedResult | undefined {
  const string = asLongString(value, options);
  if (string !== undefined) return string;
  const text = nativeStringify(value);
  if (typeof text !== "string") return UNDEFINED;
  if (!fits(text, options)) return stopTurn(StopCause.VALUE_SIZE) as undefined;
  return text;
}

function asData(value: unknown, options: ResultOptions, looked: number): EncodedResult | undefined {
  if (value === undefined) return UNDEFINED;
  const string = asLongString(value, options);
  if (string !== undefined && isDataString(value as string)) return string;
  const text = looked === NOT_PLAIN ? undefined : plainJson(value, true, options.valueBytes, looked);
  return text === undefined || !fits(text, options) ? description().asHandle(value, options) : text;
}

function inFull(value: unknown, options: ResultOptions, looked: number): EncodedResult | undefined {
  if (value === undefined) return UNDEFINED;
  const string = asLongString(value, options);
  if (string !== undefined) return string;
  const json = looked === NOT_PLAIN ? undefined : plainJson(value, false, options.valueBytes, looked);
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
