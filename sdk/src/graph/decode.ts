import { LivescopeError } from "../errors.js";
import { placeOf } from "../guest-place.js";
import { Special, viewNames } from "./special.js";

/** What a graph tells of a handle in it. */
export interface HandleInGraph {
  readonly handleId: string;
  readonly type: string;
  readonly className: string;
  readonly preview: string;
  readonly arity: number;
}

/**
 * Reads the graph encoding of docs/protocol.md. `onHandle` makes what stands for a handle.
 * @throws {LivescopeError} if the text is no graph, or has in it what this JavaScript has not
 */
export function decodeGraph(text: string, onHandle: (handle: HandleInGraph) => unknown): unknown {
  try {
    return readGraph(text, onHandle);
  } catch (error) {
    if (error instanceof LivescopeError) throw error;
    throw malformed(`it is none: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

function readGraph(text: string, onHandle: (handle: HandleInGraph) => unknown): unknown {
  const nodes: unknown = JSON.parse(text);
  if (typeof nodes === "number") return special(nodes);
  if (!Array.isArray(nodes) || nodes.length === 0) throw malformed("it has no nodes");
  return new GraphReader(nodes, onHandle).read();
}

/** A node of a type: its name, then what the type says. */
type TypedNode = readonly [type: string, ...rest: unknown[]];

class GraphReader {
  readonly #nodes: readonly unknown[];
  readonly #onHandle: (handle: HandleInGraph) => unknown;
  /** What each node stands for: at first empty where it holds others, so that these may hold it. */
  readonly #values: unknown[] = [];

  constructor(nodes: readonly unknown[], onHandle: (handle: HandleInGraph) => unknown) {
    this.#nodes = nodes;
    this.#onHandle = onHandle;
  }

  read(): unknown {
    for (const index of this.#nodes.keys()) this.#make(index);
    for (const index of this.#nodes.keys()) this.#fill(index);
    return this.#values[0];
  }

  #make(index: number): unknown {
    if (!(index in this.#values)) this.#values[index] = this.#empty(this.#node(index));
    return this.#values[index];
  }

  #empty(node: unknown): unknown {
    if (isTyped(node)) return this.#emptyOf(node);
    if (Array.isArray(node)) return new Array(node[0] === Special.SPARSE ? node[1] : node.length);
    return typeof node === "object" && node !== null ? {} : node;
  }

  #emptyOf(node: TypedNode): unknown {
    const [type, first, second, third] = node;
    switch (type) {
      case "Date":
        return new Date(first === "" ? Number.NaN : String(first));
      case "BigInt":
        return BigInt(String(first));
      case "RegExp":
        return Object.assign(regExp(String(first), String(second ?? "")), { lastIndex: Number(third ?? 0) });
      case "ArrayBuffer":
        return new Uint8Array(Buffer.from(String(first), "base64")).buffer;
      case "Object":
        return Object(Number(first) < 0 ? special(Number(first)) : this.#make(Number(first)));
      case "Map":
        return new Map();
      case "Set":
        return new Set();
      case "null":
        return Object.create(null);
      case "Error":
        return this.#emptyError(Number(first));
      case "Array":
        return this.#make(Number(first));
      case "Handle":
        return this.#onHandle(describedHandle(node));
      default:
        return this.#view(type, Number(first), node);
    }
  }

  #emptyError(told: number): Error {
    const type = this.#told(told, "type");
    const Class = (globalThis as Record<string, unknown>)[String(type)];
    const prototype = typeof Class === "function" && isErrorPrototype(Class.prototype) ? Class.prototype : undefined;
    const error = new Error();
    Object.setPrototypeOf(error, prototype ?? Error.prototype);
    if (prototype === undefined) hide(error, "name", String(type));
    return error;
  }

  #view(type: string, buffer: number, node: TypedNode): unknown {
    if (!viewNames.has(type)) throw malformed(`it has a ${type}, which this version of the SDK does not know`);
    const View = (globalThis as Record<string, unknown>)[type];
    if (typeof View !== "function") throw new LivescopeError(`the value has a ${type}, which this JavaScript lacks`);
    return Reflect.construct(View, [this.#make(buffer), ...node.slice(2)]);
  }

  #fill(index: number): void {
    const node = this.#node(index);
    const value = this.#values[index];
    if (isTyped(node)) this.#fillOf(node, value);
    else if (Array.isArray(node)) this.#fillArray(node, value as unknown[]);
    else if (typeof node === "object" && node !== null) this.#assign(value as object, index);
  }

  #fillArray(node: readonly unknown[], array: unknown[]): void {
    if (node[0] === Special.SPARSE) {
      for (let i = 2; i < node.length; i += 2) array[Number(node[i])] = this.#value(node[i + 1]);
      return;
    }
    for (const [i, reference] of node.entries()) if (reference !== Special.HOLE) array[i] = this.#value(reference);
  }

  #fillOf([type, ...rest]: TypedNode, value: unknown): void {
    switch (type) {
      case "Set":
        for (const item of rest) (value as Set<unknown>).add(this.#value(item));
        break;
      case "Map":
        for (let i = 0; i < rest.length; i += 2) {
          (value as Map<unknown, unknown>).set(this.#value(rest[i]), this.#value(rest[i + 1]));
        }
        break;
      case "null":
        for (let i = 0; i < rest.length; i += 2) {
          const key = String(rest[i]);
          (value as Record<string, unknown>)[key] = this.#member(key, rest[i + 1]);
        }
        break;
      case "Error":
        this.#fillError(value as Error, Number(rest[0]));
        break;
      case "Array":
        this.#assign(value as object, Number(rest[1]));
        break;
    }
  }

  #fillError(error: Error, told: number): void {
    for (const key of ["name", "message", "cause", "errors"]) {
      if (this.#has(told, key)) hide(error, key, this.#told(told, key));
    }
    const guestFrames = this.#has(told, "stack") ? `\n${String(this.#told(told, "stack")).trimEnd()}` : "";
    hide(error, "stack", `${error.name}${error.message === "" ? "" : `: ${error.message}`}${guestFrames}`);
    if (this.#has(told, "properties")) this.#assign(error, this.#record(told).properties as number);
  }

  /** Gives an object the members of an object node; `__proto__` is a name like any other. */
  #assign(target: object, index: number): void {
    for (const [key, reference] of Object.entries(this.#record(index))) {
      const value = this.#member(key, reference);
      Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
    }
  }

  #node(index: number): unknown {
    if (!Number.isInteger(index) || index < 0 || index >= this.#nodes.length) throw malformed("it names no node");
    return this.#nodes[index];
  }

  #record(index: number): Record<string, unknown> {
    const node = this.#node(index);
    if (typeof node !== "object" || node === null || Array.isArray(node)) throw malformed("a node is no object");
    return node as Record<string, unknown>;
  }

  /**
   * A property's value. An object with a function `then` is a promise to whoever awaits it, and what a guest made is to be none: in
   * this place a function is a handle, whatever stands for handles elsewhere.
   */
  #member(key: string, reference: unknown): unknown {
    const value = this.#value(reference);
    return key === "then" ? (placeOf(value)?.handle ?? value) : value;
  }

  #has(index: number, key: string): boolean {
    return Object.hasOwn(this.#record(index), key);
  }

  #told(index: number, key: string): unknown {
    return this.#value(this.#record(index)[key]);
  }

  #value(reference: unknown): unknown {
    if (typeof reference !== "number") throw malformed("a node holds what is no index");
    return reference < 0 ? special(reference) : this.#make(reference);
  }
}

