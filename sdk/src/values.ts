import type { HostFunction, Handle as WireHandle, Value as WireValue } from "@livescope/proto";
import { DisposedError, LivescopeError } from "./errors.js";
import { decodeGraph } from "./graph/decode.js";
import { encodeGraph, isDetached } from "./graph/encode.js";
import { handleOfPlace, placeOf } from "./guest-place.js";
import { Handle } from "./handle.js";

/**
 * Gives a value the form in which it is sent: `undefined`, a Uint8Array and a {@link Handle} have arms of their own, plain data
 * goes as JSON text, all else as a graph. `path` is what errors call the value. `pass` takes a function, where one may be sent:
 * as the value itself, not within another.
 * @throws {TypeError} if something in it cannot be copied: a function, a symbol, a promise, a place within a guest
 * @throws {DisposedError} if it is, or has in it, a handle that was released
 */
export function encodeValue(value: unknown, path: string, pass?: PassFunction): WireValue {
  const place = placeOf(value);
  if (place !== undefined) return { kind: { $case: "handle", value: encodeHandle(handleOfPlace(place, path), path) } };
  if (typeof value === "function" && pass)
    return { kind: { $case: "hostFunction", value: pass(value as (...args: never[]) => unknown) } };
  if (value === undefined) return {};
  if (value instanceof Handle) return { kind: { $case: "handle", value: encodeHandle(value, path) } };
  // A copy: the transport writes it later, and after a reconnect once more, and its owner may change it meanwhile.
  if (value instanceof Uint8Array && !isDetached(value.buffer))
    return { kind: { $case: "bytes", value: new Uint8Array(value) } };
  const json = plainJson(value);
  if (json !== undefined) return { kind: { $case: "json", value: json } };
  return {
    kind: { $case: "graph", value: encodeGraph(value, path, (handle, at) => encodeHandle(handle, at).handleId) },
  };
}

/** Makes a function of the client known to the connection. */
export type PassFunction = (run: (...args: never[]) => unknown) => HostFunction;

/** Encodes named values; see {@link encodeValue}. */
export function encodeValues(
  values: Readonly<Record<string, unknown>> = {},
  path: string,
  pass?: PassFunction,
): Map<string, WireValue> {
  return new Map(Object.entries(values).map(([name, value]) => [name, encodeValue(value, `${path}.${name}`, pass)]));
}

/**
 * Gives the value that came. `onHandle` makes what stands for a handle.
 * @throws {LivescopeError} if it came in a form that this version does not read
 */
export function decodeValue(value: WireValue | undefined, onHandle: (handle: WireHandle) => unknown): unknown {
  const kind = value?.kind;
  switch (kind?.$case) {
    case undefined:
      return undefined;
    case "json":
      return readJson(kind.value);
    case "data":
      // The codec holds JSON text, or an InvalidData with a message where the value has none.
      if (typeof kind.value === "string") return JSON.parse(kind.value);
      throw new LivescopeError(`the value cannot be read: ${kind.value?.message}`);
    case "bytes":
      // A copy: what gRPC gives is a part of the whole message.
      return new Uint8Array(kind.value);
    case "handle":
      return onHandle(kind.value);
    case "graph":
      return decodeGraph(kind.value, onHandle);
    default:
      throw new LivescopeError(`the value came as ${kind?.$case}, which this version of the SDK does not read`);
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new LivescopeError(`the value cannot be read: it came as JSON, but is none: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** @throws {DisposedError} if the handle was released */
export function encodeHandle(handle: Handle, path: string): WireHandle {
  if (handle.released) {
    throw new DisposedError(`${path} is a handle that was released: get it again`, { cause: handle.whereReleased });
  }
  return { handleId: handle.id, type: "", className: "", preview: "", arity: 0 };
}

/**
 * JSON text that gives back an equal value; undefined where there is none, so that it goes as a graph. It is looked through
 * here because JSON.stringify leaves out, rounds or replaces what it has no text for, and writes twice what stands in two
 * places.
 */
function plainJson(value: unknown): string | undefined {
  return isPlain(value, new Set(), 0) ? JSON.stringify(value) : undefined;
}

/** Beyond it JSON.stringify might meet the limit of the stack. */
const JSON_DEPTH = 200;

function isPlain(value: unknown, met: Set<object>, depth: number): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0);
    case "object":
      return value === null || isPlainObject(value, met, depth);
    default:
      return false;
  }
}

function isPlainObject(object: object, met: Set<object>, depth: number): boolean {
  if (depth === JSON_DEPTH || met.has(object)) return false;
  met.add(object);
  const isArray = Array.isArray(object);
  if (isArray ? object.constructor?.name !== "Array" : !hasPlainPrototype(object)) return false;
  const keys = Object.keys(object);
  if (isArray && (keys.length !== object.length || (keys.length > 0 && keys.at(-1) !== String(keys.length - 1)))) {
    return false;
  }
  return keys.every((key) => {
    const property = Object.getOwnPropertyDescriptor(object, key);
    return property !== undefined && "value" in property && isPlain(property.value, met, depth + 1);
  });
}

/** Says whether an object's prototype is an Object.prototype; that of another realm, such as a test runner's, will do. */
function hasPlainPrototype(object: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(object);
  return (
    prototype === Object.prototype ||
    (typeof prototype === "object" &&
      prototype !== null &&
      Object.getPrototypeOf(prototype) === null &&
      Object.hasOwn(prototype, "isPrototypeOf"))
  );
}
