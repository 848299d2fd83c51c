/**
 * Room in memory: sessions come into it when there is some, and those that were not used for longest leave it for the store, so that
 * there is. Those that nobody used for long leave it anyhow.
 */
import { setImmediate as nextRound, setTimeout as sleep } from "node:timers/promises";
import { clock, type Engine } from "../engine/engine.js";
import { SessionError } from "./errors.js";
import type { LiveSessions } from "./live-sessions.js";
import { Rounds } from "./rounds.js";
import type { Session } from "./session.js";
import type { SessionsAtRest } from "./sessions-at-rest.js";

const SWEEP_EVERY = 1_000;
/** Sweeps between two looks for what has expired in the store. */
const STORE_SWEEP = 30;
const QUOTA_RETRY = 1_000;
/** Milliseconds: whoever insists on what there can never be is not to ask often. */
export const NEVER_RETRY = 60_000;
/** How often it is looked whether there is room, in milliseconds. */
const ROOM_EVERY = 10;
/** Of those who wait for room so many look who may leave, which goes through all sessions, before others have the thread. */
const LOOKS_AT_ONCE = 1;
/** So many of those that such a look has found are kept, for who wants room next. */
const CANDIDATES = 500;
/** Sessions that expire together end so many at a time, and others have the thread between. */
const EXPIRED_AT_ONCE = 100;
/** A session that could not be put to rest is not tried again for so many milliseconds. */
const REST_RETRY = 30_000;
/** Of its idle_ttl: what the store knows of when a session was used last is no older than that. */
const USE_SHARE = 0.25;
/** Sessions that are put to rest at once, and that may fail before the store is to blame, not they. */
const RESTED_AT_ONCE = 8;

export interface RoomOptions {
  /** The most sessions that may be in memory at once. */
  readonly maximum: number;
  /** Milliseconds without use after which a session leaves memory; Infinity for only when there is no room. */
  readonly hibernateAfter: number;
  /** Is told why a session could not be put to rest, which nobody else hears of. */
  readonly onRestFailed?: (error: unknown) => void;
}

/** What is to come into memory. */
export interface Newcomers {
  readonly sessions: number;
  /** 0: the memory that there is, is enough. */
  readonly heaps: number;
  /** Of each heap. */
  readonly heapBytes: number;
}

/** A session that may leave memory. */
interface Candidate {
  readonly session: Session;
  /** As it was found: one that was used since is to stay. */
  readonly lastUsedAt: number;
}

export const A_FRESH_ONE: Newcomers = { sessions: 1, heaps: 1, heapBytes: 0 };

