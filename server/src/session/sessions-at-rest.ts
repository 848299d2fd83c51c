/** The sessions at rest, as callers know them: found, watched, put to rest, woken and deleted. Where they lie is hibernation.ts's. */
import type { Engine } from "../engine/engine.js";
import type { CommitWriter } from "./commits.js";
import type { DurableSessions } from "./durable-sessions.js";
import { SessionError, StoreError } from "./errors.js";
import type { Hibernation } from "./hibernation.js";
import { deletedMeanwhile, type LiveSessions } from "./live-sessions.js";
import type { Newcomers } from "./room.js";
import { Session } from "./session.js";
import type { SessionInfo } from "./session-info.js";
import type { SavedSession } from "./session-record.js";
import type { Ending, Tombstones } from "./tombstones.js";
import { type Watcher, Watchers } from "./watchers.js";

/** Brings a session into memory once there is room for it. @throws SessionError QUOTA_EXCEEDED */
export type BringIn = (wanted: Newcomers, work: () => Promise<Session>) => Promise<Session>;

/** Where those are that are not in memory. */
export interface Kept {
  readonly hibernation: Hibernation;
  readonly durable: DurableSessions;
}

export class SessionsAtRest {
  readonly #engine: Engine;
  readonly #hibernation: Hibernation;
  readonly #durable: DurableSessions;
  readonly #live: LiveSessions;
  readonly #tombstones: Tombstones;
  readonly #maximum: number;
  /** Sessions that are on their way from the store. */
  readonly #waking = new Map<string, Promise<Session>>();
  /** Of sessions at rest. */
  readonly #watchers = new Map<string, Watchers>();
  /** By their ids: those that are on their way to the store, whether or not they are still wanted there. */
  readonly #leaving = new Map<string, Promise<boolean>>();
  /** Durable ones that the store has already, and that nobody is to see yet. */
  readonly #hidden = new Set<string>();
  /** Sessions that are on their way to the store and that it has room for. */
  #stored = 0;
  #isEnding = false;

  /**
   * @param live where those come from that are put to rest, and go that are woken
   * @param tombstones are told of those that end
   * @param maximum the most that may rest
   */
  constructor(
    engine: Engine,
    { hibernation, durable }: Kept,
    live: LiveSessions,
    tombstones: Tombstones,
    maximum: number,
  ) {
    this.#engine = engine;
    this.#durable = durable;
    this.#hibernation = hibernation;
    this.#live = live;
    this.#tombstones = tombstones;
    this.#maximum = maximum;
    // A store that cannot be used says so to whoever uses it.
    hibernation.purge(this.#lose).catch(() => undefined);
  }

  /** What is told of one; of one that was woken meanwhile, too. @throws SessionError where no session rests under this id */
  async info(sessionId: string): Promise<SessionInfo> {
    this.#tombstones.check(sessionId);
    const info = await this.#hibernation.find(sessionId).catch(whenExpired);
    if (this.#hidden.has(sessionId)) throw notFound(sessionId);
    if (info !== undefined && !(info instanceof SessionError)) return info;
    // It may have been woken, or may have ended, while the store was asked.
    const session = this.#live.find(sessionId);
    if (session !== undefined) return session.info;
    this.#tombstones.check(sessionId);
    if (info !== undefined) throw info;
    throw notFound(sessionId);
  }

  /** Nobody sees these, or loads them, until what this gives is called. */
  hide(sessionIds: readonly string[]): () => void {
    for (const sessionId of sessionIds) this.#hidden.add(sessionId);
    return () => {
      for (const sessionId of sessionIds) this.#hidden.delete(sessionId);
    };
  }

  /** Whether one rests under this id. One that has expired, or is of a process that has ended, makes way. */
  async has(sessionId: string): Promise<boolean> {
    await this.#hibernation.makeWay(sessionId);
    if (this.#tombstones.has(sessionId)) return false;
    try {
      return (await this.#hibernation.find(sessionId)) !== undefined;
    } catch (error) {
      if (!(error instanceof SessionError)) throw error;
      await this.#hibernation.clear(sessionId);
      this.endWatching(sessionId);
      return false;
    }
  }

  /**
   * The first of a list, by createdAt, then id.
   *
   * @param after of the page before; undefined for the first
   */
  async list(
    size: number,
    after: Pick<SessionInfo, "createdAt" | "sessionId"> | undefined,
    labels: ReadonlyMap<string, string>,
  ): Promise<SessionInfo[]> {
    const isLeftOut = (sessionId: string): boolean => this.#tombstones.has(sessionId) || this.#hidden.has(sessionId);
    return this.#hibernation.list(size, after, labels, isLeftOut);
  }

  /** Tells what happens to one, and in it once it is awake. @returns ends it */
  watch(sessionId: string, watcher: Watcher): () => void {
    const unwatch = this.#watchersOf(sessionId).add(watcher);
    return () => {
      unwatch();
      this.#forgetWatchers(sessionId);
    };
  }

  /** Who watches a session that is not in memory. */
  #watchersOf(sessionId: string): Watchers {
    const watchers = this.#watchers.get(sessionId) ?? new Watchers();
    this.#watchers.set(sessionId, watchers);
    return watchers;
  }

  /** Where nobody watches. Those of a session that is being woken are to be its own. */
  #forgetWatchers(sessionId: string): void {
    const isKept = this.#waking.has(sessionId) || this.#watchers.get(sessionId)?.isEmpty === false;
    if (!isKept) this.#watchers.delete(sessionId);
  }

  /**
   * Puts one to rest.
   *
   * @returns false when it was used meanwhile, or there is no room for it
   * @throws StoreError; SessionError when it ends on its way
   */
  put(session: Session): Promise<boolean> {
    const { sessionId } = session;
    const leaving = this.#put(session).finally(() => {
      if (this.#leaving.get(sessionId) === leaving) this.#leaving.delete(sessionId);
    });
    this.#leaving.set(sessionId, leaving);
    return leaving;
  }

  /** Resolves when nothing of a session of this id is on its way to the store: of one that has ended it is deleted there. */
  async hasLeft(sessionId: string): Promise<void> {
    await this.#leaving.get(sessionId)?.catch(() => undefined);
  }

  async #put(session: Session): Promise<boolean> {
    // First: its image is as large as it is.
    const leave = await this.#hibernation.enter();
    try {
      if (!this.mayTake(session)) return false;
      // Of a durable one all that there is, is in the store already.
      if (session.isDurable) return await this.#store(session);
      this.#stored++;
      return await this.#store(session).finally(() => this.#stored--);
    } finally {
      leave();
    }
  }

