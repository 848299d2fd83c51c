import { Encoding, SessionServiceService } from "@livescope/proto";
import { type AtomicOptions, type AtomicSession, runAtomic } from "./atomic.js";
import type { ClientParts, SessionKind } from "./client-parts.js";
import { LivescopeError, throwUnlessOutOfReach } from "./errors.js";
import type { ExecutionPromise } from "./execution.js";
import type { ExecutionStream } from "./execution-stream.js";
import { Executor } from "./executor.js";
import { guestOfNames, loadGuest } from "./guest.js";
import type { Guest, GuestMember } from "./guest-types.js";
import { Handle } from "./handle.js";
import { handleOwner } from "./handle-owner.js";
import type { ExposeOptions, Exposure, HostFunction } from "./host-function.js";
import type { HostScope } from "./host-functions.js";
import { type Inspection, inspectValue } from "./inspection.js";
import { Lifetime } from "./lifetime.js";
import type {
  CallOptions,
  ExecuteOptions,
  InspectOptions,
  LoadOptions,
  RenderContext,
  RenderOptions,
  RequestOptions,
  Template,
} from "./options.js";
import type { PassedFunctions } from "./passed-functions.js";
import {
  type ForkOptions,
  forkSession,
  type RollbackOptions,
  rollbackSession,
  type SessionUpdate,
  updateSession,
} from "./session-changes.js";
import { SessionHandles } from "./session-handles.js";
import { readSession, type SessionInfo } from "./session-info.js";
import { SessionPresence } from "./session-presence.js";
import { type SessionEvent, type WatchOptions, watchSession } from "./session-watch.js";
import { type Snapshot, type SnapshotOptions, snapshotIdOf, takeSnapshot } from "./snapshots.js";
import type { Channel } from "./transport/channel.js";

/**
 * A live session on the server, as one client sees it. `client.createSession()` gives one whose disposal deletes the session;
 * `client.attach()` gives one for a session that others keep, whose disposal lets go of its own handles only.
 *
 *     await using session = await client.createSession();
 *     await session.execute("let total = 0; function inc(n) { return total += n }");
 *     const inc = session.fn<[n: number], number>("inc");
 *     await inc(5);
 *
 * Executions of one session may be asked for at once; they begin in the order they arrive, and overlap at their awaits.
 *
 * Values go in and come out as structured cloning would copy them: with undefined, NaN, BigInts, Dates, Maps, Sets, typed
 * arrays, errors and cycles in them, objects of a class as plain objects. What cannot be copied (functions, symbols, promises)
 * comes out as a {@link Handle}, also inside other values; handles may be sent, also inside other values. A function of
 * the client may be sent as an argument or a binding, not inside other values: guest code sees an async function, and may call it
 * until it lets go of it or this object is disposed. A type argument such as `execute<number>` is the caller's promise: nothing checks it.
 */
export class Session implements AsyncDisposable {
  /** The id by which the server knows the session, and `client.attach()` finds it. */
  readonly id: string;
  readonly #client: ClientParts;
  readonly #lifetime: Lifetime;
  readonly #transport: Channel;
  readonly #handles: SessionHandles;
  readonly #executor: Executor;
  readonly #scope: HostScope;
  readonly #kind: SessionKind;
  #disposal: Promise<void> | undefined;
  /** It was disposed of, and the session stays. */
  #isLeft = false;

