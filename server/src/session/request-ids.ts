/**
 * Remembers the first outcome of every request id, so that a repeat changes nothing and gets the same answer.
 *
 * The newest 1,000 outcomes are kept within 1 MiB for an hour, those of a durable session for a day; ids are known for longer (the
 * newest 10,000, twice the time), so that a late repeat is refused instead of run again; see `IdRoom` for all sessions together.
 */
import { clock } from "../engine/engine.js";
import type { HeapShare } from "../engine/main-heap.js";
import { SessionError } from "./errors.js";
import { machineAhead } from "./machine-clock.js";

const OUTCOMES = 1_000;
const OUTCOME_BYTES = 1 << 20;
/** Milliseconds. */
const WINDOW = 60 * 60_000;
const DURABLE_WINDOW = 24 * 60 * 60_000;
const IDS = 10_000;

/** What is known of a request id, as data. */
export interface KeptAnswer<T> {
  readonly requestId: string;
  readonly digest: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Absent where only the id is still known. */
  readonly outcome?: T | undefined;
}

/** Who keeps what is known elsewhere too, and is told what of it is known no more. */
export interface RequestIdsJournal<T> {
  /** Only the id is still known. */
  expired(answer: KeptAnswer<T>): void;
  forgotten(requestId: string): void;
}

/** An id alone. */
interface Known {
  readonly requestId: string;
  readonly digest: string;
  /** As `clock()` tells the time: that the machine's clock is set makes nothing older. */
  readonly since: number;
}

interface Answer<T> extends Known {
  /** Running or done. */
  readonly outcome: Promise<T>;
  /** The same, once it is there. */
  done: T | undefined;
  /** Of the outcome, once it is there: what still runs is never dropped. */
  bytes: number | undefined;
}

export class RequestIds<T> {
  /** Those that can be repeated, in the order they came. */
  readonly #answers = new Map<string, Answer<T>>();
  /** Those whose outcome is known no more, in the order it went. */
  readonly #ids = new Map<string, Known>();
  readonly #sizeOf: (outcome: T) => number;
  readonly #share: HeapShare;
  #journal: RequestIdsJournal<T> | undefined;
  #window = WINDOW;
  #bytes = 0;
  /** Requests whose outcome is to come. */
  #running = 0;

  /**
   * @param sizeOf bytes that keeping an outcome takes, roughly
   * @param share of what the main thread keeps: where that is full the outcomes go before their time, and the oldest ids
   */
  constructor(sizeOf: (outcome: T) => number, share: HeapShare) {
    this.#sizeOf = sizeOf;
    this.#share = share;
    share.forgetIds = (count) => this.#forgetOldest(count);
  }

  /** From now on outcomes are kept for longer, and what is known no more is told. */
  keepIn(journal: RequestIdsJournal<T>): void {
    this.#journal = journal;
    this.#window = DURABLE_WINDOW;
  }

  /** What a journal would have to be told of an outcome: one that is over the bound by itself is not kept. */
  answerOf(requestId: string, digest: string, outcome: T): KeptAnswer<T> {
    const isKept = this.#sizeOf(outcome) <= OUTCOME_BYTES;
    const since = this.#known(requestId)?.since ?? clock();
    return { requestId, digest, since: byMachine(since), outcome: isKept ? outcome : undefined };
  }

  /** Whether a request of this id has come before. */
  has(requestId: string): boolean {
    return this.#known(requestId) !== undefined;
  }

