/** `DOMException`, as WebIDL has it. */
import { defineProperty } from "../intrinsics.js";
import { asInterface, defineConstants } from "../webidl.js";

/** Names that had a code before names replaced codes. Their codes count from 1; a name is empty where none has the code. */
const NAMES = [
  "IndexSizeError",
  "",
  "HierarchyRequestError",
  "WrongDocumentError",
  "InvalidCharacterError",
  "",
  "NoModificationAllowedError",
  "NotFoundError",
  "NotSupportedError",
  "InUseAttributeError",
  "InvalidStateError",
  "SyntaxError",
  "InvalidModificationError",
  "NamespaceError",
  "InvalidAccessError",
  "",
  "TypeMismatchError",
  "SecurityError",
  "NetworkError",
  "AbortError",
  "URLMismatchError",
  "QuotaExceededError",
  "TimeoutError",
  "InvalidNodeTypeError",
  "DataCloneError",
];
/** Constants whose name does not follow from that of the error. */
const CONSTANTS: Readonly<Record<number, string>> = {
  2: "DOMSTRING_SIZE_ERR",
  6: "NO_DATA_ALLOWED_ERR",
  10: "INUSE_ATTRIBUTE_ERR",
  16: "VALIDATION_ERR",
  21: "URL_MISMATCH_ERR",
};

/** What an exception says; for the kernel too, which runs no getters. Undefined for everything else. */
let textOf: (value: object) => { readonly name: string; readonly message: string } | undefined;

class DOMException {
  readonly #name: string;
  readonly #message: string;

  static {
    textOf = (value) => (#name in value ? { name: value.#name, message: value.#message } : undefined);
  }

  constructor(message: unknown = "", options: unknown = "Error") {
    const isBag = typeof options === "object" && options !== null;
    const name = isBag ? (options as { name?: unknown }).name : options;
    this.#message = `${message as string}`;
    this.#name = isBag && name === undefined ? "Error" : `${name as string}`;
    if (isBag && "cause" in options) define(this, "cause", options.cause);
    define(this, "stack", new Error().stack);
  }

  get name(): string {
    return this.#name;
  }

  get message(): string {
    return this.#message;
  }

  get code(): number {
    return this.#name === "" ? 0 : NAMES.indexOf(this.#name) + 1;
  }
}

function define(object: object, key: string, value: unknown): void {
  defineProperty(object, key, {
    __proto__: null,
    value,
    writable: true,
    enumerable: false,
    configurable: true,
  } as PropertyDescriptor);
}

Object.setPrototypeOf(DOMException.prototype, Error.prototype);
asInterface(DOMException, "DOMException");
defineConstants(
  DOMException,
  NAMES.map((name, i) => [CONSTANTS[i + 1] ?? constantName(name), i + 1]),
);

/** `NotFoundError` to `NOT_FOUND_ERR`. */
function constantName(name: string): string {
  return name
    .replace(/Error$/, "Err")
    .replace(/[a-z](?=[A-Z])/g, "$&_")
    .toUpperCase();
}

export { DOMException, textOf };
