/**
 * The functions that clients lend to one session: who provides which, and what becomes of them and of their calls when a client goes
 * away.
 *
 * A connection is a client as a session knows it. It outlives the stream that it came by: while it is gone its calls wait for
 * it, for as long as it asked for, and are sent again when it is back, with the same ids.
 */
import { randomUUID } from "node:crypto";
import type { HostCallText, HostResult } from "../engine/kernel-protocol.js";
import { SessionError } from "./errors.js";
import { ExposedNames, type Provider } from "./exposed-names.js";
import { type FunctionOwner, FunctionOwners } from "./function-owners.js";
import { type AskedCall, type CalledClient, HostCalls, type HostCallsHost } from "./host-calls.js";
import type { CalledBack, ExposeOptions, Exposing, HostLink, PassedFunctions } from "./lending.js";
import { LentSize } from "./lent-size.js";
import type { GoneRecord, HostFunctionsRecord, LenderRecord } from "./session-record.js";

/** What the functions ask of their session. */
export interface HostFunctionsHost extends HostCallsHost {
  /**
   * Does what cannot be taken back: when no atomic execution may undo any more what it follows from, and the store has that, where the
   * session is a durable one.
   *
   * @param undone is called in its place where an atomic execution has undone it
   */
  whenFinal(work: () => void, undone: () => void): void;
}

/** Milliseconds that calls wait for a client that did not say how long. */
export const RECONNECT_WINDOW = 30_000;

/** What one session keeps for its clients. Beyond it the client is refused. */
const MOST = {
  connections: 1_000,
  names: 1_000,
  functions: 10_000,
};

interface Connection extends FunctionOwner, Provider, CalledClient {
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
  readonly asked: readonly AskedCall[];
}

export class HostFunctions implements CalledBack {
  readonly #host: HostFunctionsHost;
  readonly #connections = new Map<string, Connection>();
  readonly #size: LentSize;
  readonly #names: ExposedNames<Connection>;
  readonly #owners: FunctionOwners<Connection>;
  readonly #calls: HostCalls<Connection>;

  constructor(host: HostFunctionsHost) {
    this.#host = host;
    this.#size = new LentSize(host.share);
    this.#names = new ExposedNames(this.#size);
    this.#owners = new FunctionOwners(this.#size);
    this.#calls = new HostCalls(host, this);
  }

  /** True while some client lends something, or may come back. Where it has nothing left and no window it would not be missed. */
  get hasClients(): boolean {
    for (const { reconnectWindow, names, functions } of this.#connections.values()) {
      if (reconnectWindow > 0 || names.size > 0 || functions.size > 0) return true;
    }
    return this.#calls.areAsked;
  }

  /** Clients lend nothing but functions that they have passed, and none of these is being called: guest code may hold them no more. */
  get arePassedAlone(): boolean {
    return this.#connections.size > 0 && this.openCalls === 0 && this.names.length === 0;
  }

