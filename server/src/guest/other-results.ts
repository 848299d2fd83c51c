/** What only libraries do with results. In the kernel each session would carry it. */
import { retain } from "./handle-entries.js";
import { keepBytes } from "./host.js";
import { numberToString, stringify } from "./intrinsics.js";
import { Arm } from "./protocol.js";
import type { EncodedResult, ResultOptions } from "./result.js";

export function armOf(result: EncodedResult): number {
  return typeof result === "string" || result.arm === Arm.STRING ? Arm.JSON : result.arm;
}

/** The text that leaves for a value: of bytes, which leave beside it, their number. It must leave in this turn. */
export function textOf(result: EncodedResult): string {
  if (typeof result === "string") return result;
  const { arm, text, bytes } = result;
  // Within other JSON text.
  if (arm === Arm.STRING) return stringify(text);
  return bytes === undefined ? text : numberToString(keepBytes(bytes));
}

/** A handle of the value in the group of the caller; empty where none can live. */
export function idOf(value: unknown, { group }: ResultOptions): string {
  return group === undefined ? "" : retain(value, group);
}
