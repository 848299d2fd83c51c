/**
 * The guest's `console`. Each entry leaves at once, attributed to the execution that runs. Lines of strings, numbers and the
 * like are put together here; all else is in the library `inspect`.
 */
import { runningExecution } from "../bindings.js";
import { withCallersPositions } from "../callers-positions.js";
import { callerFrame } from "../frames.js";
import { log } from "../host-asks.js";
import { inspectLibrary, simpleText } from "../inspect.js";
import { dateNow, defineProperty, indexOf, slice, stringify, toStringTag } from "../intrinsics.js";

/** UTF-16 units of an entry. */
export const ENTRY_LIMIT = 65_536;

const METHODS = [
  "debug",
  "log",
  "info",
  "warn",
  "error",
  "dir",
  "dirxml",
  "table",
  "trace",
  "assert",
  "group",
  "groupCollapsed",
  "groupEnd",
  "count",
  "countReset",
  "time",
  "timeLog",
  "timeEnd",
  "clear",
];

/** Executions that are inside of a group; the library indents what they write. */
let openGroups = 0;

export function setOpenGroups(count: number): void {
  openGroups = count;
}

export const console = {};
for (let i = 0; i < METHODS.length; i++) {
  const name = METHODS[i] as string;
  define(
    name,
    {
      [name](...values: unknown[]): void {
        call(name, values);
      },
    }[name],
  );
}
defineProperty(console, toStringTag, { __proto__: null, value: "console", configurable: true } as PropertyDescriptor);

function define(name: string, value: unknown): void {
  defineProperty(console, name, {
    __proto__: null,
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  } as PropertyDescriptor);
}

/** @param level one of the contract's */
export function writeEntry(level: string, text: string): void {
  // Finding the place takes twice as long as all the rest, so only entries that one wants to trace back have it.
  const caller =
    level === "warn" || level === "error" ? `,"caller":${stringify(withCallersPositions(callerFrame()))}` : "";
  const shown = stringify(slice(withCallersPositions(text), 0, ENTRY_LIMIT));
  log(runningExecution(), `{"level":"${level}","time":${dateNow()},"text":${shown}${caller}}`);
}

function call(name: string, values: unknown[]): void {
  switch (name) {
    case "log":
    case "debug":
    case "info":
    case "warn":
    case "error": {
      const text = openGroups > 0 ? undefined : plainText(values);
      return text === undefined ? inspectLibrary().write(name, values) : writeEntry(name, text);
    }
    case "clear":
      // There is no screen to clear.
      return;
    default:
      return inspectLibrary().callMethod(name, values);
  }
}

/** Values that need neither the library nor its formats; undefined for all others. */
function plainText(values: unknown[]): string | undefined {
  let text = "";
  for (let i = 0; i < values.length && text.length < ENTRY_LIMIT; i++) {
    const value = values[i];
    const shown = typeof value === "string" ? value : simpleText(value);
    if (shown === undefined) return undefined;
    if (i === 0 && values.length > 1 && typeof value === "string" && indexOf(value, "%") >= 0) return undefined;
    text = i === 0 ? shown : `${text} ${shown}`;
  }
  return text;
}
