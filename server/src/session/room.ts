/**
 * Room in memory: sessions come into it when there is some, and those that were not used for longest leave it for the store, so that
 * there is. Those that nobody used for long leave it anyhow.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Engine } from "../engine/engine.js";
import { SessionError } from "./errors.js";
import type { LiveSessions } from "./live-sessions.js";
import type { Session } from "./session.js";
import type { SessionsAtRest } from "./sessions-at-rest.js";

const SWEEP_EVERY = 1_000;
/** Sweeps between two looks for what has expired in the store. */
const STORE_SWEEP = 30;
const QUOTA_RETRY = 1_000;
/** How often it is looked whether there is room, in milliseconds. */
const ROOM_EVERY = 10;
/** After the store failed nothing is put to rest of the server's own accord for so many milliseconds. */
const REST_RETRY = 30_000;
/** Sessions that are put to rest at once. */
const RESTED_AT_ONCE = 8;

export interface RoomOptions {
  /** The most sessions that may be in memory at once. */
  readonly maximum: number;
  /** Milliseconds without use after which a session leaves memory; Infinity for only when there is no room. */
  readonly hibernateAfter: number;
}

/** What is to come into memory. */
export interface Newcomers {
  readonly sessions: number;
  /** Of each. */
  readonly heapBytes: number;
}

export const A_FRESH_ONE: Newcomers = { sessions: 1, heapBytes: 0 };

export class Room {
  readonly #engine: Engine;
  readonly #live: LiveSessions;
  readonly #atRest: SessionsAtRest;
  readonly #options: RoomOptions;
  /** Sessions that are on their way to the store. */
  readonly #resting = new Set<Promise<boolean>>();
  readonly #sweeper: NodeJS.Timeout;
  /** Room that is taken by others than the live ones, which those on their way into memory are not yet. */
  #reserved = 0;
  #sweeps = 0;
  #isResting = false;
  #restAgainAt = 0;

  constructor(engine: Engine, live: LiveSessions, atRest: SessionsAtRest, options: RoomOptions) {
    this.#engine = engine;
    this.#live = live;
    this.#atRest = atRest;
    this.#options = options;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_EVERY);
    this.#sweeper.unref();
  }

  /** Sessions that take room in memory, or are about to. */
  get count(): number {
    return this.#live.size + this.#reserved;
  }

  /** Nobody leaves memory any more. */
  close(): void {
    clearInterval(this.#sweeper);
    this.#atRest.close();
  }

  /** Takes room that is there until what this gives is called. */
  take(sessions: number): () => void {
    this.#reserved += sessions;
    return () => {
      this.#reserved -= sessions;
    };
  }

  /**
   * Brings sessions into memory once there is room for them.
   *
   * @param patience milliseconds to wait where all that are in memory are in use
   * @throws SessionError QUOTA_EXCEEDED
   */
  async bringIn<T>(wanted: Newcomers, patience: number, work: () => Promise<T>): Promise<T> {
    const until = Date.now() + patience;
    while (!this.#hasRoomFor(wanted)) {
      this.#live.expire();
      const tooMany = Math.max(1, this.count + wanted.sessions - this.#options.maximum);
      if (this.#hasRoomFor(wanted) || (await this.#restFirst(tooMany, () => true)) > 0) continue;
      // Others may be making room just now.
      const [resting] = this.#resting;
      if (resting !== undefined) await resting.catch(() => undefined);
      else if (Date.now() >= until) throw this.#noRoomFor(wanted);
      else await sleep(ROOM_EVERY);
    }
    const leave = this.take(wanted.sessions);
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** That there is room for a fresh one, for who cannot wait. @throws SessionError QUOTA_EXCEEDED */
  checkAtOnce(): void {
    if (this.#hasRoomFor(A_FRESH_ONE)) return;
    this.#live.expire();
    if (this.#hasRoomFor(A_FRESH_ONE)) return;
    void this.#restFirst(1, () => true).catch(() => undefined);
    throw this.#noRoomFor(A_FRESH_ONE);
  }

  /** That there is room for this heap, of a session whose place is taken. @throws SessionError QUOTA_EXCEEDED */
  checkHeap(heapBytes: number): void {
    if (!this.#engine.hasRoomFor(1, heapBytes)) throw this.#noRoomFor({ sessions: 0, heapBytes });
  }

  #hasRoomFor({ sessions, heapBytes }: Newcomers): boolean {
    return this.count + sessions <= this.#options.maximum && this.#engine.hasRoomFor(sessions, heapBytes);
  }

  #noRoomFor({ sessions }: Newcomers): SessionError {
    const { maximum } = this.#options;
    const [what, flag] =
      this.count + sessions <= maximum
        ? ["all the memory that its sessions may hold together", "--max-memory"]
        : [`${this.count} sessions in memory of at most ${maximum}`, "--max-sessions"];
    return new SessionError(
      "QUOTA_EXCEEDED",
      `the server holds ${what}, and none of its sessions can leave memory now; delete some, give them a shorter idle_ttl, or start it with a larger ${flag}`,
      { retryAfter: QUOTA_RETRY },
    );
  }

  #sweep(): void {
    this.#live.expire();
    if (++this.#sweeps % STORE_SWEEP === 0) void this.#atRest.expire().catch(() => undefined);
    const now = Date.now();
    if (now < this.#restAgainAt || this.#isResting) return;
    this.#isResting = true;
    const isDue = ({ lastUsedAt, idleAction, expiresAt }: Session): boolean =>
      lastUsedAt + this.#options.hibernateAfter <= now || (idleAction === "hibernate" && expiresAt <= now);
    this.#restFirst(Number.POSITIVE_INFINITY, isDue)
      .catch(() => {
        this.#restAgainAt = Date.now() + REST_RETRY;
      })
      .finally(() => {
        this.#isResting = false;
      });
  }

  /**
   * Puts sessions to rest, those first that were not used for longest.
   *
   * @param most how many
   * @returns how many there were
   * @throws StoreError
   */
  async #restFirst(most: number, isMeant: (session: Session) => boolean): Promise<number> {
    const candidates = this.#live.all().filter((session) => session.mayRest && isMeant(session));
    candidates.sort((a, b) => a.lastUsedAt - b.lastUsedAt);
    let rested = 0;
    for (let at = 0; at < candidates.length && rested < most; at += RESTED_AT_ONCE) {
      const some = candidates.slice(at, at + Math.min(RESTED_AT_ONCE, most - rested));
      const done = await Promise.all(some.map((session) => this.#rest(session)));
      rested += done.filter(Boolean).length;
    }
    return rested;
  }

  #rest(session: Session): Promise<boolean> {
    const resting = this.#atRest.put(session).finally(() => this.#resting.delete(resting));
    this.#resting.add(resting);
    return resting;
  }
}
