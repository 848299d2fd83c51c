/** Reads texts of the input that are always there. */
import { readOptionalText } from "./protocol.js";

export function readText(): string {
  return readOptionalText() ?? "";
}
