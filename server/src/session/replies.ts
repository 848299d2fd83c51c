/** Replies of host functions that the guest of a session has not taken: each waits for its turn, or for an execution to come. */
import type { HostException, HostResult, InputValue } from "../engine/kernel-protocol.js";
import type { HeapShare } from "../engine/main-heap.js";
import type { EventLoop, Input } from "./event-loop.js";
import type { OpenExecutions } from "./open-executions.js";
import type { ReplyRecord } from "./session-record.js";

/**
 * UTF-16 units, or bytes, of all of them together: what a heap may hold by default. Less would refuse replies that come at once and
 * only wait for their turns.
 */
const MOST_SIZE = 64 * 1024 * 1024;

/** What a call is answered in the place of what the guest could not take, where no execution in flight is to blame for that. */
export const NOT_TAKEN: HostResult = {
  kind: "exception",
  exception: { name: "Error", message: "the session has not the memory or the time left to take the answer" },
};

interface Reply {
  readonly input: Input;
  /** Number of the execution that the call was made for; 0 for none. */
  readonly execution: number;
  readonly result: HostResult;
}

export class Replies {
  readonly #loop: EventLoop;
  readonly #open: OpenExecutions;
  readonly #share: HeapShare;
  /** By the id of their call. */
  readonly #replies = new Map<string, Reply>();
  #size = 0;
  /** Of them, those that wait for an execution: without one no guest code runs. */
  #lateReplies: Input[] = [];

  constructor(loop: EventLoop, open: OpenExecutions, share: HeapShare) {
    this.#loop = loop;
    this.#open = open;
    this.#share = share;
  }

  /** False for a reply with which too much would wait. */
  hasRoomFor(result: HostResult): boolean {
    const size = sizeOfReply(result);
    const all = this.#size + size;
    return all <= MOST_SIZE && this.#share.hasRoomFor(size, all);
  }

  /** @param isAwaited the execution that the call was made for is open, or the atomic one in whose hold it was */
  add(callId: string, reply: Reply, isAwaited: boolean): void {
    const { input, result } = reply;
    // Of a guest that broke its engine several calls could have one id.
    this.delete(callId);
    this.#replies.set(callId, reply);
    this.#change(sizeOfReply(result));
    if (isAwaited || this.#takesLateReplies) this.#loop.add(input);
    else this.#lateReplies.push(input);
  }

  /** The guest took it, or never will. */
  delete(callId: string): void {
    const reply = this.#replies.get(callId);
    if (reply === undefined) return;
    this.#replies.delete(callId);
    this.#change(-sizeOfReply(reply.result));
  }

  #change(size: number): void {
    this.#size += size;
    this.#share.change(size);
  }

  /** Those that wait for an execution get their turns if there is one. */
  addLate(): void {
    if (!this.#takesLateReplies) return;
    for (const input of this.#lateReplies.splice(0)) this.#loop.add(input);
  }

  /** What an atomic execution may still undo must not swallow the reply of a call that it did not make. */
  get #takesLateReplies(): boolean {
    return this.#open.size > 0 && !this.#loop.isHeld;
  }

  /** Nobody waits for any of them. */
  clear(): void {
    for (const { input } of this.#replies.values()) this.#loop.remove(input);
    this.#replies.clear();
    this.#change(-this.#size);
    this.#lateReplies = [];
  }

  get record(): ReplyRecord[] {
    return [...this.#replies].map(([callId, { execution, result }]) => ({ callId, execution, result }));
  }
}

/** In UTF-16 units or bytes. */
export function sizeOfReply(result: HostResult): number {
  return result.kind === "value" ? sizeOfValue(result.value) : sizeOfException(result.exception);
}

function sizeOfException({ name, message, thrown, cause }: HostException): number {
  const texts = name.length + message.length + (thrown === undefined ? 0 : sizeOfValue(thrown));
  return texts + (cause === undefined ? 0 : sizeOfException(cause));
}

function sizeOfValue(value: InputValue): number {
  return "text" in value ? value.text.length : "bytes" in value ? value.bytes.length : 0;
}
