/** Writes values that JSON carries unchanged as JSON text; runs no guest code. What has to be looked through is for a library. */
import { isFiniteNumber, isWellFormed, numberToString, stringify } from "./intrinsics.js";
import { library } from "./libraries.js";

/** Size of a google.protobuf.Value beyond which decoding it would hold up a server's event loop. */
export const DATA_BYTES = 1 << 20;
/** What one value costs at most as google.protobuf.Value: tags, lengths, an 8-byte number, and bytes for UTF-16 units. */
export const DATA_COST = 16;
export const DATA_UNIT_COST = 3;
/** UTF-16 units of a string that is worth no closer look. */
const SHORT = 256;

type PlainJson = typeof import("./library/plain-json.js");

/**
 * Own enumerable properties with names are what a copy has; a value is plain if it has nothing else to lose.
 *
 * @param forPeople hold it within what the `data` arm carries, and let objects occur twice
 * @param limit the most bytes of text; what is certain to be longer is not even written
 * @param looked what the host said of the value, see result.ts
 * @returns JSON text, or undefined where JSON would change the value
 */
export function plainJson(value: unknown, forPeople: boolean, limit: number, looked = 0): string | undefined {
  if (typeof value === "number" && isFiniteNumber(value) && (value !== 0 || 1 / value > 0))
    return numberToString(value);
  const isShort = typeof value === "string" && value.length < SHORT && value.length < limit && isWellFormed(value);
  if (isShort || typeof value === "boolean" || value === null) return stringify(value as string);
  // What JSON knows nothing of: for a function, which many results are, nothing is loaded.
  if (typeof value !== "object" && typeof value !== "string") return undefined;
  return (library("plain-json") as PlainJson).write(value, forPeople, limit, looked);
}

/** Whether a well-formed string is within what the `data` arm carries. */
export function isDataString(value: string): boolean {
  return DATA_COST + value.length * DATA_UNIT_COST <= DATA_BYTES;
}
