import type { Exception, HostResult, Value } from "@livescope/proto";

/** Of one beside its texts, about. */
const EMPTY = 200;

/** What it takes to keep the answer of a host function, about: in UTF-16 units or bytes. */
export function answerSize({ outcome }: HostResult): number {
  if (outcome === undefined) return EMPTY;
  return EMPTY + (outcome.$case === "value" ? sizeOfValue(outcome.value) : sizeOfException(outcome.value));
}

function sizeOfException({ name, message, stack, thrown, cause, errors }: Exception): number {
  const own = name.length + message.length + stack.length + sizeOfValue(thrown);
  return [...errors, ...(cause === undefined ? [] : [cause])].reduce((sum, each) => sum + sizeOfException(each), own);
}

function sizeOfValue(value: Value | undefined): number {
  const told = value?.kind?.value;
  return typeof told === "string" || told instanceof Uint8Array ? told.length : 0;
}
