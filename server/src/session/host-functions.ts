/**
 * The functions that clients lend to one session: who provides which, the calls that have not been answered, and what becomes
 * of them when a client goes away.
 *
 * A connection is a client as a session knows it. It outlives the stream that it came by: while it is gone its calls wait for
 * it, for as long as it asked for, and are sent again when it is back, with the same ids.
 */
import type { HostCallText, HostResult } from "../engine/kernel-protocol.js";
import { SessionError } from "./errors.js";
import { type Value, valueFrom } from "./outcome.js";

/** The client's end of a stream. */
export interface HostLink {
  /** Asks the client to run a function. */
  call(call: HostCall): void;
  /** Nobody waits for a call any more. */
  cancelled(callId: string): void;
  /** The guest does not hold a function any more that was passed as a value. */
  released(hostFunctionId: string): void;
}

export interface HostCall {
  /** Stays the same however often the call is sent. */
  readonly callId: string;
  readonly sessionId: string;
  /** Empty where no execution owns the call. */
  readonly executionId: string;
  readonly name: string;
  /** Of a function that was passed as a value; empty for an exposed one. */
  readonly hostFunctionId: string;
  readonly args: readonly Value[];
  /** Milliseconds that the execution has left; undefined where none owns the call. */
  readonly remainingTime: number | undefined;
}

export interface ExposeOptions {
  /** Names the client to this session, also after a reconnect. */
  readonly connectionId: string;
  readonly names: readonly string[];
  /** Takes names from the connection that has them. */
  readonly takeOver: boolean;
  /** Milliseconds that calls wait for the client when its stream has ended. */
  readonly reconnectWindow: number;
}

/** What the functions ask of their session. */
export interface HostFunctionsHost {
  readonly sessionId: string;
  /** Gives the guest the reply of a call. */
  reply(callId: string, execution: number, result: HostResult): void;
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

interface Connection {
  readonly id: string;
  link: HostLink | undefined;
  readonly names: Set<string>;
  /** Ids of functions that were passed as values. */
  readonly functions: Set<string>;
  reconnectWindow: number;
  timer: NodeJS.Timeout | undefined;
}

interface PendingCall {
  readonly execution: number;
  readonly text: HostCallText;
  connection: Connection;
}

export class HostFunctions {
  readonly #host: HostFunctionsHost;
  readonly #connections = new Map<string, Connection>();
  readonly #byName = new Map<string, Connection>();
  readonly #byFunction = new Map<string, Connection>();
  readonly #pending = new Map<string, PendingCall>();

  constructor(host: HostFunctionsHost) {
    this.#host = host;
  }

