/** The sessions at rest, as callers know them: found, watched, put to rest, woken and deleted. Where they lie is hibernation.ts's. */
import type { Engine } from "../engine/engine.js";
import { SessionError } from "./errors.js";
import type { Hibernation } from "./hibernation.js";
import { deletedMeanwhile, type LiveSessions } from "./live-sessions.js";
import { Session } from "./session.js";
import type { SessionInfo } from "./session-info.js";
import type { Ending, Tombstones } from "./tombstones.js";
import { type Watcher, Watchers } from "./watchers.js";

export class SessionsAtRest {
  readonly #engine: Engine;
  readonly #hibernation: Hibernation;
  readonly #live: LiveSessions;
  readonly #tombstones: Tombstones;
  readonly #maximum: number;
  /** Of sessions at rest. */
  readonly #watchers = new Map<string, Watchers>();
  #isClosed = false;

  /**
   * @param live where those come from that are put to rest, and go that are woken
   * @param tombstones are told of those that end
   * @param maximum the most that may rest
   */
  constructor(engine: Engine, hibernation: Hibernation, live: LiveSessions, tombstones: Tombstones, maximum: number) {
    this.#engine = engine;
    this.#hibernation = hibernation;
    this.#live = live;
    this.#tombstones = tombstones;
    this.#maximum = maximum;
    // A store that cannot be used says so to whoever uses it.
    hibernation.purge((sessionId) => this.#tombstones.add(sessionId, "SESSION_LOST")).catch(() => undefined);
  }

  /** What is told of one; of one that was woken meanwhile, too. @throws SessionError where no session rests under this id */
  async info(sessionId: string): Promise<SessionInfo> {
    this.#tombstones.check(sessionId);
    const info = await this.#hibernation.find(sessionId);
    if (info !== undefined) return info;
    // It may have been woken, or may have ended, while the store was asked.
    const session = this.#live.find(sessionId);
    if (session !== undefined) return session.info;
    this.#tombstones.check(sessionId);
    throw new SessionError("SESSION_NOT_FOUND", "no such session; create it first", { ids: { session_id: sessionId } });
  }

  /** Whether one rests under this id. One of a process that has ended makes way. */
  async has(sessionId: string): Promise<boolean> {
    if (this.#tombstones.has(sessionId)) return false;
    const info = await this.#hibernation.find(sessionId).catch((error: unknown) => {
      if (error instanceof SessionError && error.reason === "SESSION_LOST") return undefined;
      throw error;
    });
    return info !== undefined;
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
    const atRest = await this.#hibernation.list(size, after, labels);
    return atRest.filter(({ sessionId }) => !this.#tombstones.has(sessionId));
  }

  /** Tells what happens to one, and in it once it is awake. @returns ends it */
  watch(sessionId: string, watcher: Watcher): () => void {
    let watchers = this.#watchers.get(sessionId);
    if (watchers === undefined) {
      watchers = new Watchers();
      this.#watchers.set(sessionId, watchers);
    }
    return watchers.add(watcher);
  }

  /** Puts one to rest. @returns false when it was used meanwhile, or there is no room for it @throws StoreError */
  async put(session: Session): Promise<boolean> {
    const { sessionId } = session;
    if (this.#isClosed || this.#hibernation.count >= this.#maximum) return false;
    // Another has put it to rest since it was chosen, or is about to: what is in the store is not this one's to delete.
    if (!session.mayRest) return false;
    const watchers = await session.rest((info, saved) => this.#hibernation.put(info, saved));
    if (watchers === undefined) {
      // Used meanwhile, or gone: what was put into the store is not the session any more.
      await this.#hibernation.delete(sessionId);
      return false;
    }
    this.#live.delete(sessionId);
    if (!watchers.isEmpty) {
      this.#watchers.set(sessionId, watchers);
      watchers.changed({ ...session.info, isHibernated: true });
    }
    return true;
  }

  /** Wakes one. There must be room for it. @throws SessionError SESSION_LOST, INVALID_REQUEST */
  async wake(info: SessionInfo): Promise<Session> {
    const { sessionId } = info;
    const watchers = this.#watchers.get(sessionId) ?? new Watchers();
    const awake = await this.#hibernation.load(sessionId, (saved) => Session.wake(this.#engine, info, saved, watchers));
    this.#watchers.delete(sessionId);
    this.#live.add(awake);
    watchers.changed(awake.info);
    // What is in the store is not the session any more, whether it is gone from there or not.
    this.#hibernation.delete(sessionId).catch(() => undefined);
    return awake;
  }

  /** @returns false when it was woken or deleted by somebody else meanwhile */
  async delete(sessionId: string): Promise<boolean> {
    await this.info(sessionId);
    const isDeleted = await this.#hibernation.delete(sessionId);
    if (isDeleted) this.#bury(sessionId, "SESSION_DELETED");
    return isDeleted;
  }

  /** Deletes those that were not used for their idle_ttl. @throws StoreError */
  async expire(): Promise<void> {
    for (const sessionId of await this.#hibernation.expire()) this.#bury(sessionId, "SESSION_EXPIRED");
  }

  /** From now on none is put to rest. */
  close(): void {
    this.#isClosed = true;
  }

  /** One at rest is no more. */
  #bury(sessionId: string, ending: Ending): void {
    this.#tombstones.add(sessionId, ending);
    this.#watchers.get(sessionId)?.ended(deletedMeanwhile(sessionId));
    this.#watchers.delete(sessionId);
  }
}
