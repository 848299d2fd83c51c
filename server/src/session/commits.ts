/**
 * The commits of one session. Of a durable one the store has to have the pages, and the outcomes that go with them, before anybody is
 * told what follows from them: what is to be told waits here. Of an ephemeral one all leaves at once.
 */
import type { SessionMemory } from "../engine/session-memory.js";
import type { Outcome } from "./outcome.js";
import type { KeptAnswer, RequestIdsJournal } from "./request-ids.js";
import type { SessionInfo } from "./session-info.js";
import type { CopyIds, SessionRecord } from "./session-record.js";

export type Answer = KeptAnswer<Outcome | CopyIds>;

/** What is kept of a durable session beside its pages. */
export interface CommittedState {
  readonly info: SessionInfo;
  readonly record: SessionRecord;
  /** To requests whose ids were not known before. */
  readonly answers: readonly Answer[];
  /** Only the ids of these are still known. */
  readonly expired: readonly Answer[];
  /** Ids of requests that may come again. */
  readonly forgotten: readonly string[];
}

/** Puts the commits of one durable session into the store. */
export interface CommitWriter {
  /**
   * No turn of the session may be on its way until this resolves.
   *
   * @throws SessionError (rejects) when it is not known to be kept: the session has to be loaded again
   */
  write(state: CommittedState, memory: SessionMemory): Promise<void>;
  /**
   * That the session was used, and has not changed since its last commit, or is not to be kept as it is now.
   *
   * @param lastUsedAt milliseconds since the epoch
   * @throws StoreError (rejects): all else is as it was
   */
  touch(lastUsedAt: number): Promise<void>;
  /** Takes the session out of the store, after what is on its way there. @throws StoreError (rejects): all is as it was */
  delete(): Promise<void>;
  /** Resolves when the session is not being written as a whole. Once another hand has written to it, that would be refused. */
  compacted(): Promise<void>;
}

/** What waits for a commit. */
interface Held {
  readonly leave: () => void;
  readonly fail: (error: Error) => void;
}

export class Commits implements RequestIdsJournal<Outcome | CopyIds> {
  /** Tells that there is something to commit; set by the session. */
  onDue: () => void = () => undefined;
  /** Whether an atomic execution holds the session: what it does is committed when it ends; set by the session. */
  isHeld: () => boolean = () => false;
  #writer: CommitWriter | undefined;
  /** When the store thinks that the session was used last. */
  #storedUseAt = 0;
  #keepingUse: Promise<void> | undefined;
  /** Ids of the executions that the store has in flight: where something cannot be kept they go on from there. */
  #storedExecutions: ReadonlySet<string> = new Set();
  #isChanged = false;
  #held: Held[] = [];
  #answers: Answer[] = [];
  #expired: Answer[] = [];
  #forgotten: string[] = [];
  /** Why there will be no more commits. */
  #ended: (() => Error) | undefined;

  /** The store has the session as it is now, and is to have each change of it. */
  begin(writer: CommitWriter, stored: { readonly usedAt: number; readonly record: SessionRecord }): void {
    this.#writer = writer;
    this.#noteStored(stored.usedAt, stored.record);
  }

  #noteStored(usedAt: number, { executions }: SessionRecord): void {
    this.#storedUseAt = usedAt;
    this.#storedExecutions = new Set(executions.map(({ executionId }) => executionId));
  }

  /** Whether the store has an execution of this id in flight. */
  hasInFlight(executionId: string): boolean {
    return this.#storedExecutions.has(executionId);
  }

  get isDurable(): boolean {
    return this.#writer !== undefined;
  }

  /** True while there is something that the store does not have, or is about to get. */
  get isDue(): boolean {
    return this.#ended === undefined && (this.#isChanged || this.#held.length > 0);
  }

  /** The session is not as it was. */
  change(): void {
    if (this.#writer === undefined) return;
    this.#isChanged = true;
  }

  /**
   * Does what others see of the session when the store has all that it follows from.
   *
   * @param fail is called in its place when the store does not get it
   */
  pass(leave: () => void, fail: (error: Error) => void = () => undefined): void {
    if (this.#writer === undefined || this.isHeld()) return leave();
    if (this.#ended !== undefined) return fail(this.#ended());
    this.#held.push({ leave, fail });
    this.onDue();
  }

  /** Resolves when the store has the session as it is now. */
  stored(): Promise<void> {
    if (this.#writer === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => this.pass(resolve, reject));
  }

  /** Has the store know when it was used last, and nothing else. @throws StoreError (rejects) */
  async touch(lastUsedAt: number): Promise<void> {
    if (this.#ended !== undefined) return;
    await this.#writer?.touch(lastUsedAt);
    this.#storedUseAt = Math.max(this.#storedUseAt, lastUsedAt);
  }

  /**
   * The same, where that is so much longer ago in the store.
   *
   * @param usedAt tells it, in milliseconds since the epoch; undefined where the session has left memory
   * @param milliseconds of difference that may stay
   * @throws StoreError (rejects): the session goes on as it is
   */
  async keepUse(usedAt: () => number | undefined, milliseconds: number): Promise<void> {
    await this.#keepingUse;
    const at = usedAt();
    if (this.#writer === undefined || at === undefined || at - this.#storedUseAt <= milliseconds) return;
    this.#keepingUse ??= this.touch(at).finally(() => {
      this.#keepingUse = undefined;
    });
    await this.#keepingUse;
  }

  /** Takes the session out of the store. @throws StoreError (rejects): all is as it was */
  async delete(): Promise<void> {
    await this.#writer?.delete();
  }

  /** Resolves when nothing of the session is on its way to the store but its commits. */
  async compacted(): Promise<void> {
    await this.#writer?.compacted();
  }

  /** A request with an id was answered. */
  answer(answer: Answer): void {
    if (this.#writer !== undefined) this.#answers.push(answer);
  }

  expired(answer: Answer): void {
    this.#expired.push(answer);
  }

  forgotten(requestId: string): void {
    this.#forgotten.push(requestId);
  }

  /**
   * Commits the session as it is now, then lets out what waits for that. Nothing of the session may run until this resolves.
   *
   * @throws SessionError (rejects) when it is not known to be kept; whoever waits has been told then
   */
  async write(info: SessionInfo, record: SessionRecord, memory: SessionMemory): Promise<void> {
    const held = this.#held;
    const [answers, expired, forgotten] = [this.#answers, this.#expired, this.#forgotten];
    this.#held = [];
    this.#answers = [];
    this.#expired = [];
    this.#forgotten = [];
    this.#isChanged = false;
    try {
      await this.#writer?.write({ info, record, answers, expired, forgotten }, memory);
      this.#noteStored(info.lastUsedAt, record);
    } catch (error) {
      // It may have been deleted meanwhile.
      const why = this.#ended?.() ?? (error as Error);
      for (const { fail } of held) fail(why);
      this.end(() => error as Error);
      throw error;
    }
    for (const { leave } of held) leave();
  }

  /** There will be no more: whoever waits is told. */
  end(why: () => Error): void {
    this.#ended ??= why;
    for (const { fail } of this.#held.splice(0)) fail(why());
  }
}
