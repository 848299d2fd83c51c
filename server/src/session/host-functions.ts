/**
 * The functions that clients lend to one session: who provides which, the calls that have not been answered, and what becomes
 * of them when a client goes away.
 *
 * A connection is a client as a session knows it. It outlives the stream that it came by: while it is gone its calls wait for
 * it, for as long as it asked for, and are sent again when it is back, with the same ids.
 */
import { randomBytes, randomUUID } from "node:crypto";
import type { HostCallText, HostResult } from "../engine/kernel-protocol.js";
import { SessionError } from "./errors.js";
import { ExposedNames, type Provider } from "./exposed-names.js";
import { type FunctionOwner, FunctionOwners } from "./function-owners.js";
import type { CalledBack, ExposeOptions, Exposing, HostCall, HostLink, PassedFunctions } from "./lending.js";
import { valueFrom } from "./outcome.js";
import { type Call, PendingCalls } from "./pending-calls.js";
import type { GoneRecord, HostCallRecord, HostFunctionsRecord, LenderRecord } from "./session-record.js";

/** What the functions ask of their session. */
export interface HostFunctionsHost {
  readonly sessionId: string;
  /** False for a reply with which too much would wait for the guest to take it. */
  hasRoomFor(result: HostResult): boolean;
  /** Gives the guest the reply of a call. */
  reply(callId: string, execution: number, result: HostResult): void;
  /** Sends a call when the store has what it follows from, where the session is a durable one. */
  whenKept(send: () => void): void;
  /**
   * Does what cannot be taken back: when no atomic execution may undo any more what it follows from, and the store has that, where the
   * session is a durable one.
   *
   * @param undone is called in its place where an atomic execution has undone it
   */
  whenFinal(work: () => void, undone: () => void): void;
  /** Number of the atomic execution that holds the session, and may yet be undone; 0 for none. */
  readonly holder: number;
  /** The execution of this number while it is open. */
  callerOf(execution: number): HostCaller | undefined;
}

/** An execution that calls. */
export interface HostCaller {
  readonly executionId: string;
  /** Milliseconds until it has to end. */
  timeLeft(): number;
  hostCallBegan(): void;
  hostCallEnded(): void;
}

/** Of the id of a call that is made again, as long as that of the guest's. */
const CALL_ID_BYTES = 8;

/** Milliseconds that calls wait for a client that did not say how long. */
export const RECONNECT_WINDOW = 30_000;

/** What one session keeps for its clients. Beyond it the client is refused, or the guest's call rejected. */
const MOST = {
  connections: 1_000,
  names: 1_000,
  functions: 10_000,
  /** The kernel itself makes no more, so only a guest that broke its engine meets this one. */
  calls: 10_000,
  /** UTF-16 units, or bytes, of the arguments and locals of open calls: they are kept, to be sent again. */
  argumentSize: 16 * 1024 * 1024,
};

interface Connection extends FunctionOwner, Provider {
  link: HostLink | undefined;
  /** That by which it was here last. */
  lastLink: HostLink | undefined;
  reconnectWindow: number;
  timer: NodeJS.Timeout | undefined;
}

/** Clients that lend functions to a session, on their way to where it is loaded again. */
export interface Lenders {
  readonly clients: readonly Connection[];
  /** Functions that commands brought which are undone, or that the guest let go of: it has such alone that it knows where it is loaded. */
  readonly doubtful: readonly string[];
  /** Functions of commands that may come again: where it does not know one by then, it never gets it otherwise. */
  readonly awaited: readonly string[];
  /** Calls that clients were asked to answer. */
  readonly asked: readonly { readonly callId: string; readonly link: HostLink }[];
}

interface Sent {
  readonly link: HostLink;
}

interface PendingCall extends Call {
  /** Undefined in a copy of the session that made the call, until a client provides the function there. */
  connection: Connection | undefined;
  /** That it was sent last, or is to be when the store has it. */
  sent: Sent | undefined;
  /** Number of the atomic execution that held the session when it was made; 0 for none. */
  readonly holder: number;
}

export class HostFunctions implements CalledBack {
  readonly #host: HostFunctionsHost;
  readonly #connections = new Map<string, Connection>();
  readonly #names = new ExposedNames<Connection>();
  readonly #owners = new FunctionOwners<Connection>();
  /** By the id that clients know the call by: in a copy it is another one than the guest's. */
  readonly #pending = new PendingCalls<PendingCall>();

