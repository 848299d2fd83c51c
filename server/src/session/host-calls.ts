/**
 * The calls that guest code of one session has made of clients and that are not answered: which client each is for, by which of
 * its streams it was sent, and what becomes of it when another client or stream takes that place.
 */
import { randomBytes } from "node:crypto";
import type { HostCallText, HostResult } from "../engine/kernel-protocol.js";
import type { HeapShare } from "../engine/main-heap.js";
import type { CalledBack, HostCall, HostLink } from "./lending.js";
import { valueFrom } from "./outcome.js";
import { type Call, type Callee, PendingCalls } from "./pending-calls.js";
import { Rounds } from "./rounds.js";
import type { HostCallRecord } from "./session-record.js";

/** What the calls ask of their session. */
export interface HostCallsHost {
  readonly sessionId: string;
  /** Of what the main thread keeps. */
  readonly share: HeapShare;
  /** False for a reply with which too much would wait for the guest to take it. */
  hasRoomFor(result: HostResult): boolean;
  /** Gives the guest the reply of a call. @param holder number of the atomic execution that held the session when it was made */
  reply(callId: string, execution: number, result: HostResult, holder: number): void;
  /** Sends a call when the store has what it follows from, where the session is a durable one. */
  whenKept(send: () => void): void;
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

/** A client that is called. */
export interface CalledClient {
  /** Undefined while it is away: its calls wait for it. */
  readonly link: HostLink | undefined;
}

/** A call that a client was asked to answer. */
export interface AskedCall {
  readonly callId: string;
  readonly link: HostLink;
}

/** Of the id of a call that is made again, as long as that of the guest's. */
const CALL_ID_BYTES = 8;

/** What one session keeps of them. Beyond it the guest's call is rejected. */
const MOST = {
  /** The kernel itself makes no more, so only a guest that broke its engine meets this one. */
  calls: 10_000,
  /** UTF-16 units, or bytes, of the arguments and locals of open calls: they are kept, to be sent again. */
  argumentSize: 16 * 1024 * 1024,
};

/** So many take some milliseconds. */
const SENT_AT_ONCE = 500;

const TOO_MUCH_TO_TAKE =
  "the answers of host functions that wait to be taken are too large together, in this session or in all; await calls before making more";

interface Sent {
  readonly link: HostLink;
}

interface PendingCall<C extends CalledClient> extends Call {
  /** Undefined in a copy of the session that made the call, until a client provides the function there. */
  client: C | undefined;
  /** That it was sent last, or is to be when the store has it. */
  sent: Sent | undefined;
  /** Number of the atomic execution that held the session when it was made; 0 for none. */
  readonly holder: number;
}

export class HostCalls<C extends CalledClient> {
  readonly #host: HostCallsHost;
  readonly #functions: CalledBack;
  /** By the id that clients know the call by: in a copy it is another one than the guest's. */
  readonly #pending: PendingCalls<PendingCall<C>>;
  /** A turn may make thousands of calls, and others have the thread between. */
  readonly #sends = new Rounds(SENT_AT_ONCE);

  /** @param functions are given the clients' answers */
  constructor(host: HostCallsHost, functions: CalledBack) {
    this.#host = host;
    this.#functions = functions;
    this.#pending = new PendingCalls(host.share);
  }

  get size(): number {
    return this.#pending.size;
  }

  get records(): HostCallRecord[] {
    return [...this.#pending].map(([callId, { execution, text }]) => ({ callId, execution, text }));
  }

  /** True while some client has a call to answer: a client that was given up has none. */
  get areAsked(): boolean {
    return this.#pending.areAsked;
  }

  /** Guest code calls. @param client undefined where the call waits for one */
  make(execution: number, text: HostCallText, client: C | undefined): void {
    const size = sizeOfCall(text);
    const all = this.#pending.argumentSize + size;
    const hasRoom = all <= MOST.argumentSize && this.#host.share.hasRoomFor(size, all);
    if (this.#pending.size >= MOST.calls || !hasRoom) {
      return this.refuse(execution, text, "too many calls of host functions are open; await some of them");
    }
    this.#open(text.call, { execution, text, size, client, sent: undefined, holder: this.#host.holder });
  }

  /** Guest code calls in vain. */
  refuse(execution: number, { call }: HostCallText, message: string): void {
    this.#host.reply(call, execution, failure(message), this.#host.holder);
  }

  /** @param isItself the session that made it has come back: it has the id that it had. In a copy it has one of its own */
  makeAgain({ execution, text, callId }: HostCallRecord, client: C | undefined, isItself: boolean): void {
    const id = isItself ? callId : randomBytes(CALL_ID_BYTES).toString("hex");
    this.#open(id, { execution, text, size: sizeOfCall(text), client, sent: undefined, holder: 0 });
  }

  #open(callId: string, call: PendingCall<C>): void {
    this.#pending.add(callId, call);
    this.#host.callerOf(call.execution)?.hostCallBegan();
    this.#send(callId, call);
  }

  /** A client provides this: calls of it that have waited for one are its. */
  offer(callee: Callee, client: C): void {
    for (const [callId, call] of this.#pending.of(callee)) {
      if (call.client !== undefined) continue;
      this.#pending.assign(callId, call, client);
      this.#send(callId, call);
    }
  }

