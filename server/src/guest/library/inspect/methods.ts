/** The methods of `console` beyond plain logging, and what they remember. */

import { runningExecution } from "../../bindings.js";
import { openExecution } from "../../executions.js";
import { currentStack } from "../../frames.js";
import { clock } from "../../host-asks.js";
import { ENTRY_LIMIT, setOpenGroups, writeEntry } from "../console.js";
import { isProxy, list, SafeMap, slice } from "./captured.js";
import { guestFrames } from "./errors.js";
import { format, inspect, shown } from "./format.js";
import { ownData } from "./names.js";
import { table } from "./table.js";
import { indented } from "./text.js";

const GROUP_INDENTATION = "  ";
const DEEPEST_GROUP = 50;
/** Of counters, and of timers; those beyond are not kept. */
const MAXIMUM_LABELS = 1_000;
const LABEL_LIMIT = 200;
/** `console.dir` shows at most so many levels, whatever it is asked for. */
const DEEPEST = 20;

const limit = ENTRY_LIMIT;
const counters = new SafeMap<string, number>();
const timers = new SafeMap<string, number>();
/** Indentation by execution, so that a group that one leaves open indents no other. */
const groups = new SafeMap<number, string>();

/** Writes an entry of a plain level. */
export function write(level: string, values: readonly unknown[]): void {
  put(level, format(values, limit));
}

function put(level: string, text: string): void {
  const indentation = indentationHere();
  writeEntry(level, indentation + indented(slice(text, 0, limit), indentation));
}

/** Runs a method that is no plain level. */
export function callMethod(name: string, values: readonly unknown[]): void {
  switch (name) {
    case "dir":
      return put(
        "log",
        inspect(at(values, 0), depthOf(at(values, 1)), limit, optionOf(at(values, 1), "showHidden") === true),
      );
    case "dirxml":
      return write("log", values);
    case "table": {
      const text = table(at(values, 0), at(values, 1), limit);
      return put("log", text ?? shown(at(values, 0), limit));
    }
    case "trace":
      return put("error", trace(values));
    case "assert":
      return at(values, 0) ? undefined : put("error", assertion(values));
    case "group":
    case "groupCollapsed":
      return beginGroup(values);
    case "groupEnd":
      return endGroup();
    case "count":
      return count(labelOf(at(values, 0)));
    case "countReset":
      return resetCount(labelOf(at(values, 0)));
    case "time":
      return beginTimer(labelOf(at(values, 0)));
    case "timeLog":
      return tellTimer(labelOf(at(values, 0)), "timeLog", values);
    case "timeEnd":
      return tellTimer(labelOf(at(values, 0)), "timeEnd", list());
  }
}

function at(values: readonly unknown[], index: number): unknown {
  return index < values.length ? values[index] : undefined;
}

function rest(values: readonly unknown[]): unknown[] {
  const others = list<unknown>();
  for (let i = 1; i < values.length; i++) others[i - 1] = values[i];
  return others;
}

function optionOf(options: unknown, key: string): unknown {
  return typeof options !== "object" || options === null || isProxy(options) ? undefined : ownData(options, key);
}

function depthOf(options: unknown): number {
  const depth = optionOf(options, "depth");
  if (depth === null) return DEEPEST;
  return typeof depth !== "number" ? 2 : depth < DEEPEST ? depth : DEEPEST;
}

function trace(values: readonly unknown[]): string {
  const message = format(values, limit);
  return `Trace${message === "" ? "" : `: ${message}`}${guestFrames(currentStack())}`;
}

function assertion(values: readonly unknown[]): string {
  const others = rest(values);
  if (others.length === 0) return "Assertion failed";
  if (typeof others[0] !== "string") return `Assertion failed: ${format(others, limit)}`;
  others[0] = `Assertion failed: ${others[0]}`;
  return format(others, limit);
}

function beginGroup(values: readonly unknown[]): void {
  if (values.length > 0) write("log", values);
  const indentation = indentationHere();
  if (indentation.length < DEEPEST_GROUP * GROUP_INDENTATION.length) indent(indentation + GROUP_INDENTATION);
}

function endGroup(): void {
  const indentation = indentationHere();
  if (indentation !== "") indent(slice(indentation, GROUP_INDENTATION.length));
}

function indent(indentation: string): void {
  if (indentation === "") groups.delete(runningExecution());
  else groups.set(runningExecution(), indentation);
  setOpenGroups(groups.size);
}

function indentationHere(): string {
  const indentation = groups.get(runningExecution());
  if (indentation !== undefined) return indentation;
  if (groups.size > 0) forgetEnded();
  return "";
}

/** Groups end with the execution that left them open. */
function forgetEnded(): void {
  groups.forEach((_indentation, number) => {
    if (openExecution(number) === undefined) groups.delete(number);
  });
  setOpenGroups(groups.size);
}

/** Labels are primitives; an object is rendered, since its own string would run its code. */
function labelOf(value: unknown): string {
  if (value === undefined) return "default";
  return slice(typeof value === "string" ? value : inspect(value, 0, LABEL_LIMIT), 0, LABEL_LIMIT);
}

function count(label: string): void {
  const counted = (counters.get(label) ?? 0) + 1;
  if (counters.size < MAXIMUM_LABELS || counted > 1) counters.set(label, counted);
  put("log", `${label}: ${counted}`);
}

function resetCount(label: string): void {
  if (!counters.delete(label)) put("warn", `Warning: Count for '${label}' does not exist`);
}

function beginTimer(label: string): void {
  if (timers.has(label)) return put("warn", `Warning: Label '${label}' already exists for console.time()`);
  if (timers.size < MAXIMUM_LABELS) timers.set(label, clock());
}

function tellTimer(label: string, method: string, values: readonly unknown[]): void {
  const started = timers.get(label);
  if (started === undefined) return put("warn", `Warning: No such label '${label}' for console.${method}()`);
  if (method === "timeEnd") timers.delete(label);
  const others = rest(values);
  const tail = others.length === 0 ? "" : ` ${format(others, limit)}`;
  const milliseconds = clock() - started;
  put("log", `${label}: ${durationText(milliseconds - (milliseconds % 1))}${tail}`);
}

/** `5ms`, `1.234s`, `2:05.000 (m:ss.mmm)`, `1:02:05.000 (h:mm:ss.mmm)`. */
function durationText(milliseconds: number): string {
  if (milliseconds < 1_000) return `${milliseconds}ms`;
  const seconds = milliseconds / 1_000;
  if (seconds < 60) return `${thousandths(seconds)}s`;
  const minutes = seconds / 60;
  const ofMinute = padded(thousandths(seconds % 60), 6);
  if (minutes < 60) return `${minutes | 0}:${ofMinute} (m:ss.mmm)`;
  return `${(minutes / 60) | 0}:${padded(`${(minutes % 60) | 0}`, 2)}:${ofMinute} (h:mm:ss.mmm)`;
}

function thousandths(seconds: number): string {
  const all = (seconds * 1_000 + 0.5) | 0;
  return `${(all / 1_000) | 0}.${padded(`${all % 1_000}`, 3)}`;
}

function padded(text: string, length: number): string {
  let result = text;
  while (result.length < length) result = `0${result}`;
  return result;
}