  /** @internal */
  constructor(client: ClientParts, id: string, kind: SessionKind, handleGroup?: string) {
    const { commands, hostFunctions } = client;
    const lifetime = Lifetime.ofSession(id, client.lifetime);
    const presence = new SessionPresence(id, kind.isDurable, kind.isOwned);
    const transport = client.channel.within(lifetime, presence);
    const owner = handleOwner(
      () => this.#executor,
      () => this.#handles,
      transport,
      id,
    );
    this.id = id;
    this.#client = client;
    this.#lifetime = lifetime;
    this.#transport = transport;
    this.#handles = new SessionHandles(transport, id, (description) => new Handle(description, owner), handleGroup);
    const pass = (functions: PassedFunctions): (() => void) => hostFunctions.pass(this.#scope, functions);
    this.#executor = new Executor(commands, lifetime, {
      id,
      isDurable: kind.isDurable,
      presence,
      handles: this.#handles,
      pass,
    });
    this.#scope = {
      sessionId: id,
      session: this,
      presence,
      lifetime,
      makeHandle: (description, isOpen) =>
        new Handle(description, { ...owner, holds: isOpen, release: async () => undefined }),
    };
    this.#kind = kind;
  }

  /**
   * Runs source text and gives its completion value, awaited if it is a promise. What it declares and changes stays in the
   * session.
   * @throws {TypeError} if a binding cannot be sent
   * @throws {GuestError} if the code throws or does not parse
   * @throws {StoppedError} if it is ended from outside, as by a limit
   * @throws {NotFoundError} if there is no such session, or a handle is not this session's
   * @throws {StatusError} if the service fails otherwise
   * @throws {DisposedError} if the session object is disposed
   */
  execute<T = unknown>(code: string, options: ExecuteOptions = {}): ExecutionPromise<T> {
    return this.#executor.execute(code, options);
  }

  /**
   * Runs source text, such as the name of a function, and keeps its completion value in the session: it comes as a handle
   * whatever it is, and a promise is not awaited. The caller releases the handle.
   * @throws as `execute`
   */
  handle(code: string, options: ExecuteOptions = {}): ExecutionPromise<Handle> {
    return this.#executor.execute(code, options, Encoding.HANDLE);
  }

  /**
   * Calls the function that a dotted path, such as "counter.up", leads to from the session's names: top-level let, const and
   * class as well as the properties of the global object. `this` is what stands before the last dot.
   * @throws as `execute`; a path that leads nowhere is a GuestError
   */
  call<T = unknown>(path: string, args: readonly unknown[] = [], options: CallOptions = {}): ExecutionPromise<T> {
    return this.#executor.call({ path }, args, options);
  }

  /**
   * Runs source text and gives the values that it emits as they come: what guest code gives to `emit`, and what the generator
   * yields that is its completion value.
   *
   *     for await (const n of session.stream<number>("countdown(3)")) console.log(n);
   *
   * It begins at once. Failures are those of `execute`, thrown where the values are read.
   */
  stream<T = unknown, R = unknown>(code: string, options: ExecuteOptions = {}): ExecutionStream<T, R> {
    return this.#executor.streamExecute(code, options);
  }

  /** Calls a function, as `call` does, and gives the values that it emits as they come, as `stream` does. */
  callStream<T = unknown, R = unknown>(
    path: string,
    args: readonly unknown[] = [],
    options: CallOptions = {},
  ): ExecutionStream<T, R> {
    return this.#executor.streamCall({ path }, args, options);
  }

  /**
   * Lends functions of this process to the session, where guest code finds them as global async functions of these names:
   *
   *     await session.expose({ fetchUser: (id: string, { signal }: HostCallContext) => users.get(id, signal) });
   *     await session.execute("(await fetchUser('ann')).name");
   *
   * Values of every kind go both ways; what cannot be copied comes as a {@link Handle} that is of use until the function has
   * returned. Calls run at once, in any order. They travel on a Connect stream, over the transport "unary" on one of its own,
   * which is opened again when it breaks: calls that were not answered are then made again, and run once. It keeps the process
   * alive until the exposure is released, or the session object or the client is closed.
   * @throws {TypeError} if what is exposed is no function
   * @throws {RangeError} if a time is out of range
   * @throws {InvalidRequestError} if a name is no identifier
   * @throws {AlreadyExistsError} if another client provides a function of one of the names; none is exposed then
   * @throws {NotFoundError} if there is no such session
   * @throws {StatusError} if the service fails otherwise, such as a ConnectionLostError where streams break again and again
   * @throws {DisposedError} if the session object is disposed, or the client closed
   */
  async expose(functions: Readonly<Record<string, HostFunction>>, options: ExposeOptions = {}): Promise<Exposure> {
    this.#lifetime.assertUsable();
    return this.#client.hostFunctions.expose(this.#scope, functions, options);
  }

  /**
   * Gives what happens in the session from when a loop begins to read it, whoever asked for it: first the session as it is, then its
   * console and the ends of its executions. It is no use of the session, and keeps it no longer. Leaving the loop ends it.
   * @throws {NotFoundError} if there is no such session
   * @throws {StatusError} with code ABORTED when the session is deleted
   * @throws {ResourceExhaustedError} if the loop is too slow for what happens
   * @throws {DisposedError} if the session object is disposed
   */
  watch(options: WatchOptions = {}): AsyncGenerator<SessionEvent, void, void> {
    this.#lifetime.assertUsable();
    return watchSession(this.#transport, this.id, options);
  }

  /**
   * Gives a typed function that calls the one that `path` leads to at the time of each call; see `call`. `options` hold for
   * each call.
   */
  fn<Args extends readonly unknown[] = unknown[], Result = unknown>(
    path: string,
    options: CallOptions = {},
  ): (...args: Args) => ExecutionPromise<Awaited<Result>> {
    return (...args) => this.call<Awaited<Result>>(path, args, options);
  }

  /**
   * Loads a module into the session, and gives a typed proxy of what it exports:
   *
   *     await using guest = await session.load<typeof import("./guest.js")>(source);
   *     await guest.inc(3);
   *
   * `source` is the text of the module, or `{ name }` of one that the session has. Text that is loaded under a `filename` that the
   * session has already replaces that module for later imports. The caller releases the guest, which keeps the module alive. The
   * type is the caller's promise. docs/guests.md tells what a guest can do.
   * @throws {GuestError} if the module does not parse, or throws
   * @throws otherwise as `execute`
   */
  load<T = unknown>(source: string | { readonly name: string }, options: LoadOptions = {}): Promise<Guest<T>> {
    return loadGuest<T>(this.#executor, source, options);
  }

  /**
   * Gives a typed proxy of the session's names: top-level let, const and class, and the properties of the global object. Nothing is
   * asked of the session, and there is nothing to release.
   */
  guest<T = unknown>(): GuestMember<T> {
    return guestOfNames<T>(this.#executor);
  }

  /**
   * Renders a template in the session's scope: it sees the names of the context, and behind them those of the session. docs/templates.md
   * tells the language. Values of the context are as those of bindings.
   * @throws {TypeError} if a value of the context cannot be sent
   * @throws {GuestError} if the template does not parse, names what is not there, or calls what throws
   * @throws {InvalidRequestError} if the session has no template of the name
   * @throws otherwise as `execute`
   */
  render(template: Template, context: RenderContext = {}, options: RenderOptions = {}): ExecutionPromise<string> {
    return this.#executor.render(template, context, options);
  }

  /**
   * Renders a template and gives its text in pieces, while it runs: it goes no further ahead than some of them. The whole may be
   * larger than a value; the execution's own is undefined.
   * @throws as `render`, where the pieces are read
   */
  renderStream(
    template: Template,
    context: RenderContext = {},
    options: RenderOptions = {},
  ): ExecutionStream<string, undefined> {
    return this.#executor.streamRender(template, context, options);
  }

  /**
   * Adds templates to the session, by the names that `render({ name })`, `{% include %}` and `{% extends %}` know them by; those
   * of the same name are replaced. They are not parsed yet.
   * @throws {InvalidRequestError} if a name is none
   * @throws otherwise as `execute`
   */
  async templates(texts: Readonly<Record<string, string>>, options: CallOptions = {}): Promise<void> {
    await this.#executor.render("", {}, { ...options, templates: texts });
  }

  /**
   * Lists the own properties of the value that a dotted path leads to, or without one the session's names. It runs no guest
   * code.
   * @throws {InvalidRequestError} if the path leads nowhere, or through an accessor or a proxy
   * @throws {StatusError} if the service fails
   * @throws {DisposedError} if the session object is disposed
   */
  inspect(path = "", options: InspectOptions = {}): Promise<Inspection> {
    return inspectValue(this.#transport, this.id, { path }, options);
  }

  /**
   * Tells about the session. It is no use of it: the session is not kept longer for it.
   * @throws {NotFoundError} if there is no such session
   * @throws {StatusError} if the service fails otherwise
   * @throws {DisposedError} if the session object is disposed
   */
  async info(options: RequestOptions = {}): Promise<SessionInfo> {
    const request = { sessionId: this.id };
    const response = await this.#transport.send(SessionServiceService.getSession, request, options);
    return readSession(response.session);
  }

  /**
   * Makes a copy of the session as it is between two turns; with a `count` so many at once. Each is a session of its own, which
   * leaving an `await using` block deletes, and has all that this one has: `handle.in(copy)` is a handle there. What is in
   * flight goes on in the copies, where `watch` tells of it; what it calls of this client waits there until that is exposed to
   * the copy. The session itself does not change.
   *
   *     const candidates = await session.fork(8);
   * @throws {ResourceExhaustedError} if there is no room for all of them; none is made then
   * @throws {NotFoundError} if there is no such session
   * @throws {StatusError} if the service fails otherwise
   * @throws {DisposedError} if the session object is disposed
   */
  fork(options?: ForkOptions): Promise<Session>;
  fork(count: number, options?: ForkOptions): Promise<Session[]>;
  async fork(countOrOptions: number | ForkOptions = {}, more: ForkOptions = {}): Promise<Session | Session[]> {
    if (typeof countOrOptions !== "object") return this.#fork(countOrOptions, more);
    const [copy] = await this.#fork(1, countOrOptions);
    if (copy === undefined) throw new LivescopeError("the answer carries no session: is the server newer?");
    return copy;
  }

  /**
   * Takes a snapshot of the session as it is between two turns. The session goes on and does not change.
   * `client.createSession({ from: snapshot })` makes sessions from it, and `rollback` puts this one back to it.
   * @throws {ResourceExhaustedError} if the server has no room for it
   * @throws {NotFoundError} if there is no such session
   * @throws {StatusError} if the service fails otherwise
   * @throws {DisposedError} if the session object is disposed
   */
  async snapshot(options: SnapshotOptions = {}): Promise<Snapshot> {
    return takeSnapshot(this.#transport, this.id, options);
  }

  /**
   * Puts the session back to a snapshot of it. What is in flight ends as a {@link StoppedError} with reason ROLLED_BACK. Labels,
   * limits, and the functions that clients expose stay; handles that came since are of no use any more.
   * @throws {InvalidRequestError} if it is a snapshot of another session
   * @throws {IncompatibleSnapshotError} if another build of the engine made it
   * @throws {NotFoundError} if there is no such session or snapshot
   * @throws {StatusError} if the service fails otherwise
   * @throws {DisposedError} if the session object is disposed
   */
  async rollback(snapshot: Snapshot | string, options: RollbackOptions = {}): Promise<void> {
    await rollbackSession(this.#transport, this.id, snapshotIdOf(snapshot), options);
  }

  /**
   * Runs a sequence of calls of which all stand, or none: if the callback throws, or the time is over, all that they did in the
   * session is undone. Meanwhile the session is held. Whatever the callback does in this session, through any session object, handle or
   * guest of this client, belongs to the sequence; all other calls wait for its end, also those that this process makes elsewhere. Host
   * calls that guest code made, and values that it emitted, stay made.
   *
   *     await session.atomic(async (tx) => {
   *       await tx.call("withdraw", ["ann", 10]);
   *       await tx.call("deposit", ["bob", 10]);
   *     });
   *
   * `timeout` is that of the whole sequence; left out, the session's limit for one execution. Sequences do not nest, and what
   * they run cannot be atomic by itself. Should the sequence fail while the callback runs, what that still asks of the session rejects
   * with a {@link DisposedError}.
   * @throws what the callback throws, once all is undone
   * @throws {StoppedError} if it is ended from outside, as by its timeout; all is undone then
   * @throws {StatusError} if the service fails
   * @throws {DisposedError} if the session object is disposed
   */
  atomic<T>(sequence: (session: AtomicSession) => T | Promise<T>, options: AtomicOptions = {}): Promise<T> {
    return runAtomic(this, sequence, options);
  }

  /**
   * Changes labels or limits of the session, how long it is kept when nobody uses it, or what becomes of it then. Limits hold for
   * executions that begin from then on.
   * @throws {RangeError} if a limit is no positive number
   * @throws {InvalidRequestError} if a limit is above the server's maximum, or the heap is larger than it is to be
   * @throws {NotFoundError} if there is no such session
   * @throws {StatusError} if the service fails otherwise
   * @throws {DisposedError} if the session object is disposed
   */
  async update(update: SessionUpdate, options: RequestOptions = {}): Promise<SessionInfo> {
    return updateSession(this.#transport, this.id, update, options);
  }

  /** @internal A handle that this session has as well, being a copy of the handle's. */
  adopt({ id: handleId, type, className, preview, arity }: Handle): Handle {
    this.#lifetime.assertUsable();
    return this.#handles.retain({ handleId, type, className, preview, arity });
  }

  async #fork(count: number, options: ForkOptions): Promise<Session[]> {
    const ids = await forkSession(this.#transport, this.id, count, options);
    const kind = { ...this.#kind, isOwned: true };
    return ids.map((id) => new Session(this.#client, id, kind, this.#handles.group));
  }

  /**
   * Deletes the session for everyone, attached or not, and disposes of this object. What was asked for through this object rejects
   * with a {@link DisposedError}; what others run in it fails with code ABORTED. That it is gone already is no error.
   * @throws {StatusError} if the service fails
   * @throws {DisposedError} if this object was disposed of, and the session left as it is; or if the client is closed
   */
  async delete(): Promise<void> {
    if (this.#isLeft) this.#lifetime.assertUsable();
    this.#disposal ??= this.#end(true);
    // It may be tried again.
    this.#disposal.catch(() => (this.#disposal = undefined));
    await this.#disposal;
  }

  /**
   * Ends the use of this object. A session that it was made with is deleted, see `delete`; of an attached one its handles are
   * released. What is under way is given up: it rejects with a {@link DisposedError}, and its executions are ended, but for those with
   * a `requestId`, whose outcome can be asked for again. Doing it again does nothing. Where the server cannot be told it is none of the caller's business: it lets go of the session after its `idleTtl`.
   * @throws {StatusError} if the service fails otherwise
   */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#end(this.#kind.isOwned);
    await this.#disposal.catch(throwUnlessOutOfReach);
  }

  async #end(isDeleted: boolean): Promise<void> {
    this.#isLeft = !isDeleted;
    this.#lifetime.end(isDeleted);
    this.#handles.clear();
    this.#client.hostFunctions.forget(this.#scope, isDeleted);
    if (!isDeleted) return this.#handles.releaseGroup();
    await this.#transport.letGo(SessionServiceService.deleteSession, { sessionId: this.id, allowMissing: true });
  }
}