function describedHandle([, handleId, type, className, preview, arity]: TypedNode): HandleInGraph {
  return {
    handleId: String(handleId),
    type: String(type ?? ""),
    className: String(className ?? ""),
    preview: String(preview ?? ""),
    arity: Number(arity ?? 0),
  };
}

function isTyped(node: unknown): node is TypedNode {
  return Array.isArray(node) && typeof node[0] === "string";
}

function isErrorPrototype(value: unknown): value is Error {
  return value === Error.prototype || value instanceof Error;
}

/** The guest's engine knows some that this JavaScript does not. */
function regExp(source: string, flags: string): RegExp {
  try {
    return new RegExp(source, flags);
  } catch (error) {
    const message = `the value has the regular expression /${source}/${flags}, which this JavaScript does not read`;
    throw new LivescopeError(message, { cause: error });
  }
}

/** As errors have their message: not enumerable. */
function hide(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, writable: true, enumerable: false, configurable: true });
}

function special(reference: number): unknown {
  switch (reference) {
    case Special.UNDEFINED:
      return undefined;
    case Special.NAN:
      return Number.NaN;
    case Special.INFINITY:
      return Number.POSITIVE_INFINITY;
    case Special.NEGATIVE_INFINITY:
      return Number.NEGATIVE_INFINITY;
    case Special.NEGATIVE_ZERO:
      return -0;
    default:
      throw malformed("a negative number stands for no value");
  }
}

function malformed(why: string, options?: ErrorOptions): LivescopeError {
  return new LivescopeError(`the value cannot be read: it came as a graph, but ${why}`, options);
}
