import type { Handle as WireHandle, Value as WireValue } from "@livescope/proto";
import { LivescopeError } from "./errors.js";
import { Handle, type Preview } from "./handle.js";

/**
 * Gives a value the form in which it is sent: `undefined`, a Uint8Array and a {@link Handle} have arms of their own, all else
 * goes as JSON text. `path` is what errors call the value.
 * @throws {TypeError} if JSON would change the value or cannot carry it
 * @throws {LivescopeError} if it is a handle that was released
 */
export function encodeValue(value: unknown, path: string): WireValue {
  if (value === undefined) return {};
  if (value instanceof Handle) return { kind: { $case: "handle", value: encodeHandle(value, path) } };
  if (value instanceof Uint8Array) return { kind: { $case: "bytes", value: asBuffer(value) } };
  return { kind: { $case: "json", value: new JsonWriter(path).write(value) } };
}

/** Encodes named values; see {@link encodeValue}. */
export function encodeValues(values: Readonly<Record<string, unknown>> = {}, path: string): Map<string, WireValue> {
  return new Map(Object.entries(values).map(([name, value]) => [name, encodeValue(value, `${path}.${name}`)]));
}

/**
 * Gives the value that came. `onHandle` makes what stands for a handle.
 * @throws {LivescopeError} if it came in a form that this version does not read
 */
export function decodeValue(value: WireValue | undefined, onHandle: (handle: WireHandle) => Preview): unknown {
  const kind = value?.kind;
  switch (kind?.$case) {
    case undefined:
      return undefined;
    case "json":
      return JSON.parse(kind.value);
    case "data":
      // The codec holds JSON text, or an InvalidData with a message where the value has none.
      if (typeof kind.value === "string") return JSON.parse(kind.value);
      throw new LivescopeError(`the value cannot be read: ${kind.value?.message}`);
    case "bytes":
      // A copy: what gRPC gives is a Buffer within the memory of the whole message.
      return new Uint8Array(kind.value);
    case "handle":
      return onHandle(kind.value);
    default:
      throw new LivescopeError(
        `the value came as ${kind?.$case}, which this version of the SDK does not read: ` +
          "give back JSON data or a Uint8Array, or keep the value in its session with session.handle()",
      );
  }
}

/** @throws {LivescopeError} if the handle was released */
export function encodeHandle(handle: Handle, path: string): WireHandle {
  if (handle.released) throw new LivescopeError(`${path} is a handle that was released: get it again`);
  return { handleId: handle.id, type: "", className: "", preview: "", arity: 0 };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Writes JSON text that gives back an equal value, and refuses what has none. It is written here rather than by JSON.stringify
 * because that one leaves out, rounds or replaces what it has no text for, and writes -0 as 0.
 */
class JsonWriter {
  readonly #root: string;
  // Where the writer is, for its errors: the containers it is in, and the key in each.
  readonly #keys: (string | number)[] = [];
  readonly #containers: object[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  write(value: unknown): string {
    switch (typeof value) {
      case "string":
        return JSON.stringify(value);
      case "boolean":
        return String(value);
      case "number":
        if (!Number.isFinite(value)) this.#refuse(String(value));
        return Object.is(value, -0) ? "-0" : String(value);
      case "object":
        if (value === null) return "null";
        return Array.isArray(value) ? this.#array(value) : this.#object(value);
      default:
        return this.#refuse(value === undefined ? "undefined" : `a ${typeof value}`);
    }
  }

  #array(array: readonly unknown[]): string {
    if (array.constructor?.name !== "Array") this.#refuse(kindOf(array));
    if (Object.keys(array).length !== array.length) this.#refuse("an array with holes or with properties of its own");
    this.#enter(array);
    let text = "";
    for (let index = 0; index < array.length; index++) {
      this.#keys.push(index);
      text += index === 0 ? this.write(array[index]) : `,${this.write(array[index])}`;
      this.#keys.pop();
    }
    this.#containers.pop();
    return `[${text}]`;
  }

  #object(object: object): string {
    if (!isPlain(object)) this.#refuse(kindOf(object));
    this.#enter(object);
    let text = "";
    for (const key of Object.keys(object)) {
      this.#keys.push(key);
      const member = this.write((object as Record<string, unknown>)[key]);
      text += text === "" ? `${JSON.stringify(key)}:${member}` : `,${JSON.stringify(key)}:${member}`;
      this.#keys.pop();
    }
    this.#containers.pop();
    return `{${text}}`;
  }

  #enter(object: object): void {
    if (this.#containers.includes(object)) this.#refuse("an object that contains itself");
    if (Object.getOwnPropertySymbols(object).length > 0) this.#refuse("an object with symbols as keys");
    this.#containers.push(object);
  }

  #refuse(what: string): never {
    const path = this.#keys.map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`)).join("");
    throw new TypeError(
      `${this.#root}${path} is ${what}, which JSON cannot carry unchanged; this version of the SDK sends null, booleans, ` +
        "finite numbers, strings, arrays and plain objects, and undefined, Uint8Array and handles as values of their own",
    );
  }
}

/** Says whether an object's prototype is an Object.prototype; that of another realm, such as a test runner's, will do. */
function isPlain(object: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(object);
  return (
    prototype === Object.prototype ||
    (typeof prototype === "object" &&
      prototype !== null &&
      Object.getPrototypeOf(prototype) === null &&
      Object.hasOwn(prototype, "isPrototypeOf"))
  );
}

function kindOf(object: object): string {
  if (object instanceof Handle) return "a handle inside another value (a handle can be a value of its own only)";
  if (object instanceof Uint8Array) return "a Uint8Array inside another value (one can be a value of its own only)";
  if (Object.getPrototypeOf(object) === null)
    return "an object without prototype (spread it into a plain one: {...it})";
  return `an object of class ${object.constructor?.name || "(anonymous)"}`;
}
