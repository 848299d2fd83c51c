/** Replies of host functions that the guest of a session has not taken: each waits for its turn, or for an execution to come. */
import type { HostResult } from "../engine/kernel-protocol.js";
import type { EventLoop, Input } from "./event-loop.js";
import type { OpenExecutions } from "./open-executions.js";
import type { ReplyRecord } from "./session-record.js";

interface Reply {
  readonly input: Input;
  /** Number of the execution that the call was made for; 0 for none. */
  readonly execution: number;
  readonly result: HostResult;
}

export class Replies {
  readonly #loop: EventLoop;
  readonly #open: OpenExecutions;
  /** By the id of their call. */
  readonly #replies = new Map<string, Reply>();
  /** Of them, those that wait for an execution: without one no guest code runs. */
  #lateReplies: Input[] = [];

  constructor(loop: EventLoop, open: OpenExecutions) {
    this.#loop = loop;
    this.#open = open;
  }

  /** @param isOpen the execution that the call was made for is open */
  add(callId: string, reply: Reply, isOpen: boolean): void {
    const { input } = reply;
    this.#replies.set(callId, reply);
    if (isOpen || this.#takesLateReplies) this.#loop.add(input);
    else this.#lateReplies.push(input);
  }

  /** The guest took it, or never will. */
  delete(callId: string): void {
    this.#replies.delete(callId);
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
    this.#lateReplies = [];
  }

  get record(): ReplyRecord[] {
    return [...this.#replies].map(([callId, { execution, result }]) => ({ callId, execution, result }));
  }
}
