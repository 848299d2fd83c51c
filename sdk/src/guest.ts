import { inspect } from "node:util";
import { Encoding } from "@livescope/proto";
import { checkText } from "./checks.js";
import { attempt, type ExecutionPromise } from "./execution.js";
import type { ExecutionStream } from "./execution-stream.js";
import type { Executor } from "./executor.js";
import type { GuestExecution } from "./guest-execution.js";
import { type GuestPlace, placeName, registerPlace } from "./guest-place.js";
import { copying, GuestScript, guestCommand, iterating } from "./guest-script.js";
import type { Guest, GuestMember } from "./guest-types.js";
import type { Handle } from "./handle.js";
import type { CallOptions, LoadOptions } from "./options.js";
import { GUEST_SCRIPT } from "./requests.js";

/**
 * Gives a typed proxy of the value that a handle stands for, and takes the handle's reference over.
 * @param executor of the handle's session object
 */
export function guestOf<T>(executor: Executor, handle: Handle): Guest<T> {
  return makeProxy(new Place(executor, handle, [], {}, true)) as Guest<T>;
}

/** Runs a module, or imports one that the session has, and gives a typed proxy of what it exports; see {@link Session.load}. */
export async function loadGuest<T>(
  executor: Executor,
  source: string | { readonly name: string },
  options: LoadOptions,
): Promise<Guest<T>> {
  checkText("the module", typeof source === "object" ? source?.name : source);
  checkText("filename", options.filename ?? "");
  const { filename = "", language = filename.endsWith(".ts") ? "typescript" : undefined } = options;
  const handle =
    typeof source === "string"
      ? await executor.execute<Handle>(source, { ...options, language, sourceType: "module" }, Encoding.HANDLE)
      : await executor.execute<Handle>(`await import(${JSON.stringify(source.name)})`, options, Encoding.HANDLE);
  return guestOf<T>(executor, handle);
}

/** Gives a typed proxy of the names of a session. */
export function guestOfNames<T>(executor: Executor): GuestMember<T> {
  return makeProxy(new Place(executor, undefined, [], {}, false)) as GuestMember<T>;
}

/** A place, and what can be asked of it. */
class Place implements GuestPlace {
  readonly session: Executor;
  readonly handle: Handle | undefined;
  readonly path: readonly string[];
  readonly options: CallOptions;
  /** Whether there is a reference of the handle's to give back. */
  #owns: boolean;

  constructor(
    session: Executor,
    handle: Handle | undefined,
    path: readonly string[],
    options: CallOptions,
    owns: boolean,
  ) {
    this.session = session;
    this.handle = handle;
    this.path = path;
    this.options = options;
    this.#owns = owns;
  }

  at(key: string): object {
    return makeProxy(new Place(this.session, this.handle, [...this.path, key], this.options, false));
  }

  with(options: CallOptions): object {
    return makeProxy(new Place(this.session, this.handle, this.path, { ...this.options, ...options }, false));
  }

  call(args: readonly unknown[]): GuestExecution<unknown> {
    return this.session.callGuest(() => guestCommand(this, args), this.options, this.#wrap);
  }

  construct(args: readonly unknown[]): ExecutionPromise<unknown> {
    return attempt(() => {
      const { target, args: names, bindings } = guestCommand(this, args);
      if (target === undefined) return this.#keep((script) => `new ${script.call(this, args)}`);
      const values = names.map((name) => bindings[name]);
      return this.session.call({ ...target, construct: true }, values, this.options, Encoding.HANDLE, this.#wrap);
    });
  }

  keep(args: readonly unknown[]): ExecutionPromise<unknown> {
    return this.#keep((script) => `await ${script.call(this, args)}`);
  }

  ref(): ExecutionPromise<unknown> {
    return this.#keep((script) => script.place(this));
  }

  value(): ExecutionPromise<unknown> {
    return this.#execute((script) => copying(script.place(this)), Encoding.FULL);
  }

  iterate(): ExecutionStream<unknown, unknown> {
    const script = new GuestScript(this.session);
    const code = iterating(script.place(this));
    const options = { ...this.options, filename: GUEST_SCRIPT, bindings: script.bindings };
    return this.session.streamExecute(code, options, this.#wrap);
  }

  /** Gives back the reference, once; of a place there is none. */
  async release(): Promise<void> {
    const owned = this.#owns ? this.handle : undefined;
    this.#owns = false;
    await owned?.[Symbol.asyncDispose]();
  }

  readonly #wrap = (handle: Handle): object => makeProxy(new Place(this.session, handle, [], {}, true));

  #keep(write: (script: GuestScript) => string): ExecutionPromise<unknown> {
    return this.#execute(write, Encoding.HANDLE);
  }

  #execute(write: (script: GuestScript) => string, encoding: Encoding): ExecutionPromise<unknown> {
    return attempt(() => {
      const script = new GuestScript(this.session);
      const code = write(script);
      const options = { ...this.options, filename: GUEST_SCRIPT, bindings: script.bindings };
      return this.session.execute(code, options, encoding, this.#wrap);
    });
  }
}

function makeProxy(place: Place): object {
  // Of a function, so that it can be called and constructed; what else it has nobody gets to see.
  const target = function guest(): void {};
  Object.defineProperty(target, inspect.custom, { value: () => toText(place, "string"), configurable: true });
  const proxy = new Proxy(target, new PlaceHandler(place));
  registerPlace(proxy, place);
  return proxy;
}

/** What a proxy answers by itself. All other names lead further into the guest. */
class PlaceHandler implements ProxyHandler<() => void> {
  readonly #place: Place;

  constructor(place: Place) {
    this.#place = place;
  }

  get(_target: () => void, key: string | symbol): unknown {
    const place = this.#place;
    switch (key) {
      // Asked of everything that is awaited, and of everything that is written as JSON.
      case "then":
      case "toJSON":
        return undefined;
      case "$at":
        return (name: string | number) => place.at(String(name));
      case "$with":
        return (options: CallOptions) => place.with(options);
      case "$value":
        return () => place.value();
      case "$ref":
        return () => place.ref();
      case "$keep":
        return (...args: unknown[]) => place.keep(args);
      case "$handle":
        return place.path.length === 0 ? place.handle : undefined;
      case Symbol.asyncIterator:
        return () => place.iterate();
      case Symbol.asyncDispose:
        return () => place.release();
      case Symbol.toPrimitive:
        return (hint: string) => toText(place, hint);
      case inspect.custom:
        return () => toText(place, "string");
    }
    return typeof key === "symbol" ? undefined : place.at(key);
  }

  apply(_target: () => void, _this: unknown, args: unknown[]): object {
    return this.#place.call(args);
  }

  construct(_target: () => void, args: unknown[]): object {
    return this.#place.construct(args);
  }

  set(_target: () => void, key: string | symbol): never {
    throw this.#refusal(`set ${String(key)} of`);
  }

  defineProperty(_target: () => void, key: string | symbol): never {
    throw this.#refusal(`define ${String(key)} of`);
  }

  deleteProperty(_target: () => void, key: string | symbol): never {
    throw this.#refusal(`delete ${String(key)} of`);
  }

  #refusal(what: string): TypeError {
    const name = placeName(this.#place);
    return new TypeError(
      `cannot ${what} ${name} from here: its values are the session's, and change by code that runs there`,
    );
  }
}

/** A place can be named in a text. That it is taken for the value that stands there would be a mistake. */
function toText(place: Place, hint: string): string {
  if (hint === "string") return `[Guest: ${placeName(place)}]`;
  throw new TypeError(`${placeName(place)} is a place in a session and not its value: read it with await …$value()`);
}
