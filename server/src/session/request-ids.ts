/**
 * Remembers the first outcome of every request id, so that a repeat changes nothing and gets the same answer.
 *
 * The newest 1,000 outcomes are kept within 1 MiB for an hour, those of a durable session for a day; ids are known for longer (the
 * newest 10,000, twice the time), so that a late repeat is refused instead of run again.
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

interface Known<T> {
  readonly requestId: string;
  readonly digest: string;
  /** As `clock()` tells the time: that the machine's clock is set makes nothing older. */
  readonly since: number;
  /** The outcome, running or done; gone when it left the window. */
  outcome: Promise<T> | undefined;
  /** The same, once it is there. */
  done: T | undefined;
  /** Of the outcome, once it is there: what still runs is never dropped. */
  bytes: number | undefined;
}

export class RequestIds<T> {
  readonly #known = new Map<string, Known<T>>();
  readonly #sizeOf: (outcome: T) => number;
  readonly #share: HeapShare;
  #journal: RequestIdsJournal<T> | undefined;
  #window = WINDOW;
  #outcomes = 0;
  #bytes = 0;
  /** Requests whose outcome is to come. */
  #running = 0;

  /**
   * @param sizeOf bytes that keeping an outcome takes, roughly
   * @param share of what the main thread keeps: where that is full the outcomes go before their time
   */
  constructor(sizeOf: (outcome: T) => number, share: HeapShare) {
    this.#sizeOf = sizeOf;
    this.#share = share;
  }

  /** From now on outcomes are kept for longer, and what is known no more is told. */
  keepIn(journal: RequestIdsJournal<T>): void {
    this.#journal = journal;
    this.#window = DURABLE_WINDOW;
  }

  /** What a journal would have to be told of an outcome: one that is over the bound by itself is not kept. */
  answerOf(requestId: string, digest: string, outcome: T): KeptAnswer<T> {
    const isKept = this.#sizeOf(outcome) <= OUTCOME_BYTES;
    const since = this.#known.get(requestId)?.since ?? clock();
    return { requestId, digest, since: byMachine(since), outcome: isKept ? outcome : undefined };
  }

  /** Whether a request of this id has come before. */
  has(requestId: string): boolean {
    return this.#known.has(requestId);
  }

  /**
   * Gives the outcome of the first request with this id, running it if there was none.
   *
   * @param digest names the request: two with the same digest are the same
   * @throws SessionError REQUEST_ID_REUSED for another request, OUTCOME_EXPIRED where only the id is still known
   */
  once(requestId: string, digest: string, run: () => Promise<T>): Promise<T> {
    this.#expire(clock());
    const known = this.#known.get(requestId);
    if (known !== undefined) return this.#repeat(requestId, known, digest);
    const outcome = run();
    this.#await(requestId, digest, outcome);
    return outcome;
  }

  /** A request that another knew, whose outcome is to come here. */
  resume(requestId: string, digest: string, outcome: Promise<T>): void {
    this.#await(requestId, digest, outcome);
  }

  #await(requestId: string, digest: string, outcome: Promise<T>): void {
    const entry: Known<T> = { requestId, digest, since: clock(), outcome, done: undefined, bytes: undefined };
    this.#known.set(requestId, entry);
    this.#running++;
    outcome.then(
      (value) => {
        this.#running--;
        this.#keep(entry, value);
      },
      // A request that was refused did nothing: its id is free again.
      () => {
        this.#running--;
        this.#forget(requestId, entry);
      },
    );
  }

  /** False while the outcome of some request is to come. */
  get isSettled(): boolean {
    return this.#running === 0;
  }

  /** All that is known, once it is settled. */
  get record(): KeptAnswer<T>[] {
    return [...this.#known].map(([requestId, { digest, since, done }]) => ({
      requestId,
      digest,
      since: byMachine(since),
      outcome: done,
    }));
  }

  /** Knows what another knew. @param record of it */
  restore(record: readonly KeptAnswer<T>[]): void {
    for (const { requestId, digest, since, outcome } of record) {
      const entry: Known<T> = {
        requestId,
        digest,
        since: since - machineAhead(),
        outcome: undefined,
        done: outcome,
        bytes: 0,
      };
      this.#known.set(requestId, entry);
      if (outcome === undefined) continue;
      entry.outcome = Promise.resolve(outcome);
      this.#keep(entry, outcome);
    }
  }

  #repeat(requestId: string, known: Known<T>, digest: string): Promise<T> {
    const ids = { request_id: requestId };
    if (known.digest !== digest) {
      throw new SessionError(
        "REQUEST_ID_REUSED",
        "request_id: was used for another request; draw a new one for each request",
        { ids, field: "request_id" },
      );
    }
    if (known.outcome === undefined) {
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

  #keep(entry: Known<T>, outcome: T): void {
    const bytes = this.#sizeOf(outcome);
    entry.bytes = bytes;
    entry.done = outcome;
    this.#change(bytes);
    this.#outcomes++;
    // One that is over the bound by itself goes at once, in place of all others.
    if (bytes > OUTCOME_BYTES) return this.#dropOutcome(entry);
    for (const oldest of this.#known.values()) {
      const isWithin = this.#outcomes <= OUTCOMES && this.#bytes <= OUTCOME_BYTES;
      if (isWithin && this.#share.hasRoomFor(0, this.#bytes)) break;
      this.#dropOutcome(oldest);
    }
  }

  #change(bytes: number): void {
    this.#bytes += bytes;
    this.#share.change(bytes);
  }

  #dropOutcome(entry: Known<T>): void {
    if (entry.outcome === undefined || entry.bytes === undefined) return;
    entry.outcome = undefined;
    entry.done = undefined;
    this.#outcomes--;
    this.#change(-entry.bytes);
    const { requestId, digest, since } = entry;
    this.#journal?.expired({ requestId, digest, since: byMachine(since) });
  }

  #forget(requestId: string, entry: Known<T>): void {
    this.#dropOutcome(entry);
    this.#known.delete(requestId);
    this.#journal?.forgotten(requestId);
  }

  /** Entries stand in the order they came, so the oldest are first; what still runs is passed over. */
  #expire(now: number): void {
    for (const [requestId, entry] of this.#known) {
      const age = now - entry.since;
      if (this.#known.size <= IDS && age <= this.#window) break;
      if (entry.bytes === undefined) continue;
      if (this.#known.size > IDS || age > 2 * this.#window) this.#forget(requestId, entry);
      else this.#dropOutcome(entry);
    }
  }
}

function byMachine(time: number): number {
  return Math.round(time + machineAhead());
}
