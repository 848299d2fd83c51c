/**
 * The guest's `console`. Each entry leaves at once, attributed to the execution that runs. Lines of strings, numbers and the
 * like are put together here; all else is in the library `inspect`.
 */
import { log } from "./host.js";
import { ENTRY_LIMIT, hasInspectLibrary, inspectLibrary, setConsoleOutput, simpleText } from "./inspect.js";
import { defineProperty, indexOf, KernelError, ownValue, slice, stringify, toStringTag } from "./intrinsics.js";

const LEVELS = ["debug", "log", "info", "warn", "error"] as const;
const METHODS = [
  ...["dir", "dirxml", "table", "trace", "assert", "group", "groupCollapsed", "groupEnd"],
  ...["count", "countReset", "time", "timeLog", "timeEnd"],
];
/** Set in engine/worker/boot.ts. */
const KERNEL_FILENAME = "livescope:kernel";
const { now } = Date;

type Method = (...values: unknown[]) => void;

export function installConsole(currentExecution: () => number): void {
  const console: Record<string, Method> = {};
  const write = (level: string, text: string): void => {
    // Finding the place takes twice as long as all the rest, so only entries that one wants to trace back have it.
    const caller = level === "warn" || level === "error" ? `,"caller":${stringify(callerLine())}` : "";
    log(`{"execution":${currentExecution()},"level":"${level}","time":${now()},"text":${stringify(text)}${caller}}`);
  };
  const add = (name: string, method: (name: string, values: unknown[]) => void): void => {
    console[name] = {
      [name](...values: unknown[]): void {
        method(name, values);
      },
    }[name] as Method;
  };
  const logPlainly = (level: string, values: unknown[]): void => {
    const text = hasInspectLibrary() ? undefined : plainText(values);
    if (text === undefined) inspectLibrary().write(level, values);
    else write(level, slice(text, 0, ENTRY_LIMIT));
  };
  for (let i = 0; i < LEVELS.length; i++) add(LEVELS[i] as string, logPlainly);
  for (let i = 0; i < METHODS.length; i++)
    add(METHODS[i] as string, (name, values) => inspectLibrary().callMethod(name, values));
  // There is no screen to clear.
  add("clear", () => undefined);
  setConsoleOutput({ write, execution: currentExecution, now, stack });
  defineProperty(console, toStringTag, { value: "console", configurable: true });
  defineProperty(globalThis, "console", { value: console, writable: true, enumerable: false, configurable: true });
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

/** The stack of whoever called the console, the kernel's own frames still on top. */
function stack(): string {
  const text = ownValue(new KernelError(), "stack");
  return typeof text === "string" ? text : "";
}

/** The innermost frame that is not the kernel's; empty where there is none. */
function callerLine(): string {
  const text = stack();
  let from = 0;
  for (let end = indexOf(text, "\n"); end >= 0; end = indexOf(text, "\n", from)) {
    const line = slice(text, from, end);
    if (indexOf(line, KERNEL_FILENAME) < 0) return slice(line, 0, 500);
    from = end + 1;
  }
  return "";
}
