import { AsyncResource } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import type { Handle as WireHandle } from "@livescope/proto";
import { Expose, type Exposed as ExposedMessage, type HostCall, type ServerFrame } from "@livescope/proto";
import { BySession } from "./by-session.js";
import { checkFunctions, checkSwitch } from "./checks.js";
import { AlreadyExistsError, LivescopeError, StatusError, traceToCaller } from "./errors.js";
import type { Handle } from "./handle.js";
import { HeldFunctions } from "./held-functions.js";
import { HostCalls } from "./host-calls.js";
import { type ExposeOptions, Exposure, type HostFunction } from "./host-function.js";
import type { Lifetime } from "./lifetime.js";
import { readDuration, writeDuration } from "./limits.js";
import { LONGEST_TIMER } from "./longest-timer.js";
import type { WrapHandle } from "./outcome.js";
import type { PassedFunctions } from "./passed-functions.js";
import type { Session } from "./session.js";
import type { SessionPresence } from "./session-presence.js";
import { ToldSessions } from "./told-sessions.js";
import { ATTEMPTS, type Connection } from "./transport/connection.js";
import type { HostSide } from "./transport/host-side.js";
import type { Saying } from "./transport/saying.js";
import { errorFromStatus } from "./transport/status.js";
import { type PromiseWithResolvers, withResolvers } from "./with-resolvers.js";

/** A session object, as the functions that were given to it know it. */
export interface HostScope {
  readonly sessionId: string;
  readonly session: Session;
  readonly lifetime: Lifetime;
  readonly presence: SessionPresence;
  /** Makes a handle that is of use while `isOpen` says so. */
  makeHandle(description: WireHandle, isOpen: () => boolean): Handle;
}

/** A function with what its calls need. */
export interface Provided {
  readonly run: HostFunction;
  readonly timeout: number | undefined;
  readonly scope: HostScope;
  /** Where it was lent: its calls come on a stream that may have been opened by anybody. */
  readonly lentIn: AsyncResource;
  /** Makes what stands for handles among the arguments. */
  readonly wrap?: WrapHandle | undefined;
}

/** How long it takes until something is asked again that was refused for now, in milliseconds: at least, and where the server does not say. */
const AGAIN = { least: 100, otherwise: 1_000 };
/** How long the server waits for a client that did not say how long, in milliseconds. */
const RECONNECT_WINDOW = 30_000;
/** How long a session that gave back what was passed to it is waited for to be passed more, in milliseconds: less than an idle stream is kept. */
const ENDING = 500;

interface Exposed {
  readonly request: Expose;
  readonly provided: ReadonlyMap<string, Provided>;
  readonly scope: HostScope;
  /** Settled by the first answer. */
  readonly begun: PromiseWithResolvers<void>;
  readonly ended: PromiseWithResolvers<StatusError | undefined>;
  isBegun: boolean;
  /** How often a stream broke before its first answer. */
  failures: number;
  /** The stream that it was answered on last; 0: none yet. */
  stream: number;
  /** Since when it waits to be asked for on a stream, as `performance.now()` tells the time. */
  waitsSince: number;
}

/** What a session is told, and is to answer. */
interface Asked {
  readonly sessionId: string;
  /** Undefined for what only names the connection. */
  readonly exposed: Exposed | undefined;
  /** What asks once more; undefined where that is of no use any more. */
  again(): Saying | undefined;
}

/**
 * All functions that a client lends to sessions. They travel on a Connect stream, which is kept for them, and opened again when
 * it breaks; the server then knows the client by its connection id, and sends again what was not answered.
 */
