/** Calls of host functions that were not answered: by their ids, by what they call, by the execution that they were made for, and by who is asked. */
import type { HostCallText } from "../engine/kernel-protocol.js";
import type { HeapShare } from "../engine/main-heap.js";

/** What is known of one. */
export interface Call {
  /** Number of the execution; 0 for none. */
  readonly execution: number;
  readonly text: HostCallText;
  /** Of its arguments and locals, in UTF-16 units or bytes. */
  readonly size: number;
  /** Who is asked; undefined for nobody yet. */
  client?: object | undefined;
}

/** What a call is of: a function that was passed as a value, or else that of a name. */
export type Callee = Pick<HostCallText, "id" | "name">;

/** While one goes through some of them others may be added and deleted. */
export class PendingCalls<C extends Call> {
  readonly #calls = new Map<string, C>();
  readonly #byName = new Index<string>();
  readonly #byId = new Index<string>();
  readonly #byExecution = new Index<number>();
  readonly #byClient = new Index<object>();
  readonly #share: HeapShare;
  #argumentSize = 0;

  constructor(share: HeapShare) {
    this.#share = share;
  }

  get size(): number {
    return this.#calls.size;
  }

  /** Of all of them. */
  get argumentSize(): number {
    return this.#argumentSize;
  }

  get(callId: string): C | undefined {
    return this.#calls.get(callId);
  }

  add(callId: string, call: C): void {
    // Of a guest that broke its engine several calls could have one id.
    this.delete(callId);
    this.#calls.set(callId, call);
    this.#change(call.size);
    this.#byCallee(call.text).add(keyOf(call.text), callId);
    this.#byExecution.add(call.execution, callId);
    if (call.client !== undefined) this.#byClient.add(call.client, callId);
  }

  /** Another client is asked from now on, or none. */
  assign(callId: string, call: C, client: C["client"]): void {
    if (call.client !== undefined) this.#byClient.delete(call.client, callId);
    call.client = client;
    if (client !== undefined) this.#byClient.add(client, callId);
  }

  delete(callId: string): void {
    const call = this.#calls.get(callId);
    if (call === undefined) return;
    this.#calls.delete(callId);
    this.#change(-call.size);
    this.#byCallee(call.text).delete(keyOf(call.text), callId);
    this.#byExecution.delete(call.execution, callId);
    if (call.client !== undefined) this.#byClient.delete(call.client, callId);
  }

  #change(size: number): void {
    this.#argumentSize += size;
    this.#share.change(size);
  }

  clear(): void {
    for (const callId of this.#calls.keys()) this.delete(callId);
  }

  /** All of them. */
  [Symbol.iterator](): IterableIterator<[callId: string, call: C]> {
    return this.#calls[Symbol.iterator]();
  }

  of(callee: Callee): Iterable<[callId: string, call: C]> {
    return this.#these(this.#byCallee(callee).get(keyOf(callee)));
  }

  madeFor(execution: number): Iterable<[callId: string, call: C]> {
    return this.#these(this.#byExecution.get(execution));
  }

  askedOf(client: object): Iterable<[callId: string, call: C]> {
    return this.#these(this.#byClient.get(client));
  }

  get areAsked(): boolean {
    return this.#byClient.size > 0;
  }

  *#these(callIds: Iterable<string>): Generator<[callId: string, call: C]> {
    for (const callId of callIds) {
      const call = this.#calls.get(callId);
      if (call !== undefined) yield [callId, call];
    }
  }

  #byCallee({ id }: Callee): Index<string> {
    return id === undefined ? this.#byName : this.#byId;
  }
}

function keyOf({ id, name }: Callee): string {
  return id ?? name;
}

class Index<K> {
  readonly #callIds = new Map<K, Set<string>>();

  add(key: K, callId: string): void {
    const known = this.#callIds.get(key);
    if (known === undefined) this.#callIds.set(key, new Set([callId]));
    else known.add(callId);
  }

  delete(key: K, callId: string): void {
    const known = this.#callIds.get(key);
    known?.delete(callId);
    if (known?.size === 0) this.#callIds.delete(key);
  }

  get size(): number {
    return this.#callIds.size;
  }

  get(key: K): Iterable<string> {
    return this.#callIds.get(key) ?? [];
  }
}