export class Room {
  readonly #engine: Engine;
  readonly #live: LiveSessions;
  readonly #atRest: SessionsAtRest;
  readonly #options: RoomOptions;
  /** Sessions that are on their way to the store. */
  readonly #resting = new Map<Session, Promise<boolean>>();
  /** When those that could not be put to rest may be tried again, by `clock()`. */
  readonly #restAgainAt = new WeakMap<Session, number>();
  readonly #looks = new Rounds(LOOKS_AT_ONCE);
  /** Of the last look since the last sweep, those that were not used for longest: whoever was used since comes behind them. */
  #oldest: Candidate[] = [];
  readonly #sweeper: NodeJS.Timeout;
  /** Room that is taken by others than the live ones, which those on their way into memory are not yet. */
  #reserved = 0;
  #sweeps = 0;
  /** When the store may be told again which sessions are in use, by `clock()`: the last time failed. */
  #keepUsesAt = 0;
  #isResting = false;

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
    // Nobody is to leave memory for what there can never be.
    if (!this.#engine.couldHold(wanted.heaps, wanted.heapBytes)) throw tooLarge();
    const until = clock() + patience;
    while (!this.#hasRoomFor(wanted)) {
      await this.#looks.take();
      if (this.#hasRoomFor(wanted)) continue;
      const tooMany = Math.max(1, this.count + wanted.sessions - this.#options.maximum);
      if ((await this.#restFirst(this.#oldest, tooMany)) > 0) continue;
      if (this.#hasRoomFor(wanted) || this.#live.expire(EXPIRED_AT_ONCE) > 0) continue;
      this.#oldest = this.#candidates(() => true, tooMany).slice(0, CANDIDATES);
      if ((await this.#restFirst(this.#oldest, tooMany)) > 0) continue;
      // Others may be making room just now.
      if (await this.#hasRested()) continue;
      if (this.#hasRoomFor(wanted)) continue;
      if (clock() >= until) throw this.#noRoomFor(wanted);
      await sleep(ROOM_EVERY);
    }
    const leave = this.take(wanted.sessions);
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** Waits for those that are on their way to the store. @returns whether one of them has left memory */
  async #hasRested(): Promise<boolean> {
    for (const resting of [...this.#resting.values()]) if (await resting) return true;
    return false;
  }

  /** Takes room for a fresh one until what this gives is called; undefined where others have to make it first. */
  takeAtOnce(): (() => void) | undefined {
    return this.#hasRoomFor(A_FRESH_ONE) ? this.take(A_FRESH_ONE.sessions) : undefined;
  }

  #hasRoomFor({ sessions, heaps, heapBytes }: Newcomers): boolean {
    return this.count + sessions <= this.#options.maximum && this.#engine.hasRoomFor(heaps, heapBytes);
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
    this.#oldest = [];
    void this.#expire();
    this.#keepUses();
    if (++this.#sweeps % STORE_SWEEP === 0) void this.#atRest.expire().catch(() => undefined);
    if (this.#isResting) return;
    this.#isResting = true;
    const now = Date.now();
    const isDue = ({ lastUsedAt, idleAction, expiresAt }: Session): boolean =>
      lastUsedAt + this.#options.hibernateAfter <= now || (idleAction === "hibernate" && expiresAt <= now);
    void this.#restFirst(this.#candidates(isDue, Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY).finally(() => {
      this.#isResting = false;
    });
  }

  async #expire(): Promise<void> {
    while (this.#live.expire(EXPIRED_AT_ONCE) === EXPIRED_AT_ONCE) await nextRound();
  }

  #keepUses(): void {
    const now = clock();
    if (now < this.#keepUsesAt) return;
    const failed = (): void => {
      this.#keepUsesAt = now + REST_RETRY;
    };
    for (const session of this.#live.all())
      if (session.isDurable && session.idleAction === "delete")
        session.keepUse(session.idleTtl * USE_SHARE).catch(failed);
  }

  /**
   * Looks at all sessions.
   *
   * @param wanted how many are to leave
   * @returns those that may leave memory, those first that were not used for longest
   */
  #candidates(isMeant: (session: Session) => boolean, wanted: number): Candidate[] {
    const now = clock();
    const mayRest = (session: Session): boolean =>
      isMeant(session) &&
      (this.#restAgainAt.get(session) ?? 0) <= now &&
      this.#atRest.mayTake(session) &&
      session.mayRest;
    const all = this.#live.all();
    const found = all.filter(mayRest);
    if (found.length < wanted) this.#haveGivenBack(all.filter(isMeant));
    const candidates = found.map((session) => ({ session, lastUsedAt: session.lastUsedAt }));
    return candidates.sort((a, b) => a.lastUsedAt - b.lastUsedAt);
  }

  /**
   * Puts the first of these to rest that were not used since. One that cannot be stored stays.
   *
   * @param candidates those that have had their turn are taken out
   * @param most how many
   * @returns how many there were
   */
  async #restFirst(candidates: Candidate[], most: number): Promise<number> {
    const now = clock();
    let rested = 0;
    let failed = 0;
    while (candidates.length > 0 && rested < most && failed < RESTED_AT_ONCE) {
      const next = candidates.splice(0, Math.min(RESTED_AT_ONCE, most - rested));
      const some = next.filter(({ session, lastUsedAt }) => session.lastUsedAt === lastUsedAt);
      const done = await Promise.all(some.map(({ session }) => this.#rest(session)));
      rested += done.filter(Boolean).length;
      failed += some.filter(({ session }) => (this.#restAgainAt.get(session) ?? 0) > now).length;
    }
    return rested;
  }

  /** Has some notice that they hold no function of a client any more, which had them stay: they may leave once that client has gone. */
  #haveGivenBack(sessions: readonly Session[]): void {
    const some = sessions.filter((session) => session.mayGiveBack && this.#atRest.mayTake(session));
    for (const session of some.slice(0, RESTED_AT_ONCE)) void session.giveBack();
  }

  /** @returns false when it was used meanwhile, there is no room for it, or it could not be stored */
  #rest(session: Session): Promise<boolean> {
    // Another has chosen it too.
    if (this.#resting.has(session)) return Promise.resolve(false);
    const resting = this.#atRest
      .put(session)
      .catch((error: unknown) => {
        // It was deleted on its way.
        if (error instanceof SessionError) return false;
        this.#restAgainAt.set(session, clock() + REST_RETRY);
        this.#options.onRestFailed?.(error);
        return false;
      })
      .finally(() => this.#resting.delete(session));
    this.#resting.set(session, resting);
    return resting;
  }
}

function tooLarge(): SessionError {
  const message =
    "this takes more memory than all sessions may hold together; ask for less, or start the server with a larger --max-memory";
  return new SessionError("QUOTA_EXCEEDED", message, { retryAfter: NEVER_RETRY });
}
