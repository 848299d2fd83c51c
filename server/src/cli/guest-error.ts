/** What guest code threw, as Node would show it: the line of source, a mark below it, and the guest's frames. */
import { inspect } from "node:util";
import type { Frame, GuestError, Warning } from "@livescope/sdk";
import type { Paint } from "./terminal.js";

/** A source text, and what frames call it. */
export interface NamedSource {
  readonly filename: string;
  readonly text: string;
}

/** The most of a line that is shown: bundled code has very long ones. */
const LINE_LENGTH = 120;

/** @param source where the line is taken from, if the error was thrown in it */
export function describeGuestError(error: GuestError, source: NamedSource | undefined, paint: Paint): string {
  const place = source && error.frames.find(({ filename, line }) => filename === source.filename && line > 0);
  const excerpt = place && source ? excerptOf(source, place) : [];
  const lines = [...excerpt, `Uncaught ${headline(error)}`, ...below(error, "    ", paint)];
  return lines.join("\n");
}

/** The first line of an error: its name and message, or what was thrown instead of one. */
export function headline({ guestName, message, thrown }: GuestError): string {
  if (guestName === "") return typeof thrown === "string" ? inspect(thrown) : message;
  return message === "" ? guestName : `${guestName}: ${message}`;
}

export function describeWarning({ message, frame }: Warning): string {
  return `warning: ${message}${frame === undefined ? "" : ` (${placeOf(frame)})`}`;
}

function below(error: GuestError, indent: string, paint: Paint): string[] {
  const frames = error.frames.map((frame) => paint("gray", `${indent}at ${frameOf(frame)}`));
  const nested = (label: string, inner: GuestError): string[] => [
    `${indent}[${label}]: ${headline(inner)}`,
    ...below(inner, `${indent}    `, paint),
  ];
  return [
    ...frames,
    ...(error.cause === undefined ? [] : nested("cause", error.cause)),
    ...error.errors.flatMap((inner, index) => nested(`errors.${index}`, inner)),
  ];
}

function frameOf(frame: Frame): string {
  return frame.functionName === "" ? placeOf(frame) : `${frame.functionName} (${placeOf(frame)})`;
}

/** @returns such as `rules.js:3:7` */
export function placeOf({ filename, line, column }: Frame): string {
  if (filename === "") return "native";
  return [filename, ...(line > 0 ? [line] : []), ...(line > 0 && column > 0 ? [column] : [])].join(":");
}

function excerptOf({ filename, text }: NamedSource, { line, column }: Frame): string[] {
  const whole = text.split("\n")[line - 1]?.trimEnd();
  if (whole === undefined) return [];
  const from = Math.max(0, Math.min(column - 1 - LINE_LENGTH / 2, whole.length - LINE_LENGTH));
  const shown = whole.slice(from, from + LINE_LENGTH);
  // Tabs stay tabs, so that the mark stands where the line has its place.
  const margin = shown.slice(0, Math.max(0, column - 1 - from)).replaceAll(/[^\t]/g, " ");
  return [`${filename}:${line}`, shown, ...(column > 0 ? [`${margin}^`] : []), ""];
}
