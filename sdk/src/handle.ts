import type { Handle as WireHandle } from "@livescope/proto";
import { checkText } from "./checks.js";
import { throwUnlessOutOfReach } from "./errors.js";
import { attempt, type ExecutionPromise } from "./execution.js";
import type { ExecutionStream } from "./execution-stream.js";
import type { Guest } from "./guest-types.js";
import type { Inspection } from "./inspection.js";
import type { CallOptions, ExecuteOptions, InspectOptions } from "./options.js";
import type { Session } from "./session.js";

/**
 * Describes a value that stayed where it was made. By itself it is all that is left of a value that could not be copied out of
 * an execution without a session; with the value still alive behind it, it is a {@link Handle}.
 */
export class Preview {
  /**
   * What `typeof` says, except that null, arrays, promises, errors and other built-in objects have their own names: "function",
   * "object", "array", "promise", "error", "map".
   */
  readonly type: string;
  /** The name of the value's constructor. Empty if it has none. */
  readonly className: string;
  /** A short text for people. It may be cut and its form may change. */
  readonly preview: string;
  /** How many parameters a function declares; 0 for everything else. */
  readonly arity: number;

  /** @internal */
  constructor(description: WireHandle) {
    this.type = description.type;
    this.className = description.className;
    this.preview = description.preview;
    this.arity = description.arity;
  }
}

/** What a handle asks of the session object that made it. */
export interface HandleOwner {
  execute<T>(code: string, options: ExecuteOptions): ExecutionPromise<T>;
  call<T>(handle: Handle, path: string, args: readonly unknown[], options: CallOptions): ExecutionPromise<T>;
  stream<T, R>(handle: Handle, path: string, args: readonly unknown[], options: CallOptions): ExecutionStream<T, R>;
  construct(handle: Handle, args: readonly unknown[], options: CallOptions): ExecutionPromise<Handle>;
  inspect(handle: Handle, path: string, options: InspectOptions): Promise<Inspection>;
  guest<T>(handle: Handle): Guest<T>;
  holds(handle: Handle): boolean;
  whereReleased(handle: Handle): Error | undefined;
  release(handle: Handle): Promise<void>;
}

/**
 * A live value that stays in its session: a function, a promise, anything that cannot be copied or was asked for with
 * `session.handle()`. It can be called, looked into, and given back to its session as an argument or binding; it is never
 * thenable, so it can be awaited and returned from async functions like any other value.
 *
 * A handle keeps its value alive until it is released, or its session object is disposed. One session object gives the same
 * Handle for the same value; each time it gives it is one reference, and the value is let go when `release()` was called, or
 * an `await using` block left, as often:
 *
 *     await using counter = await session.handle("counter");
 *     await counter.callMethod("up");
 *
 * One that is lost without being released is released when this process happens to collect it as garbage. That is a net and not a
 * way to release: it may never happen.
 *
 * Errors of all methods are those of the same methods of {@link Session}, and a {@link DisposedError} after the last release.
 */
export class Handle extends Preview implements AsyncDisposable {
  /** The id by which the server knows the handle. */
  readonly id: string;
  readonly #owner: HandleOwner;

  /** @internal */
  constructor(description: WireHandle, owner: HandleOwner) {
    super(description);
    this.id = description.handleId;
    this.#owner = owner;
  }

  /** True once every reference was given back. */
  get released(): boolean {
    return !this.#owner.holds(this);
  }

  /** @internal Where the last reference was given back, by the stack of an error, if it was here. */
  get whereReleased(): Error | undefined {
    return this.#owner.whereReleased(this);
  }

  /**
   * Calls the function that the handle is, without a `this`.
   * @throws {TypeError} if an argument cannot be sent
   * @throws {GuestError} if the function throws, or is none
   * @throws {StoppedError} if it is ended from outside
   * @throws {StatusError} if the service fails
   */
  call<T = unknown>(args: readonly unknown[] = [], options: CallOptions = {}): ExecutionPromise<T> {
    return this.#owner.call(this, "", args, options);
  }