  /** All names that some client provides. */
  get names(): string[] {
    return [...this.#byName.keys()];
  }

  /**
   * A client provides functions. Its calls that were not answered are sent again.
   *
   * @returns all names that it provides now
   * @throws SessionError HOST_FUNCTION_TAKEN when another connection has one of the names; none is taken then
   */
  expose(options: ExposeOptions, link: HostLink): string[] {
    const { connectionId, names, takeOver, reconnectWindow } = options;
    const taken = names.find((name) => (this.#byName.get(name)?.id ?? connectionId) !== connectionId);
    if (taken !== undefined && !takeOver) {
      throw new SessionError(
        "HOST_FUNCTION_TAKEN",
        `names: another client provides ${taken}; take it over with take_over, or choose another name`,
        { ids: { session_id: this.#host.sessionId, name: taken }, field: "names" },
      );
    }
    const connection = this.#connect(connectionId, link);
    connection.reconnectWindow = reconnectWindow;
    for (const name of names) {
      this.#byName.get(name)?.names.delete(name);
      this.#byName.set(name, connection);
      connection.names.add(name);
    }
    for (const [callId, call] of this.#pending) {
      const provider = call.text.id === undefined ? this.#byName.get(call.text.name) : call.connection;
      if (provider !== connection) continue;
      if (call.connection !== connection) call.connection.link?.cancelled(callId);
      call.connection = connection;
      this.#send(callId, call);
    }
    return [...connection.names];
  }

  /** A client passes functions as values. */
  pass(connectionId: string, hostFunctionIds: readonly string[], link: HostLink): void {
    if (hostFunctionIds.length === 0) return;
    const connection = this.#connect(connectionId, link);
    for (const id of hostFunctionIds) {
      connection.functions.add(id);
      this.#byFunction.set(id, connection);
    }
  }

  /** A client keeps a function no more that it passed; calls of it fail from now on. */
  forget(connectionId: string, hostFunctionId: string): void {
    const connection = this.#byFunction.get(hostFunctionId);
    if (connection?.id !== connectionId) return;
    connection.functions.delete(hostFunctionId);
    this.#byFunction.delete(hostFunctionId);
    this.#failCalls((call) => call.text.id === hostFunctionId, "the client has released this function");
  }

  /** The stream of a client has ended. */
  detach(connectionId: string, link: HostLink): void {
    const connection = this.#connections.get(connectionId);
    if (connection?.link !== link) return;
    connection.link = undefined;
    connection.timer = setTimeout(() => this.#abandon(connection), connection.reconnectWindow);
    connection.timer.unref();
  }

  /** Guest code calls. @param execution number of the execution it does it for; 0 for none */
  call(execution: number, text: HostCallText): void {
    const connection = text.id === undefined ? this.#byName.get(text.name) : this.#byFunction.get(text.id);
    if (connection === undefined) {
      return this.#host.reply(text.call, execution, failure(`no client provides the function ${text.name} now`));
    }
    const call: PendingCall = { execution, text, connection };
    this.#pending.set(text.call, call);
    this.#host.callerOf(execution)?.hostCallBegan();
    this.#send(text.call, call);
  }

  /** The client answered; an answer for a call that is not open is ignored. */
  result(connectionId: string, callId: string, result: HostResult): void {
    const call = this.#pending.get(callId);
    if (call?.connection.id === connectionId) this.#settle(callId, call, result);
  }

  /** The guest does not hold a function any more. */
  released(hostFunctionId: string): void {
    const connection = this.#byFunction.get(hostFunctionId);
    if (connection === undefined) return;
    this.#byFunction.delete(hostFunctionId);
    connection.functions.delete(hostFunctionId);
    connection.link?.released(hostFunctionId);
  }

  /** Nobody waits any more for the calls of an execution. */
  cancelOf(execution: number): void {
    for (const [callId, call] of this.#pending) {
      if (call.execution !== execution) continue;
      this.#pending.delete(callId);
      call.connection.link?.cancelled(callId);
    }
  }

  /** The session ends. */
  end(): void {
    for (const [callId, call] of this.#pending) call.connection.link?.cancelled(callId);
    this.#pending.clear();
    for (const { timer } of this.#connections.values()) clearTimeout(timer);
  }

  #connect(id: string, link: HostLink): Connection {
    const known = this.#connections.get(id);
    if (known !== undefined) {
      clearTimeout(known.timer);
      known.link = link;
      return known;
    }
    const made: Connection = { id, link, names: new Set(), functions: new Set(), reconnectWindow: 0, timer: undefined };
    this.#connections.set(id, made);
    return made;
  }

  #send(callId: string, { execution, text, connection }: PendingCall): void {
    const caller = this.#host.callerOf(execution);
    connection.link?.call({
      callId,
      sessionId: this.#host.sessionId,
      executionId: caller?.executionId ?? "",
      name: text.name,
      hostFunctionId: text.id ?? "",
      args: text.args.map(valueFrom),
      remainingTime: caller?.timeLeft(),
    });
  }

  #settle(callId: string, call: PendingCall, result: HostResult): void {
    this.#pending.delete(callId);
    this.#host.callerOf(call.execution)?.hostCallEnded();
    this.#host.reply(callId, call.execution, result);
  }

  #failCalls(isMeant: (call: PendingCall) => boolean, message: string): void {
    for (const [callId, call] of [...this.#pending]) if (isMeant(call)) this.#settle(callId, call, failure(message));
  }

  /** The client did not come back in time. */
  #abandon(connection: Connection): void {
    this.#connections.delete(connection.id);
    for (const name of connection.names) this.#byName.delete(name);
    for (const id of connection.functions) this.#byFunction.delete(id);
    this.#failCalls((call) => call.connection === connection, "the client that provides this function is gone");
  }
}

function failure(message: string): HostResult {
  return { kind: "exception", exception: { name: "Error", message } };
}