  /** Whether one more session may rest, and it is this one. */
  mayTake({ isDurable }: Session): boolean {
    if (this.#isEnding) return false;
    return isDurable || this.#hibernation.count + this.#stored < this.#maximum;
  }

  async #store(session: Session): Promise<boolean> {
    const { sessionId } = session;
    // Another has put it to rest since it was chosen, or is about to: what is in the store is not this one's to delete.
    if (!session.mayRest) return false;
    const watchers = await session.rest((info, saved) => this.#hibernation.put(info, saved));
    if (watchers === undefined) {
      // Used meanwhile, or gone: what was put into the store is not the session any more.
      if (!session.isDurable) await this.#hibernation.drop(sessionId);
      return false;
    }
    this.#live.delete(sessionId);
    this.#tombstones.delete(sessionId);
    this.keepWatching(sessionId, watchers);
    if (!watchers.isEmpty) watchers.changed({ ...session.info, isHibernated: true });
    return true;
  }

  /** Those who watched a session that has left memory are told what becomes of it. */
  keepWatching(sessionId: string, watchers: Watchers): void {
    if (!watchers.isEmpty) this.#watchers.set(sessionId, watchers);
  }

  /** One that could not be kept does not come back by itself: those who watch it do not wait for what may never come. */
  dismissWatchers(sessionId: string): void {
    const message =
      "the session left memory as it could not be kept, and could not be loaded again: watch it again, or use it to hear why";
    this.endWatching(sessionId, new SessionError("STORE_FAILED", message, { ids: { session_id: sessionId } }));
  }

  /**
   * Wakes one; all who ask for it meanwhile get the same.
   *
   * @throws SessionError where no session rests under this id, or there is no room for it
   */
  wake(sessionId: string, bringIn: BringIn): Promise<Session> {
    const known = this.#waking.get(sessionId);
    if (known !== undefined) return known;
    const waking = this.#load(sessionId, bringIn);
    this.#waking.set(sessionId, waking);
    return waking;
  }

  async #load(sessionId: string, bringIn: BringIn): Promise<Session> {
    try {
      const info = await this.info(sessionId);
      const live = this.#live.find(sessionId);
      if (live !== undefined) return live;
      const wanted = { sessions: 1, heaps: 1, heapBytes: info.memoryBytes };
      const session = await bringIn(wanted, async () => {
        const watchers = this.#watchersOf(sessionId);
        const wake = (now: SessionInfo, saved: SavedSession, writer?: CommitWriter): Promise<Session> => {
          // Others may have taken the room meanwhile, and how much it is was not known before.
          const heapBytes = this.#engine.grownBytes(saved.image);
          return bringIn({ ...wanted, sessions: 0, heapBytes }, () =>
            Session.wake(this.#engine, now, saved, watchers, writer),
          );
        };
        const awake = await (info.isDurable
          ? this.#durable.load(sessionId, (loaded) => wake(loaded.info, loaded.saved, loaded.writer))
          : this.#hibernation.load(sessionId, (saved) => wake(info, saved)));
        this.#watchers.delete(sessionId);
        this.#live.add(awake);
        watchers.changed(awake.info);
        return awake;
      });
      // What is in the store is not the session any more.
      if (!info.isDurable) void this.#hibernation.drop(sessionId);
      return session;
    } catch (error) {
      // It may have been deleted, or have expired, while it was on its way.
      if (this.#tombstones.has(sessionId)) this.endWatching(sessionId);
      this.#tombstones.check(sessionId);
      throw error;
    } finally {
      this.#waking.delete(sessionId);
      this.#forgetWatchers(sessionId);
    }
  }

  /** Whether one is on its way from the store. */
  isWaking(sessionId: string): boolean {
    return this.#waking.has(sessionId);
  }

  /** One that is on its way from the store, when it is there. Undefined: there is none, or it could not be woken. */
  async awake(sessionId: string): Promise<Session | undefined> {
    return this.#waking.get(sessionId)?.catch(() => undefined);
  }

  /** Resolves when all that are on their way from the store are there, or cannot be woken. */
  async allAwake(): Promise<void> {
    await Promise.allSettled(this.#waking.values());
  }

  /** @returns false when it was woken or deleted by somebody else meanwhile; true does not say that nobody has read it before */
  async delete(sessionId: string): Promise<boolean> {
    // One whose row is damaged is deleted too.
    const info = await this.info(sessionId).catch(unlessStoreFailed);
    const isDeleted = await this.#hibernation.delete(sessionId, info?.isDurable);
    if (isDeleted) this.#bury(sessionId, "SESSION_DELETED");
    return isDeleted;
  }

  /** Deletes those that were not used for their idle_ttl. @throws StoreError */
  async expire(): Promise<void> {
    for (const sessionId of await this.#hibernation.expire(this.#lose)) this.#bury(sessionId, "SESSION_EXPIRED");
    // One in memory knows better when it was used last.
    const isUsed = (sessionId: string): boolean => this.#live.has(sessionId) || this.#waking.has(sessionId);
    await this.#durable.expire(isUsed, (sessionId) => this.#bury(sessionId, "SESSION_EXPIRED"));
  }

  /** From now on none is put to rest. */
  close(): void {
    this.#isEnding = true;
  }

  /** Another process has left it behind. */
  readonly #lose = (sessionId: string): void => this.#bury(sessionId, "SESSION_LOST");

  /** One at rest is no more. */
  #bury(sessionId: string, ending: Ending): void {
    // It was woken before, or there is another of this id.
    if (this.#live.has(sessionId)) return;
    this.#tombstones.add(sessionId, ending);
    // Who wakes it just now finds out whether it was too late.
    if (!this.#waking.has(sessionId)) this.endWatching(sessionId);
  }

  /** Those who watched it while it was not in memory are told that it has ended. */
  endWatching(sessionId: string, why = deletedMeanwhile(sessionId)): void {
    this.#watchers.get(sessionId)?.ended(why);
    this.#watchers.delete(sessionId);
  }
}

function notFound(sessionId: string): SessionError {
  return new SessionError("SESSION_NOT_FOUND", "no such session; create it first", { ids: { session_id: sessionId } });
}

/** It expired; whether it was in use meanwhile the caller knows. @throws what is another failure */
function whenExpired(error: unknown): SessionError {
  if (error instanceof SessionError && error.reason === "SESSION_EXPIRED") return error;
  throw error;
}

/** @throws what is no failure of the store */
function unlessStoreFailed(error: unknown): undefined {
  if (!(error instanceof StoreError)) throw error;
}