  /** Calls that have not been answered. */
  get openCalls(): number {
    return this.#calls.size;
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
    const added = this.#names.newOf(names);
    if (this.#names.count + added.length > MOST.names) throw this.#tooMany("functions exposed", MOST.names);
    if (!this.#size.hasRoomFor(added.filter((name) => !this.#names.isAwaited(name)))) throw this.#tooMuch();
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
      this.#calls.move(name, provider);
    }
  }

  /**
   * A client passes functions as values. They belong to the connection that its stream has exposed to this session as, or else
   * to one of their own, which no other stream can be: nothing waits for that one.
   *
   * @throws SessionError QUOTA_EXCEEDED
   */
  pass({ ids, link }: PassedFunctions): void {
    const added = this.#owners.newOf(ids);
    if (this.#owners.count + added.size > MOST.functions) throw this.#tooMany("functions passed", MOST.functions);
    if (!this.#size.hasRoomFor(added)) throw this.#tooMuch();
    const known = [...this.#connections.values()].find((each) => each.lastLink === link);
    const connection = known ?? this.#connect(randomUUID(), link, 0);
    const passed = new Set(ids);
    this.#owners.pass(connection, passed);
    for (const id of passed) this.#calls.offer({ id, name: "" }, connection);
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
    this.#calls.fail({ id: hostFunctionId, name: "" }, "the client has released this function");
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
    const connection = this.#providerOf(text);
    const isAwaited = text.id === undefined && this.#names.isAwaited(text.name);
    if (connection !== undefined || isAwaited) return this.#calls.make(execution, text, connection);
    this.#calls.refuse(execution, text, `no client provides ${named(text)} now`);
  }

  #providerOf(text: HostCallText): Connection | undefined {
    return text.id === undefined ? this.#names.providerOf(text.name) : this.#owners.of(text.id);
  }

  /** What a copy of the session has to know. */
  get record(): HostFunctionsRecord {
    return {
      names: this.#names.known,
      ...this.#owners.record([...this.#connections.values()]),
      calls: this.#calls.records,
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
    for (const call of calls) this.#calls.makeAgain(call, this.#providerOf(call.text), isItself);
  }

  #awaitLenders(lenders: readonly LenderRecord[], passed: readonly string[], gone: readonly GoneRecord[]): void {
    this.#owners.restoreGone(gone);
    let first = 0;
    for (const { connectionId, reconnectWindow, passed: count } of lenders) {
      const functions = new Set(passed.slice(first, first + count));
      first += count;
      const connection = newConnection(connectionId, reconnectWindow, functions);
      this.#owners.add(connection);
      this.#owners.noteReturn(connection);
      this.#add(connection);
      this.#awaitReturn(connection);
    }
  }

  /** The session was put back: of what it called since nobody waits, and of what it got since it knows nothing. */
  rollBack({ names, passed, calls }: HostFunctionsRecord): void {
    this.#calls.cancelAll();
    this.#owners.keepOnly(passed);
    this.restore({ names, passed, calls }, false);
  }

  /** The client answered. */
  result(link: HostLink, callId: string, result: HostResult): void {
    this.#calls.result(link, callId, result);
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
    return this.#calls.unprovidedTo(execution);
  }

  /** Nobody waits any more for the calls of an execution. */
  cancelOf(execution: number): void {
    this.#calls.cancelOf(execution);
  }

  /** An atomic execution was undone: the guest knows of no call that was made meanwhile, whoever made it. */
  cancelHeld(holder: number): void {
    this.#calls.cancelHeld(holder);
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
    const asked = this.#calls.handOver();
    this.#connections.clear();
    this.#names.clear();
    this.#owners.clear();
    return { clients, doubtful, awaited, asked };
  }

  /** What was called and is not answered is called again, by the same ids. */
  adopt({ clients, doubtful, awaited, asked }: Lenders): void {
    this.#calls.cancelUnknown(asked);
    const isUnheld = (id: string): boolean => !this.#owners.has(id);
    const [unheld, unknown] = [doubtful.filter(isUnheld), awaited.filter(isUnheld)];
    for (const lender of clients) {
      const known = this.#connections.get(lender.id);
      // It has come back by itself.
      if (known?.lastLink !== undefined) continue;
      clearTimeout(known?.timer);
      // Such as it has taken back since what the session was loaded from.
      if (known !== undefined) this.#owners.remove(known);
      this.#add(lender);
      this.#names.adopt(lender);
      this.#owners.add(lender);
      if (lender.link?.isOpen === true) lender.link.attached(this);
      else this.#awaitReturn(lender);
    }
    for (const id of unheld) this.#owners.release(id);
    this.#owners.awaitRepeat(unknown);
    // Of who was waited for meanwhile another object may have come.
    this.#calls.moveAll(
      (client) => this.#connections.get(client.id) === client,
      (text) => this.#providerOf(text),
    );
  }

  /** The session leaves memory. @param why given where it ends, of which its clients are told */
  end(why?: () => SessionError): void {
    this.#calls.cancelAll();
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
      if (!this.#size.hasRoomForClient(id)) throw this.#tooMuch();
      connection = newConnection(id, reconnectWindow);
      this.#owners.noteReturn(connection);
      this.#add(connection);
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
    for (const hostFunctionId of this.#owners.takeReleased(connection)) link.released(hostFunctionId);
    this.#calls.moveTo(connection, former);
    const isInUse = (each: HostLink): boolean => [...this.#connections.values()].some(({ link: its }) => its === each);
    if (former !== undefined && !isInUse(former)) former.ended(this);
    return connection;
  }

  #add(connection: Connection): void {
    if (!this.#connections.has(connection.id)) this.#size.addClient(connection.id);
    this.#connections.set(connection.id, connection);
  }

  /** The client did not come back in time. */
  #abandon(connection: Connection): void {
    if (this.#connections.delete(connection.id)) this.#size.removeClient(connection.id);
    this.#names.abandon(connection);
    this.#owners.giveUp(connection);
    this.#calls.failOf(connection, "the client that provides this function is gone");
  }

  #tooMany(what: string, most: number): SessionError {
    const ids = { session_id: this.#host.sessionId };
    return new SessionError("QUOTA_EXCEEDED", `the session already has ${most} ${what}; release some`, { ids });
  }

  #tooMuch(): SessionError {
    const message =
      "the server keeps as much of all sessions as it may; lend fewer functions, with shorter names and ids, or delete sessions";
    return new SessionError("QUOTA_EXCEEDED", message, { ids: { session_id: this.#host.sessionId } });
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
