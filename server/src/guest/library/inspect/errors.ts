/** Errors: `Name: message`, the frames of guest code, and in braces what else they carry. */
import { isKernelFrame, isKernelsCall } from "../../frames.js";
import { dataProperty, indexOf, list, slice } from "./captured.js";
import type { Context } from "./context.js";
import { ownData, prefixOf } from "./names.js";
import { indented, lines, spaces } from "./text.js";

const NAME_LIMIT = 200;
const MESSAGE_LIMIT = 10_000;
const LINE_LIMIT = 500;
const FRAMES = 50;

/** In brackets where the error has no frames. */
export function errorText(context: Context, error: object, className: string | null, tag: string): string {
  const head = headOf(error, className, tag);
  const stack = dataProperty(error, "stack");
  const frames = context.singleLine || typeof stack !== "string" ? "" : guestFrames(stack);
  const text = frames === "" ? `[${head}]` : head + frames;
  return indented(text, spaces(context.indentation));
}

/** As its `toString` would say it; the class stands before a name that does not tell it. */
function headOf(error: object, className: string | null, tag: string): string {
  const given = dataProperty(error, "name");
  let name = typeof given === "string" ? slice(given, 0, NAME_LIMIT) : "Error";
  const label = prefixOf(className, tag, "Error");
  const kind = slice(label, 0, label.length - 1);
  const isRegular = className === null || endsInError(name);
  if (isRegular && name !== kind) name = indexOf(kind, name) >= 0 ? kind : `${kind} [${name}]`;
  const message = dataProperty(error, "message");
  if (typeof message !== "string" || message === "") return name;
  const text = slice(message, 0, MESSAGE_LIMIT);
  return name === "" ? text : `${name}: ${text}`;
}

function endsInError(name: string): boolean {
  return name.length >= 5 && slice(name, name.length - 5) === "Error";
}

/** The frames of a stack, each on a line of its own, without the kernel's and what the kernel calls guest code by. */
export function guestFrames(stack: string): string {
  const all = lines(stack);
  let count = all.length;
  while (count > 0 && isMachinery(all[count - 1] as string)) count--;
  let text = "";
  let shown = 0;
  for (let i = 0; i < count && shown < FRAMES; i++) {
    const line = all[i] as string;
    if (line === "" || isKernelFrame(line) || (isKernelsCall(line) && isKernelFrame(all[i + 1] ?? ""))) continue;
    text += `\n${slice(line, 0, LINE_LIMIT)}`;
    shown++;
  }
  return text;
}

function isMachinery(line: string): boolean {
  return line === "" || isKernelFrame(line) || slice(line, line.length - 8) === "(native)";
}

/** Keys to be shown: not those whose text stands before the braces already. */
export function errorKeys(error: object, keys: readonly (string | symbol)[]): (string | symbol)[] {
  const kept = list<string | symbol>();
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string | symbol;
    const isTold =
      key === "stack" || ((key === "name" || key === "message") && typeof ownData(error, key) === "string");
    if (!isTold) kept[kept.length] = key;
  }
  addHidden(error, keys, kept, "cause");
  addHidden(error, keys, kept, "errors");
  return kept;
}

function addHidden(error: object, keys: readonly (string | symbol)[], kept: (string | symbol)[], key: string): void {
  for (let i = 0; i < keys.length; i++) if (keys[i] === key) return;
  if (ownData(error, key) !== undefined) kept[kept.length] = key;
}
