/** Describes what guest code threw. Looks only: a hostile getter, proxy or toString does not run. */

import { withCallersPositions, withoutMarks } from "./callers-positions.js";
import { domExceptionText } from "./dom-exceptions.js";
import { dataProperty, inspect, isError } from "./inspect.js";
import { getOwnPropertyDescriptor, getPrototypeOf, isArray, SafeMap, slice, stringify } from "./intrinsics.js";
import { plainJson } from "./plain-json.js";
import { hasOwnValue, messageText, ownValue } from "./properties.js";
import { isProxy } from "./proxies.js";

const NAME_LIMIT = 256;
const MESSAGE_LIMIT = 32_768;
const STACK_LIMIT = 16_384;
const WARNING_LIMIT = 1_000;
/** UTF-16 units of a thrown value that is told as plain data. */
const THROWN_LIMIT = 1 << 20;
/** Levels of causes and of errors within errors. */
const CAUSE_DEPTH = 8;
/** Errors of an AggregateError that are told. */
const ERRORS_TOLD = 16;
/** Errors of one description together, and the UTF-16 units after which it has no more of them. */
const MAXIMUM_ERRORS = 64;
const DESCRIPTION_LIMIT = 262_144;
const CHAIN_LIMIT = 100;

/** One description: how much of it there is, and the errors that lead to where it is being written. */
interface Description {
  count: number;
  length: number;
  /** Made when it is needed: most errors have no cause. */
  open: SafeMap<object, true> | undefined;
}

/** JSON text of what an `Exception` message says, its stacks unparsed. */
export function describeThrown(thrown: unknown): string {
  return describe({ count: 0, length: 0, open: undefined }, thrown, CAUSE_DEPTH);
}

function describe(description: Description, thrown: unknown, depth: number): string {
  const text = isError(thrown) ? describeError(description, thrown, depth) : describeOther(thrown);
  description.count++;
  description.length += text.length;
  return text;
}

function describeError(description: Description, error: object, depth: number): string {
  const text =
    `{"name":${stringify(errorName(error))},"message":${stringify(messageOf(error, MESSAGE_LIMIT))},` +
    `"stack":${stackOf(error)}`;
  const cause = depth > 0 ? dataProperty(error, "cause") : undefined;
  const errors = depth > 0 ? errorsOf(error) : undefined;
  if (cause === undefined && errors === undefined) return `${text}}`;
  description.open ??= new SafeMap<object, true>();
  description.open.set(error, true);
  const inner = causeText(description, cause, depth - 1) + errorsText(description, errors, depth - 1);
  description.open.delete(error);
  return `${text}${inner}}`;
}

/** The array of an AggregateError. */
function errorsOf(error: object): readonly unknown[] | undefined {
  const errors = ownValue(error, "errors");
  const isList = typeof errors === "object" && errors !== null && !isProxy(errors) && isArray(errors);
  return isList ? errors : undefined;
}

function causeText(description: Description, cause: unknown, depth: number): string {
  return cause !== undefined && hasRoom(description, cause) ? `,"cause":${describe(description, cause, depth)}` : "";
}

function errorsText(description: Description, errors: readonly unknown[] | undefined, depth: number): string {
  if (errors === undefined) return "";
  let text = "";
  for (let i = 0; i < errors.length && i < ERRORS_TOLD; i++) {
    const item = ownValue(errors, `${i}`);
    if (hasRoom(description, item)) text += `${text === "" ? "" : ","}${describe(description, item, depth)}`;
  }
  return `,"errors":[${text}]`;
}

function hasRoom({ count, length, open }: Description, next: unknown): boolean {
  if (count >= MAXIMUM_ERRORS || length > DESCRIPTION_LIMIT) return false;
  return typeof next !== "object" || next === null || open?.has(next) !== true;
}

/** JSON text `{message, stack}` of a rejection that nobody handled. */
export function describeRejection(reason: unknown): string {
  if (!isError(reason)) {
    const message = typeof reason === "string" ? slice(reason, 0, WARNING_LIMIT) : inspect(reason, WARNING_LIMIT);
    return `{"message":${stringify(message)},"stack":""}`;
  }
  const name = errorName(reason);
  const message = messageOf(reason, WARNING_LIMIT);
  const summary = name === "" || message === "" ? name + message : `${name}: ${message}`;
  return `{"message":${stringify(summary)},"stack":${stackOf(reason)}}`;
}

/** What is no error has no name or stack; it is shown, and carried where it is plain data. */
function describeOther(thrown: unknown): string {
  const plain = plainJson(thrown, true, THROWN_LIMIT);
  const asJson = plain === undefined ? "" : `,"thrown":${stringify(plain)}`;
  const message = typeof thrown === "string" ? slice(thrown, 0, MESSAGE_LIMIT) : inspect(thrown, MESSAGE_LIMIT);
  return `{"name":"","message":${stringify(message)},"stack":""${asJson}}`;
}

/**
 * The `name` of an error; of a class that sets none the name of the class, which would else be that of the built-in error
 * it extends.
 */
function errorName(error: object): string {
  const known = domExceptionText(error);
  if (known !== undefined) return slice(known.name, 0, NAME_LIMIT);
  let holder: object | null = error;
  for (let i = 0; i < CHAIN_LIMIT && holder !== null && !isProxy(holder); i++) {
    const descriptor = getOwnPropertyDescriptor(holder, "name");
    if (descriptor !== undefined) {
      const name = hasOwnValue(descriptor) ? descriptor.value : undefined;
      return typeof name === "string" ? slice(name, 0, NAME_LIMIT) : "";
    }
    const maker = holder === error ? undefined : ownValue(holder, "constructor");
    const name = typeof maker === "function" && !isProxy(maker) ? ownValue(maker, "name") : undefined;
    if (typeof name === "string" && name !== "") return slice(name, 0, NAME_LIMIT);
    holder = getPrototypeOf(holder);
  }
  return "";
}

function stackOf(error: object): string {
  const value = dataProperty(error, "stack");
  return typeof value === "string" ? stringify(withCallersPositions(slice(value, 0, STACK_LIMIT))) : '""';
}

function messageOf(error: object, limit: number): string {
  return withoutMarks(slice(messageText(dataProperty(error, "message")) ?? "", 0, limit));
}
