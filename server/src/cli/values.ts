/** Values that came out of a session, as text for people and as JSON for programs. */
import { inspect } from "node:util";
import { Preview } from "@livescope/sdk";

const ONE_LINE_LENGTH = 200;

// What stayed in its session is shown as the session describes it, also within other values.
Object.defineProperty(Preview.prototype, inspect.custom, {
  value(this: Preview) {
    return this.preview;
  },
});

/** What `node -p` would print: a string as it is, all else as code. */
export function printed(value: unknown, colors: boolean): string {
  return typeof value === "string" ? value : inspect(value, { colors });
}

/** Such values are never copied, however small. */
const NEVER_COPIED = new Set(["function", "symbol", "promise"]);

/** Whether a value stayed in its session for its size alone, as far as its description tells: some objects cannot be copied either. */
export function isTooLarge(value: unknown): boolean {
  if (!(value instanceof Preview) || NEVER_COPIED.has(value.type)) return false;
  return value.type !== "object" || value.preview.startsWith("{");
}

/** A value on one line, cut where it is long. */
export function onOneLine(value: unknown): string {
  const text = inspect(value, { breakLength: Number.POSITIVE_INFINITY, maxStringLength: ONE_LINE_LENGTH });
  return text.length > ONE_LINE_LENGTH ? `${text.slice(0, ONE_LINE_LENGTH - 1)}…` : text;
}

/** The members that tell a value in JSON: always `preview`, a text for people, and `value` if JSON can carry it. */
export function valueAsJson(value: unknown): { readonly preview: string; readonly value?: unknown } {
  const preview = inspect(value);
  return isPlain(value, new Set()) ? { value, preview } : { preview };
}

/** Whether JSON gives back an equal value. `above` are the objects that it stands in. */
function isPlain(value: unknown, above: Set<object>): boolean {
  if (typeof value === "number") return Number.isFinite(value) && !Object.is(value, -0);
  if (typeof value !== "object") return typeof value === "string" || typeof value === "boolean";
  if (value === null) return true;
  if (above.has(value)) return false;
  const isList = Array.isArray(value);
  const members = Object.values(value);
  if (isList ? members.length !== value.length : Object.getPrototypeOf(value) !== Object.prototype) return false;
  above.add(value);
  const areAllPlain = members.every((member) => isPlain(member, above));
  above.delete(value);
  return areAllPlain;
}