  #known(requestId: string): Known | undefined {
    return this.#answers.get(requestId) ?? this.#ids.get(requestId);
  }

  /**
   * Gives the outcome of the first request with this id, running it if there was none.
   *
   * @param digest names the request: two with the same digest are the same
   * @throws SessionError REQUEST_ID_REUSED for another request, OUTCOME_EXPIRED where only the id is still known
   */
  once(requestId: string, digest: string, run: () => Promise<T>): Promise<T> {
    this.#expire(clock());
    const known = this.#known(requestId);
    if (known !== undefined) return this.#repeat(known, digest);
    const outcome = run();
    this.#await(requestId, digest, outcome);
    return outcome;
  }

  /** A request that another knew, whose outcome is to come here. */
  resume(requestId: string, digest: string, outcome: Promise<T>): void {
    this.#await(requestId, digest, outcome);
  }

  #await(requestId: string, digest: string, outcome: Promise<T>): void {
    const answer: Answer<T> = { requestId, digest, since: clock(), outcome, done: undefined, bytes: undefined };
    this.#answers.set(requestId, answer);
    this.#running++;
    outcome.then(
      (value) => {
        this.#running--;
        this.#keep(answer, value);
      },
      // A request that was refused did nothing: its id is free again.
      () => {
        this.#running--;
        this.#answers.delete(requestId);
        this.#journal?.forgotten(requestId);
      },
    );
  }

  /** False while the outcome of some request is to come. */
  get isSettled(): boolean {
    return this.#running === 0;
  }

  /** All that is known, once it is settled. */
  get record(): KeptAnswer<T>[] {
    const ids = [...this.#ids.values()].map((known) => kept<T>(known));
    const answers = [...this.#answers.values()].map((answer) => kept(answer, answer.done));
    return [...ids, ...answers];
  }

  /** Knows what another knew. @param record of it */
  restore(record: readonly KeptAnswer<T>[]): void {
    for (const { requestId, digest, since: time, outcome } of record) {
      const since = time - machineAhead();
      if (outcome === undefined) this.#addId({ requestId, digest, since });
      else {
        const answer = { requestId, digest, since, outcome: Promise.resolve(outcome), done: outcome, bytes: 0 };
        this.#answers.set(requestId, answer);
        this.#keep(answer, outcome);
      }
    }
  }

  #repeat(known: Known | Answer<T>, digest: string): Promise<T> {
    const ids = { request_id: known.requestId };
    if (known.digest !== digest) {
      throw new SessionError(
        "REQUEST_ID_REUSED",
        "request_id: was used for another request; draw a new one for each request",
        { ids, field: "request_id" },
      );
    }
    if (!("outcome" in known)) {
      throw new SessionError(
        "OUTCOME_EXPIRED",
        "the request ran, but its outcome is no longer kept; it is not run again",
        {
          ids,
        },
      );
    }
    return known.outcome;
  }

  #keep(answer: Answer<T>, outcome: T): void {
    const bytes = this.#sizeOf(outcome);
    answer.bytes = bytes;
    answer.done = outcome;
    this.#change(bytes);
    // One that is over the bound by itself goes at once, in place of all others.
    if (bytes > OUTCOME_BYTES) return this.#dropOutcome(answer);
    for (const oldest of this.#answers.values()) {
      const isWithin = this.#answers.size - this.#running <= OUTCOMES && this.#bytes <= OUTCOME_BYTES;
      if (isWithin && this.#share.hasRoomFor(0, this.#bytes)) break;
      this.#dropOutcome(oldest);
    }
  }

  #change(bytes: number): void {
    this.#bytes += bytes;
    this.#share.change(bytes);
  }

  /** From now on its id alone is known; of one that still runs it changes nothing. */
  #dropOutcome({ requestId, digest, since, bytes }: Answer<T>): void {
    if (bytes === undefined) return;
    this.#answers.delete(requestId);
    this.#change(-bytes);
    const known = { requestId, digest, since };
    this.#journal?.expired(kept(known));
    this.#addId(known);
  }

  #addId(known: Known): void {
    this.#ids.set(known.requestId, known);
    this.#share.changeIds(1);
  }

  #forgetOldest(count: number): void {
    let left = count;
    for (const requestId of this.#ids.keys()) {
      if (left-- === 0) return;
      this.#forget(requestId);
    }
  }

  #forget(requestId: string): void {
    this.#ids.delete(requestId);
    this.#share.changeIds(-1);
    this.#journal?.forgotten(requestId);
  }

  /** The oldest are first; what still runs is passed over. */
  #expire(now: number): void {
    for (const answer of this.#answers.values()) {
      if (now - answer.since <= this.#window) break;
      this.#dropOutcome(answer);
    }
    for (const { requestId, since } of this.#ids.values()) {
      if (this.#ids.size + this.#answers.size <= IDS && now - since <= 2 * this.#window) break;
      this.#forget(requestId);
    }
  }
}

function kept<T>({ requestId, digest, since }: Known, outcome?: T): KeptAnswer<T> {
  return { requestId, digest, since: byMachine(since), outcome };
}

function byMachine(time: number): number {
  return Math.round(time + machineAhead());
}