  /** Calls by this name are the client's from now on, or wait for who will provide it. */
  move(name: string, client: C | undefined): void {
    for (const [callId, call] of this.#pending.of({ name })) {
      if (client === call.client) continue;
      const former = call.client?.link;
      this.#pending.assign(callId, call, client);
      // A stream that is both goes on with the call that it has.
      if (former !== undefined && former === client?.link) continue;
      former?.cancelled(callId);
      // Whoever was told so has to be asked again should it be its turn again.
      call.sent = undefined;
      this.#send(callId, call);
    }
  }

  /** A client is here by another stream: that is asked what the one before has not answered. */
  moveTo(client: C, former: HostLink | undefined): void {
    for (const [callId, call] of this.#pending.askedOf(client)) {
      former?.passedOn(callId);
      this.#send(callId, call);
    }
  }

  /** Each is its client's who provides it now, unless it is one's still that is known. */
  moveAll(isKnown: (client: C) => boolean, providerOf: (text: HostCallText) => C | undefined): void {
    for (const [callId, call] of this.#pending) {
      const isStill = call.client !== undefined && isKnown(call.client);
      if (!isStill) this.#pending.assign(callId, call, providerOf(call.text));
      this.#send(callId, call);
    }
  }

  /**
   * The client answered; an answer for a call that is not open, or not its, is ignored. One with which too much would wait rejects
   * the guest's call: it is the guest that does not take them.
   */
  result(link: HostLink, callId: string, result: HostResult): void {
    const call = this.#pending.get(callId);
    if (call?.client?.link !== link) return;
    this.#settle(callId, call, this.#host.hasRoomFor(result) ? result : failure(TOO_MUCH_TO_TAKE));
  }

  /** Rejects the calls of one function. */
  fail(callee: Callee, message: string): void {
    this.#fail(this.#pending.of(callee), message);
  }

  /** Rejects those that one client has not answered. */
  failOf(client: C, message: string): void {
    this.#fail(this.#pending.askedOf(client), message);
  }

  #fail(calls: Iterable<[callId: string, call: PendingCall<C>]>, message: string): void {
    for (const [callId, call] of calls) {
      call.client?.link?.cancelled(callId);
      this.#settle(callId, call, failure(message));
    }
  }

  #settle(callId: string, call: PendingCall<C>, result: HostResult): void {
    this.#pending.delete(callId);
    this.#host.callerOf(call.execution)?.hostCallEnded();
    this.#host.reply(call.text.call, call.execution, result, call.holder);
  }

  /** The name of a function that an execution has called and no client provides now; undefined where there is none. */
  unprovidedTo(execution: number): string | undefined {
    for (const [, { client, text }] of this.#pending.madeFor(execution)) {
      if (client?.link === undefined) return text.name;
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

  /** Nobody waits for any. */
  cancelAll(): void {
    this.#cancel(this.#pending);
  }

  #cancel(calls: Iterable<[callId: string, call: PendingCall<C>]>): void {
    for (const [callId, { client }] of calls) {
      this.#pending.delete(callId);
      client?.link?.cancelled(callId);
    }
  }

  /** Those that were sent, which are waited for where the session is loaded again; here nobody knows of them any more. */
  handOver(): AskedCall[] {
    const asked = [...this.#pending].flatMap(([callId, { sent }]) => (sent === undefined ? [] : [{ callId, ...sent }]));
    this.#pending.clear();
    return asked;
  }

  /** What an atomic execution asked for that was not kept nobody waits for any more. */
  cancelUnknown(asked: readonly AskedCall[]): void {
    for (const { callId, link } of asked) if (this.#pending.get(callId) === undefined) link.cancelled(callId);
  }

  #send(callId: string, call: PendingCall<C>): void {
    const { execution, text, client } = call;
    if (client?.link === undefined || call.sent?.link === client.link) return;
    const { link } = client;
    const sent: Sent = { link };
    call.sent = sent;
    // What its execution left behind calls for the atomic one that holds the session, which may wait for it.
    const caller = this.#host.callerOf(execution) ?? this.#host.callerOf(call.holder);
    const send = (): void => {
      // Meanwhile it may have been cancelled, or the client may have gone, or come back by another stream.
      const isItsTurn = call.sent === sent && call.client?.link === link;
      if (this.#pending.get(callId) === call && isItsTurn)
        link.call(this.#messageOf(callId, text, caller), this.#functions);
    };
    this.#host.whenKept(() => {
      if (this.#sends.takeNow()) send();
      else void this.#sends.take().then(send);
    });
  }

  #messageOf(callId: string, text: HostCallText, caller: HostCaller | undefined): HostCall {
    return {
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
  }
}

/** Of the arguments and locals, in UTF-16 units or bytes. */
export function sizeOfCall({ args, locals }: HostCallText): number {
  return [...args, ...locals.values()].reduce(
    (sum, value) => sum + (value.arm === "bytes" ? value.bytes.length : value.text.length),
    0,
  );
}

function failure(message: string): HostResult {
  return { kind: "exception", exception: { name: "Error", message } };
}
