/** How values become text. */
import { isPromise } from "../../host.js";
import { defineProperty, isWellFormed, KernelTypeError, slice } from "../../intrinsics.js";
import { charCodeAt, regexpExec, stringFrom, toWellFormed } from "../../methods.js";

const SPECIAL = /[&<>"']/g;
let find: { run(text: string): { readonly 0: string; readonly index: number } | null; lastIndex: number } | undefined;

/** The expression with the engine's own method as its own: whatever guest code made of the prototype. */
function finder(): NonNullable<typeof find> {
  if (find === undefined) {
    defineProperty(SPECIAL, "run", { __proto__: null, value: regexpExec } as PropertyDescriptor);
    find = SPECIAL as unknown as NonNullable<typeof find>;
  }
  return find;
}

/** What `{{ }}` prints, safe as HTML text and inside quoted attributes. */
export function escapeHtml(value: unknown): string {
  if (typeof value === "number") return `${value}`;
  const plain = text(value);
  const special = find ?? finder();
  special.lastIndex = 0;
  let found = special.run(plain);
  if (found === null) return plain;
  let escaped = "";
  let from = 0;
  while (found !== null) {
    escaped += slice(plain, from, found.index) + entity(found[0]);
    from = found.index + 1;
    found = special.run(plain);
  }
  return escaped + slice(plain, from);
}

function entity(character: string): string {
  switch (character) {
    case "&":
      return "&amp;";
    case "<":
      return "&lt;";
    case ">":
      return "&gt;";
    case '"':
      return "&quot;";
    default:
      return "&#39;";
  }
}

/** What `{% raw %}` prints: null and undefined nothing, all else as a string. */
export function text(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "";
  if (typeof value === "object" && isPromise(value)) {
    throw new KernelTypeError("a promise cannot be printed: write `await` before what gives it");
  }
  return stringFrom(value);
}

/** What `{{ }}` prints under `{% autoescape escaper %}`. */
export function custom(value: unknown, escaper: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof escaper !== "function") throw new KernelTypeError("what {% autoescape %} names is not a function");
  return text(escaper(text(value)));
}

/** Text leaves as UTF-8, which has no lone surrogates. */
export function wellFormed(value: string): string {
  return isWellFormed(value) ? value : toWellFormed(value);
}

/** What of a text may be sent before the rest of it is known: all but a half of a pair at its end. */
export function piece(value: string): string {
  return wellFormed(slice(value, 0, value.length - rest(value).length));
}

/** What `piece` leaves. */
export function rest(value: string): string {
  const last = charCodeAt(value, value.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? slice(value, value.length - 1) : "";
}