export class HostFunctions implements HostSide {
  readonly #connection: Connection;
  readonly #connectionId = randomUUID();
  readonly #calls: HostCalls;
  readonly #exposed = new Set<Exposed>();
  /** The same. */
  readonly #exposedTo = new BySession<Exposed>();
  readonly #passed = new HeldFunctions();
  readonly #told = new ToldSessions();
  /** Sessions of which it is looked soon whether they are lent anything yet. */
  readonly #ending = new Set<string>();
  /** What an answer is waited for, by the id of its frame. */
  readonly #asked = new Map<number, Asked>();
  /** Counts streams. */
  #stream = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#calls = new HostCalls(connection, {
      windowOf: (sessionId) => this.#told.windowOf(sessionId) ?? RECONNECT_WINDOW,
      onEnded: (sessionId) => this.#endIfUnused(sessionId),
    });
    connection.serve(this);
  }

  get isActive(): boolean {
    return this.#exposed.size > 0 || this.#passed.size > 0 || this.#calls.areRunning;
  }

  /**
   * @throws {StatusError} if the server refuses them, or cannot be reached
   * @throws {RangeError} if an option is none
   */
  async expose(
    scope: HostScope,
    functions: Readonly<Record<string, HostFunction>>,
    options: ExposeOptions,
  ): Promise<Exposure> {
    const { timeout, takeOver, reconnectWindow } = options;
    if (timeout !== undefined) writeDuration("timeout", timeout);
    checkSwitch("takeOver", takeOver);
    checkFunctions(functions);
    const provided = new Map<string, Provided>();
    const lentIn = new AsyncResource("HostFunctions");
    for (const [name, run] of Object.entries(functions)) provided.set(name, { run, timeout, scope, lentIn });
    const request = Expose.create({
      sessionId: scope.sessionId,
      names: [...provided.keys()],
      connectionId: this.#connectionId,
      takeOver: takeOver ?? false,
      reconnectWindow: writeWindow(reconnectWindow),
    });
    const exposed: Exposed = {
      request,
      provided,
      scope,
      begun: withResolvers(),
      ended: withResolvers(),
      isBegun: false,
      failures: 0,
      stream: 0,
      waitsSince: performance.now(),
    };
    this.#exposed.add(exposed);
    this.#exposedTo.add(scope.sessionId, exposed);
    this.#connection.say(this.#asking(exposed));
    const over = scope.lifetime.hold({ giveUp: (error) => this.#refuse(exposed, error) });
    const caller = new Error("called here");
    try {
      await exposed.begun.promise;
    } catch (thrown) {
      const error = scope.presence.explain(thrown);
      if (error instanceof LivescopeError) traceToCaller(error, caller);
      throw error;
    } finally {
      over();
    }
    scope.presence.note();
    return new Exposure(request.names, exposed.ended.promise, () => this.#end(exposed, undefined));
  }

  /** Keeps functions that a command is about to carry. @returns forgets them: the command was refused */
  pass(scope: HostScope, { byId, wrap }: PassedFunctions): () => void {
    const lentIn = new AsyncResource("HostFunctions");
    for (const [id, run] of byId) this.#passed.add(id, { run, timeout: undefined, scope, lentIn, wrap });
    if (!this.#told.has(scope.sessionId) && this.#connection.isOpen) this.#connection.say(this.#naming(scope));
    return () => this.#forgetPassed(byId.keys());
  }

  /** A session object is done with. @param isDeleted the session is gone for all */
  forget(scope: HostScope, isDeleted: boolean): void {
    for (const exposed of this.#exposedTo.of(scope.sessionId)) {
      if (exposed.scope === scope) this.#end(exposed, undefined);
    }
    for (const [id, provided] of this.#passed.of(scope.sessionId)) {
      if (provided.scope !== scope) continue;
      this.#passed.delete(id);
      if (!isDeleted) this.#connection.say({ frame: { $case: "releaseHostFunctionId", value: id } });
    }
    // Should there be another one of its id, that knows nobody yet.
    if (isDeleted) this.#told.forget(scope.sessionId);
    else this.#endIfUnused(scope.sessionId);
    this.#connection.checkIdle();
  }

  // What the connection says.

  opening(): Saying[] {
    this.#stream++;
    this.#asked.clear();
    this.#told.clear();
    this.#calls.onNewStream();
    const sayings: Saying[] = [];
    // Before what is exposed: should that be refused, what was passed finds this client all the same.
    for (const sessionId of this.#passed.sessionIds) sayings.push(this.#naming({ sessionId }));
    for (const exposed of this.#exposed) sayings.push(this.#asking(exposed));
    // What runs yet of functions that were released is to be answered.
    for (const sessionId of this.#calls.sessionIds) {
      if (!this.#told.has(sessionId)) sayings.push(this.#naming({ sessionId }));
    }
    return sayings;
  }

  hear({ frameId, frame }: ServerFrame): void {
    switch (frame?.$case) {
      case "exposed":
        if (frameId === 0n) return this.#onNamesLeft(frame.value);
        return this.#onAnswer(Number(frameId), undefined);
      case "status":
        return this.#onAnswer(Number(frameId), errorFromStatus(frame.value));
      case "hostCall":
        return this.#calls.run(frame.value, this.#find(frame.value));
      case "hostCallCancelled":
        return this.#calls.cancel(frame.value.hostCallId);
      case "releasedHostFunctionId":
        return this.#forgetPassed([frame.value]);
    }
  }

  onLost(makeError: () => LivescopeError): void {
    for (const exposed of this.#exposed) exposed.waitsSince = performance.now();
    for (const { exposed } of this.#asked.values()) {
      if (exposed?.isBegun === false && ++exposed.failures === ATTEMPTS) this.#refuse(exposed, makeError());
    }
  }

  get waitsSince(): number | undefined {
    const times = [...this.#exposed].filter(({ isBegun }) => !isBegun).map((exposed) => exposed.waitsSince);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  onUnreachable(makeError: () => LivescopeError, since: number): void {
    for (const exposed of [...this.#exposed]) {
      if (!exposed.isBegun && exposed.waitsSince <= since) this.#refuse(exposed, makeError());
    }
  }

  onRefused(makeError: () => LivescopeError): void {
    for (const exposed of [...this.#exposed]) this.#refuse(exposed, makeError());
    this.#passed.clear();
    this.#calls.cancelAll();
  }

  /** No stream will be this client again, so that no session is to wait for it. */
  onClosing(): void {
    for (const sessionId of this.#told.ids) this.#connection.say(this.#naming({ sessionId }, 0));
  }

  onClosed(): void {
    for (const exposed of [...this.#exposed]) this.#end(exposed, undefined);
    this.#passed.clear();
    this.#calls.cancelAll();
  }

  #forgetPassed(ids: Iterable<string>): void {
    for (const id of ids) {
      const provided = this.#passed.get(id);
      if (provided === undefined) continue;
      this.#passed.delete(id);
      this.#endSoonIfUnused(provided.scope.sessionId);
    }
    this.#connection.checkIdle();
  }

  #find({ sessionId, function: asked }: HostCall): Provided | undefined {
    if (asked === undefined) return undefined;
    if (asked.hostFunctionId !== "") return this.#passed.get(asked.hostFunctionId);
    // The newest that has the name.
    const newest = this.#exposedTo.of(sessionId).findLast(({ provided }) => provided.has(asked.name));
    return newest?.provided.get(asked.name);
  }

  /** What exposes functions. On a later stream names are not taken from who took them meanwhile. */
  #asking(exposed: Exposed): Saying {
    const { request, isBegun } = exposed;
    const { sessionId } = request;
    // What is left to this client is told without it until it is answered.
    exposed.stream = 0;
    // Who waits for the first answer may ask again itself.
    const again = (): Saying | undefined => (isBegun && this.#exposed.has(exposed) ? this.#asking(exposed) : undefined);
    return {
      ...this.#ask(isBegun ? { ...request, takeOver: false } : request, { sessionId, exposed, again }),
      tooLarge: (bytes) => {
        this.#told.countAnswer(sessionId);
        this.#refuse(exposed, new LivescopeError(`the names have ${bytes} bytes: expose fewer`));
      },
    };
  }

  /** What tells a session who this is. @param window milliseconds, where it is not the server's default */
  #naming({ sessionId }: Pick<HostScope, "sessionId">, window?: number): Saying {
    const value = Expose.create({
      sessionId,
      connectionId: this.#connectionId,
      reconnectWindow: writeWindow(window),
    });
    const again = (): Saying | undefined =>
      window === undefined && this.#told.has(sessionId) ? this.#naming({ sessionId }) : undefined;
    return this.#ask(value, { sessionId, exposed: undefined, again });
  }

  #ask(value: Expose, asked: Asked): Saying {
    const { sessionId } = asked;
    const window = value.reconnectWindow === undefined ? RECONNECT_WINDOW : readDuration(value.reconnectWindow);
    this.#told.tell(sessionId, window);
    return { frame: { $case: "expose", value }, sent: (frameId) => this.#asked.set(frameId, asked) };
  }

  /** The server has no room for it now: many streams that broke at once, or one that carried much, ask for all of it at once. */
  #askLater({ sessionId, again }: Asked, delay = AGAIN.otherwise): void {
    const stream = this.#stream;
    const ask = (): void => {
      // The next stream begins with all of it.
      if (this.#stream !== stream || !this.#connection.isOpen) return;
      const saying = again();
      if (this.#told.countAnswer(sessionId)) this.#calls.cancelLeftBehind(sessionId);
      if (saying !== undefined) this.#connection.say(saying);
    };
    setTimeout(ask, Math.min(Math.max(delay, AGAIN.least), LONGEST_TIMER)).unref();
  }

  #onAnswer(frameId: number, error: StatusError | undefined): void {
    const asked = this.#asked.get(frameId);
    if (asked === undefined) return this.#onSessionEnd(frameId, error);
    this.#asked.delete(frameId);
    if (error === undefined) {
      // One that was told that it is lent nothing any more has no end to tell.
      this.#told.setFrame(asked.sessionId, this.#isLentTo(asked.sessionId) ? frameId : undefined);
    }
    const isRefusedForNow = error?.code === "UNAVAILABLE" || error?.retryDelay !== undefined;
    if (isRefusedForNow && (asked.exposed?.isBegun ?? true)) return this.#askLater(asked, error.retryDelay);
    // Whatever was to be sent again has come before the last of them.
    if (this.#told.countAnswer(asked.sessionId)) this.#calls.cancelLeftBehind(asked.sessionId);
    if (error?.code === "NOT_FOUND" || error?.code === "DATA_LOSS") this.#dropPassed(asked.sessionId);
    const { exposed } = asked;
    if (exposed === undefined) return;
    if (error !== undefined) return this.#refuse(exposed, error);
    exposed.isBegun = true;
    exposed.stream = this.#stream;
    exposed.begun.resolve();
  }

  /** Another client has taken names over. What is not answered yet on this stream is not among those that are left. */
  #onNamesLeft({ sessionId, connectionId, names }: ExposedMessage): void {
    if (connectionId !== this.#connectionId) return;
    const left = new Set(names);
    for (const exposed of this.#exposedTo.of(sessionId)) {
      const { request, stream } = exposed;
      const taken = request.names.find((name) => !left.has(name));
      if (stream !== this.#stream || taken === undefined) continue;
      const details = {
        code: "ALREADY_EXISTS",
        reason: "HOST_FUNCTION_TAKEN",
        metadata: { session_id: sessionId, name: taken },
      } as const;
      this.#refuse(exposed, new AlreadyExistsError(`another client has taken ${taken} over`, details));
    }
  }

  /**
   * A session that had answered knows this client no more. It has ended, and another of its id may have been made since; or the store
   * has failed, and what is exposed to it is asked for again.
   */
  #onSessionEnd(frameId: number, error: StatusError | undefined): void {
    const sessionId = error === undefined ? undefined : this.#told.takeByFrame(frameId);
    if (error === undefined || sessionId === undefined) return;
    const exposed = this.#exposedTo.of(sessionId).filter(({ isBegun }) => isBegun);
    if (error.code === "UNAVAILABLE") {
      for (const each of exposed) this.#connection.say(this.#asking(each));
      if (exposed.length === 0 && this.#passed.isAnyOf(sessionId)) this.#connection.say(this.#naming({ sessionId }));
    } else for (const each of exposed) this.#refuse(each, error);
  }

  /** The session is gone, and with it who could call what was passed to it. */
  #dropPassed(sessionId: string): void {
    this.#told.forget(sessionId);
    for (const [id] of this.#passed.of(sessionId)) this.#passed.delete(id);
    this.#connection.checkIdle();
  }

  #refuse(exposed: Exposed, error: LivescopeError): void {
    if (exposed.isBegun) {
      const told = exposed.scope.presence.explain(error);
      return this.#end(exposed, told instanceof StatusError ? told : undefined);
    }
    this.#delete(exposed);
    const { sessionId } = exposed.scope;
    // It may be carried out yet, where nobody waited for its answer.
    this.#endIfUnused(sessionId);
    // The session may not know who this is. What was passed to it is to be found all the same, and not waited for when this client closes.
    if (!this.#exposedTo.hasAnyOf(sessionId)) {
      const isLentTo = this.#told.forget(sessionId) && this.#isLentTo(sessionId);
      if (isLentTo && this.#connection.isOpen) this.#connection.say(this.#naming({ sessionId }));
    }
    exposed.begun.reject(error);
    this.#connection.checkIdle();
  }

  #end(exposed: Exposed, error: StatusError | undefined): void {
    if (!this.#delete(exposed)) return;
    exposed.ended.resolve(error);
    this.#endIfUnused(exposed.scope.sessionId);
    this.#connection.checkIdle();
  }

  #delete(exposed: Exposed): boolean {
    this.#exposedTo.delete(exposed.scope.sessionId, exposed);
    return this.#exposed.delete(exposed);
  }

  /** After a while, as one that was given back is often followed by another. */
  #endSoonIfUnused(sessionId: string): void {
    if (this.#ending.has(sessionId)) return;
    this.#ending.add(sessionId);
    const end = (): void => {
      this.#ending.delete(sessionId);
      this.#endIfUnused(sessionId);
    };
    setTimeout(end, ENDING).unref();
  }

  /** Tells a session that is lent nothing any more not to wait for this client: with the stream the names are free, for others to have. */
  #endIfUnused(sessionId: string): void {
    if (!this.#connection.isOpen || !this.#told.has(sessionId) || this.#isLentTo(sessionId)) return;
    this.#connection.say(this.#naming({ sessionId }, 0));
    // What is passed later is to be waited for again.
    this.#told.forget(sessionId);
  }

  /** Also what runs yet counts. */
  #isLentTo(sessionId: string): boolean {
    const areHeld = this.#passed.isAnyOf(sessionId) || this.#exposedTo.hasAnyOf(sessionId);
    return areHeld || this.#calls.areRunningIn(sessionId);
  }
}

function writeWindow(milliseconds: number | undefined) {
  if (milliseconds === undefined) return undefined;
  return milliseconds === 0 ? { seconds: 0n, nanos: 0 } : writeDuration("reconnectWindow", milliseconds);
}