  /**
   * Calls a method below the value. `path` is dotted, such as "address.format"; `this` is what stands before the last dot.
   * @throws as `call`
   */
  callMethod<T = unknown>(path: string, args: readonly unknown[] = [], options: CallOptions = {}): ExecutionPromise<T> {
    return this.#owner.call(this, path, args, options);
  }

  /** Calls the function that the handle is, and gives the values that it emits as they come; see {@link Session.stream}. */
  callStream<T = unknown, R = unknown>(
    args: readonly unknown[] = [],
    options: CallOptions = {},
  ): ExecutionStream<T, R> {
    return this.#owner.stream(this, "", args, options);
  }

  /** Calls a method below the value, as `callMethod` does, and gives the values that it emits as they come. */
  callMethodStream<T = unknown, R = unknown>(
    path: string,
    args: readonly unknown[] = [],
    options: CallOptions = {},
  ): ExecutionStream<T, R> {
    return this.#owner.stream(this, path, args, options);
  }

  /**
   * Calls the class or function that the handle is with `new`, and keeps what it makes in the session. The caller releases the
   * handle it gets.
   * @throws as `call`
   */
  construct(args: readonly unknown[] = [], options: CallOptions = {}): ExecutionPromise<Handle> {
    return this.#owner.construct(this, args, options);
  }

  /**
   * Gives a typed function that calls the one that the handle is. It is of use until the handle is released.
   * `options` hold for each call.
   */
  fn<Args extends readonly unknown[] = unknown[], Result = unknown>(
    options: CallOptions = {},
  ): (...args: Args) => ExecutionPromise<Awaited<Result>> {
    return (...args) => this.call<Awaited<Result>>(args, options);
  }

  /**
   * Gives a copy of the value, or what it resolves to if it is a promise. What cannot be copied comes as a handle: one
   * reference more, which the caller releases.
   * @throws as `call`
   */
  value<T = unknown>(options: CallOptions = {}): ExecutionPromise<T> {
    return this.#read("", options);
  }

  /**
   * Gives a copy of a property, as `value` does. `path` is dotted, such as "items.0.name". Getters on the way run.
   * @throws as `call`
   */
  get<T = unknown>(path: string, options: CallOptions = {}): ExecutionPromise<T> {
    return attempt(() => {
      checkText("the path", path);
      const properties = path.split(".").map((key) => `[${JSON.stringify(key)}]`);
      return this.#read(properties.join(""), options);
    });
  }

  /**
   * Gives a typed proxy of the value, if you say what it is: see {@link Guest}. Nothing is asked of the session. The proxy is the same
   * reference: releasing one releases the other.
   */
  as<T>(): Guest<T> {
    return this.#owner.guest<T>(this);
  }

  /**
   * Lists the own properties of the value, or of one below it that a dotted `path` names. It runs no guest code.
   * @throws {NotFoundError} if the session has let go of the handle
   * @throws {InvalidRequestError} if the path leads nowhere, or through an accessor or a proxy
   */
  inspect(path = "", options: InspectOptions = {}): Promise<Inspection> {
    return this.#owner.inspect(this, path, options);
  }

  /**
   * Gives the handle of the same value in a copy of the session: in a fork, or in a session made from a snapshot, that was taken
   * when the session held the handle. It is one reference in the copy, which the caller releases; the two are used and
   * released apart. Nothing is asked of the server: that the session holds no such value shows at the first use, which is
   * a NotFoundError.
   * @throws {LivescopeError} if that session object is disposed
   */
  in(session: Session): Handle {
    return session.adopt(this);
  }

  /**
   * Gives back one reference. With the last one the session lets go of the value: at once if nothing that could still return
   * it is under way in this session object, else when that has ended, which the promise does not wait for. Calling it when no
   * reference is left does nothing.
   * @throws {StatusError} if the service fails
   */
  release(): Promise<void> {
    return this.#owner.release(this);
  }

  /**
   * Gives back one reference; see `release`. That the server cannot be told is no error here: with the session it lets go of the handle.
   * @throws {StatusError} if the service fails otherwise
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release().catch(throwUnlessOutOfReach);
  }

  #read<T>(properties: string, options: CallOptions): ExecutionPromise<T> {
    return this.#owner.execute(`handle${properties}`, { ...options, bindings: { handle: this } });
  }
}
