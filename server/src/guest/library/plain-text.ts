/**
 * Writes plain data as JSON text where the engine would ask guest code how to write it, or show it what it writes. The kernel relies on it,
 * so it follows the rules of intrinsics.ts.
 */
import { isArray, objectKeys, stringify } from "../intrinsics.js";

/** What JSON.stringify would write if no `toJSON` were inherited. */
export function write(value: unknown): string {
  if (typeof value !== "object" || value === null) return stringify(value as string);
  let text = "";
  if (isArray(value)) {
    for (let i = 0; i < value.length; i++) text += i === 0 ? write(value[i]) : `,${write(value[i])}`;
    return `[${text}]`;
  }
  const keys = objectKeys(value);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    const item = `${stringify(key)}:${write((value as Record<string, unknown>)[key])}`;
    text = i === 0 ? item : `${text},${item}`;
  }
  return `{${text}}`;
}