  constructor(host: HostFunctionsHost) {
    this.#host = host;
  }

  /** True while some client lends something, or may come back. Where it has nothing left and no window it would not be missed. */
  get hasClients(): boolean {
    const isAsked = (client: Connection): boolean =>
      [...this.#pending].some(([, { connection }]) => connection === client);
    return [...this.#connections.values()].some(
      (each) => each.reconnectWindow > 0 || each.names.size > 0 || each.functions.size > 0 || isAsked(each),
    );
  }

  /** True while a call has not been answered. */
  get areCallsOpen(): boolean {
    return this.#pending.size > 0;
  }

  /** All names that some client provides. */
  get names(): string[] {
    return this.#names.provided;
  }

  /**
   * A client provides functions. Its calls that were not answered are sent again. Those whom it takes names from are told, once it is
   * known that it has them.
   *
   * @throws SessionError HOST_FUNCTION_TAKEN when another connection has one of the names; none is taken then.
   * QUOTA_EXCEEDED
   */
  expose(options: ExposeOptions, link: HostLink): Exposing {
    const { connectionId, names, takeOver, reconnectWindow } = options;
    const taken = names.find((name) => (this.#names.providerOf(name)?.id ?? connectionId) !== connectionId);
    if (taken !== undefined && !takeOver) {
      throw new SessionError(
        "HOST_FUNCTION_TAKEN",
        `names: another client provides ${taken}; take it over with take_over, or choose another name`,
        { ids: { session_id: this.#host.sessionId, name: taken }, field: "names" },
      );
    }
    if (this.#names.countWith(names) > MOST.names) throw this.#tooMany("functions exposed", MOST.names);
    const connection = this.#connect(connectionId, link, reconnectWindow);
    const exposing = this.#names.expose(connection, names);
    this.#moveCalls(names);
    const isHere = (provider: Connection): boolean => this.#connections.get(provider.id) === provider;
    return {
      keep: () => {
        for (const former of this.#names.keep(exposing)) {
          former.link?.namesLeft(this.#host.sessionId, former.id, this.#names.settledOf(former));
        }
        return this.#names.settledOf(connection);
      },
      undo: () => {
        this.#names.undo(exposing, isHere);
        this.#moveCalls(names);
      },
    };
  }

  /** Open calls by these names go to who provides the name now, or wait for who will. Where there is neither, who was asked may answer. */
  #moveCalls(names: readonly string[]): void {
    for (const name of names) {
      const provider = this.#names.providerOf(name);
      if (provider === undefined && !this.#names.isAwaited(name)) continue;
      for (const [callId, call] of this.#pending.of({ name })) {
        if (provider === call.connection) continue;
        const former = call.connection?.link;
        call.connection = provider;
        // A stream that is both goes on with the call that it has.
        if (former !== undefined && former === provider?.link) continue;
        former?.cancelled(callId);
        // Whoever was told so has to be asked again should it be its turn again.
        call.sent = undefined;
        this.#send(callId, call);
      }
    }
  }

  /**
   * A client passes functions as values. They belong to the connection that its stream has exposed to this session as, or else
   * to one of their own, which no other stream can be: nothing waits for that one.
   *
   * @throws SessionError QUOTA_EXCEEDED
   */
  pass({ ids, link }: PassedFunctions): void {
    if (this.#owners.size + ids.length > MOST.functions) throw this.#tooMany("functions passed", MOST.functions);
    const known = [...this.#connections.values()].find((each) => each.lastLink === link);
    const connection = known ?? this.#connect(randomUUID(), link, 0);
    const passed = new Set(ids);
    this.#owners.pass(connection, passed);
    for (const id of passed) {
      for (const [callId, call] of this.#pending.of({ id, name: "" })) {
        if (call.connection !== undefined) continue;
        call.connection = connection;
        this.#send(callId, call);
      }
    }
  }

  /**
   * A client repeats a command that brought these, which does not run again. The guest may have let go of them since, and who was to be
   * told so may have gone before, or this server may have started since.
   */
  passedAgain({ ids, link }: PassedFunctions): void {
    for (const id of new Set(ids)) if (!this.#owners.has(id)) link.released(id);
  }

  /** A command that brought these has run: the guest may hold them. */
  received(ids: readonly string[]): void {
    this.#owners.received(ids);
  }

  /** A command that brought these never ran, or was undone: the guest has those alone that it got by another. */
  notReceived(ids: readonly string[]): void {
    this.#owners.notReceived(ids);
  }

  /** A client keeps a function no more that it passed; calls of it fail from now on. */
  forget(link: HostLink, hostFunctionId: string): void {
    if (this.#owners.of(hostFunctionId)?.link !== link) return;
    this.#owners.forget(hostFunctionId);
    this.#fail(this.#pending.of({ id: hostFunctionId, name: "" }), "the client has released this function");
  }

  /** The stream of a client has ended. */
  detach(link: HostLink): void {
    for (const connection of this.#connections.values()) {
      if (connection.link === link) this.#awaitReturn(connection);
    }
  }

  #awaitReturn(connection: Connection): void {
    connection.link = undefined;
    clearTimeout(connection.timer);
    connection.timer = setTimeout(() => this.#abandon(connection), connection.reconnectWindow);
    connection.timer.unref();
  }

  /** Guest code calls. @param execution number of the execution it does it for; 0 for none */
  call(execution: number, text: HostCallText): void {
    const refuse = (message: string): void => this.#host.reply(text.call, execution, failure(message));
    const connection = this.#providerOf(text);
    const isAwaited = text.id === undefined && this.#names.isAwaited(text.name);
    if (connection === undefined && !isAwaited) return refuse(`no client provides ${named(text)} now`);
    const size = sizeOf(text);
    if (this.#pending.size >= MOST.calls || this.#pending.argumentSize + size > MOST.argumentSize) {
      return refuse("too many calls of host functions are open; await some of them");
    }
    this.#open(text.call, { execution, text, size, connection, sent: undefined, holder: this.#host.holder });
  }

  #open(callId: string, call: PendingCall): void {
    this.#pending.add(callId, call);
    this.#host.callerOf(call.execution)?.hostCallBegan();
    this.#send(callId, call);
  }

  #providerOf(text: HostCallText): Connection | undefined {
    return text.id === undefined ? this.#names.providerOf(text.name) : this.#owners.of(text.id);
  }

  /** What a copy of the session has to know. */
  get record(): HostFunctionsRecord {
    return {
      names: this.#names.known,
      ...this.#owners.record([...this.#connections.values()]),
      calls: [...this.#pending].map(([callId, { execution, text }]) => ({ callId, execution, text })),
    };
  }

  /**
   * What was called is called again once somebody provides it here.
   *
   * @param isItself the session has come back: calls have the ids that they had, and who lent it functions is waited for. In a copy
   * calls have ids of their own
   */
  restore({ names, passed, lenders = [], gone = [], calls }: HostFunctionsRecord, isItself: boolean): void {
    this.#names.await(names);
    if (isItself) this.#awaitLenders(lenders, passed, gone);
    for (const call of calls) this.#callAgain(call, isItself);
  }

  #awaitLenders(lenders: readonly LenderRecord[], passed: readonly string[], gone: readonly GoneRecord[]): void {
    this.#owners.restoreGone(gone);
    let first = 0;
    for (const { connectionId, reconnectWindow, passed: count } of lenders) {
      const functions = new Set(passed.slice(first, first + count));
      first += count;
      const connection = newConnection(connectionId, reconnectWindow, functions);
      this.#owners.noteReturn(connection);
      this.#owners.add(connection);
      this.#connections.set(connectionId, connection);
      this.#awaitReturn(connection);
    }
  }

  /** The session was put back: of what it called since nobody waits, and of what it got since it knows nothing. */
  rollBack({ names, passed, calls }: HostFunctionsRecord): void {
    this.#cancel(this.#pending);
    this.#owners.keepOnly(passed);
    this.restore({ names, passed, calls }, false);
  }

  #callAgain({ execution, text, callId }: HostCallRecord, isItself: boolean): void {
    const connection = this.#providerOf(text);
    this.#open(isItself ? callId : randomBytes(CALL_ID_BYTES).toString("hex"), {
      execution,
      text,
      size: sizeOf(text),
      connection,
      sent: undefined,
      holder: 0,
    });
  }

  /**
   * The client answered; an answer for a call that is not open, or not its, is ignored. One with which too much would wait rejects
   * the guest's call: it is the guest that does not take them.
   */
  result(link: HostLink, callId: string, result: HostResult): void {
    const call = this.#pending.get(callId);
    if (call?.connection?.link !== link) return;
    this.#settle(callId, call, this.#host.hasRoomFor(result) ? result : failure(TOO_MUCH_TO_TAKE));
  }

  /** The guest does not hold a function any more; it does again should that be undone. */
  letGo(hostFunctionId: string): void {
    this.#owners.letGo(hostFunctionId);
    this.#host.whenFinal(
      () => this.#owners.releaseLetGo(hostFunctionId),
      () => this.#owners.holdAgain(hostFunctionId),
    );
  }

  /** The name of a function that an execution has called and no client provides now; undefined where there is none. */
  unprovidedTo(execution: number): string | undefined {
    for (const [, { connection, text }] of this.#pending.madeFor(execution)) {
      if (connection?.link === undefined) return text.name;
    }
    return undefined;
  }

  /** Nobody waits any more for the calls of an execution. */
  cancelOf(execution: number): void {
    this.#cancel(this.#pending.madeFor(execution));
  }

  /** An atomic execution was undone: the guest knows of no call that was made meanwhile, whoever made it. */
  cancelHeld(holder: number): void {
    this.#cancel([...this.#pending].filter(([, call]) => call.holder === holder));
  }

  #cancel(calls: Iterable<[callId: string, call: PendingCall]>): void {
    for (const [callId, { connection }] of calls) {
      this.#pending.delete(callId);
      connection?.link?.cancelled(callId);
    }
  }

  /**
   * The session leaves memory, and is to be loaded again: those who lend it functions go on to do so there.
   *
   * @param isUndone what is not kept is known to be undone; else it may come again, with the functions that it brought
   */
  handOver(isUndone = false): Lenders {
    const clients = [...this.#connections.values()];
    const { unheld, unknown } = this.#owners;
    const [doubtful, awaited] = isUndone ? [[...unheld, ...unknown], []] : [unheld, unknown];
    for (const { timer, link } of clients) {
      clearTimeout(timer);
      link?.ended(this);
    }
    const asked = [...this.#pending].flatMap(([callId, { sent }]) => (sent === undefined ? [] : [{ callId, ...sent }]));
    this.#connections.clear();
    this.#names.clear();
    this.#owners.clear();
    this.#pending.clear();
    return { clients, doubtful, awaited, asked };
  }

  /** What was called and is not answered is called again, by the same ids. */
  adopt({ clients, doubtful, awaited, asked }: Lenders): void {
    // What an atomic execution asked for that was not kept nobody waits for any more.
    for (const { callId, link } of asked) if (this.#pending.get(callId) === undefined) link.cancelled(callId);
    const isUnheld = (id: string): boolean => !this.#owners.has(id);
    const [unheld, unknown] = [doubtful.filter(isUnheld), awaited.filter(isUnheld)];
    for (const lender of clients) {
      const known = this.#connections.get(lender.id);
      // It has come back by itself.
      if (known?.lastLink !== undefined) continue;
      clearTimeout(known?.timer);
      // Such as it has taken back since what the session was loaded from.
      if (known !== undefined) this.#owners.remove(known);
      this.#connections.set(lender.id, lender);
      this.#names.adopt(lender);
      this.#owners.add(lender);
      if (lender.link?.isOpen === true) lender.link.attached(this);
      else this.#awaitReturn(lender);
    }
    for (const id of unheld) this.#owners.release(id);
    this.#owners.awaitRepeat(unknown);
    for (const [callId, call] of this.#pending) {
      // Of who was waited for meanwhile another object may have come.
      const isKnown = call.connection !== undefined && this.#connections.get(call.connection.id) === call.connection;
      if (!isKnown) call.connection = this.#providerOf(call.text);
      this.#send(callId, call);
    }
  }

  /** The session leaves memory. @param why given where it ends, of which its clients are told */
  end(why?: () => SessionError): void {
    this.#cancel(this.#pending);
    this.#owners.end();
    this.#names.clear();
    for (const { timer, link } of this.#connections.values()) {
      clearTimeout(timer);
      link?.ended(this);
      link?.sessionLeft(this.#host.sessionId, why?.());
    }
    this.#connections.clear();
  }

  /**
   * The client is here: by a new stream what it has not answered is sent again. Its stream may have ended while the session was on
   * its way into memory; then it is awaited, unless it has come back already.
   */
  #connect(id: string, link: HostLink, reconnectWindow: number): Connection {
    let connection = this.#connections.get(id);
    if (connection === undefined) {
      if (this.#connections.size >= MOST.connections) throw this.#tooMany("clients with functions", MOST.connections);
      connection = newConnection(id, reconnectWindow);
      this.#owners.noteReturn(connection);
      this.#connections.set(id, connection);
    }
    connection.reconnectWindow = reconnectWindow;
    if (connection.link === link) return connection;
    if (!link.isOpen && connection.link !== undefined) return connection;
    connection.lastLink = link;
    if (!link.isOpen) {
      this.#awaitReturn(connection);
      return connection;
    }
    clearTimeout(connection.timer);
    const former = connection.link;
    connection.link = link;
    link.attached(this);
    for (const hostFunctionId of connection.released.splice(0)) link.released(hostFunctionId);
    for (const [callId, call] of this.#pending) {
      if (call.connection !== connection) continue;
      former?.passedOn(callId);
      this.#send(callId, call);
    }
    const isInUse = (each: HostLink): boolean => [...this.#connections.values()].some(({ link: its }) => its === each);
    if (former !== undefined && !isInUse(former)) former.ended(this);
    return connection;
  }

  #send(callId: string, call: PendingCall): void {
    const { execution, text, connection } = call;
    if (connection?.link === undefined || call.sent?.link === connection.link) return;
    const { link } = connection;
    const sent: Sent = { link };
    call.sent = sent;
    const caller = this.#host.callerOf(execution);
    const message: HostCall = {
      callId,
      sessionId: this.#host.sessionId,
      executionId: caller?.executionId ?? "",
      name: text.name,
      hostFunctionId: text.id ?? "",
      encoding: text.encoding,
      args: text.args.map(valueFrom),
      locals: new Map([...text.locals].map(([name, value]) => [name, valueFrom(value)])),
      remainingTime: caller?.timeLeft(),
    };
    this.#host.whenKept(() => {
      // Meanwhile it may have been cancelled, or the client may have gone, or come back by another stream.
      const isItsTurn = call.sent === sent && call.connection?.link === link;
      if (this.#pending.get(callId) === call && isItsTurn) link.call(message, this);
    });
  }

  #settle(callId: string, call: PendingCall, result: HostResult): void {
    this.#pending.delete(callId);
    this.#host.callerOf(call.execution)?.hostCallEnded();
    this.#host.reply(call.text.call, call.execution, result);
  }

  #fail(calls: Iterable<[callId: string, call: PendingCall]>, message: string): void {
    for (const [callId, call] of calls) this.#settle(callId, call, failure(message));
  }

  /** The client did not come back in time. */
  #abandon(connection: Connection): void {
    this.#connections.delete(connection.id);
    this.#names.abandon(connection);
    this.#owners.giveUp(connection);
    const calls = [...this.#pending].filter(([, call]) => call.connection === connection);
    this.#fail(calls, "the client that provides this function is gone");
  }

  #tooMany(what: string, most: number): SessionError {
    const ids = { session_id: this.#host.sessionId };
    return new SessionError("QUOTA_EXCEEDED", `the session already has ${most} ${what}; release some`, { ids });
  }
}

/** A client that is not here yet. @param functions that it has passed before */
function newConnection(id: string, reconnectWindow: number, functions = new Set<string>()): Connection {
  const away = { link: undefined, lastLink: undefined, timer: undefined };
  return { id, ...away, names: new Set(), functions, released: [], reconnectWindow };
}

/** Functions that are passed as values need not have a name. */
function named({ name }: HostCallText): string {
  return name === "" ? "this function" : `the function ${name}`;
}

/** Of the arguments and locals, in UTF-16 units or bytes. */
function sizeOf({ args, locals }: HostCallText): number {
  return [...args, ...locals.values()].reduce(
    (sum, value) => sum + (value.arm === "bytes" ? value.bytes.length : value.text.length),
    0,
  );
}

const TOO_MUCH_TO_TAKE =
  "the answers of host functions that wait to be taken are too large together; await calls before making more";

function failure(message: string): HostResult {
  return { kind: "exception", exception: { name: "Error", message } };
}
