/** The sessions in memory, by their ids. Those that were not used for their idle_ttl end here, before anybody sees them. */
import { SessionError } from "./errors.js";
import type { Lenders } from "./host-functions.js";
import { checkId } from "./ids.js";
import type { Session } from "./session.js";
import type { Ending, Tombstones } from "./tombstones.js";
import type { Watchers } from "./watchers.js";

export interface LiveSessionsOwner {
  /** A durable one has left memory because it could not be kept. @param watchers those who watch it */
  lost(sessionId: string, watchers: Watchers): void;
  /** One has ended. It may have gone to rest on its way. */
  ended(sessionId: string): void;
}

export class LiveSessions {
  readonly #sessions = new Map<string, Session>();
  /** Durable ones that are to end, on their way out of the store. */
  readonly #leaving = new Map<string, Promise<void>>();
  /** Those who lent functions to such as could not be kept, by their ids, until these are here again. */
  readonly #lenders = new Map<string, { readonly createdAt: number; readonly lenders: Lenders }>();
  readonly #tombstones: Tombstones;
  readonly #owner: LiveSessionsOwner;

  /** @param tombstones are told of those that end */
  constructor(tombstones: Tombstones, owner: LiveSessionsOwner) {
    this.#tombstones = tombstones;
    this.#owner = owner;
  }

  /** How many there are. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Undefined where there is none of this id. @throws SessionError INVALID_REQUEST (id) */
  find(sessionId: string): Session | undefined {
    checkId("session_id", sessionId);
    const session = this.#sessions.get(sessionId);
    if (session === undefined || !this.#isExpired(session)) return session;
    // Nobody sees it between two sweeps.
    this.#endExpired(session);
    return undefined;
  }

  /** Also for one whose idle_ttl is over, as long as nobody has looked. */
  has(sessionId: string): boolean {
    return this.#sessions.has(sessionId);
  }

  /** Those that `find` gives. */
  allFound(): Session[] {
    return this.all().filter((session) => !this.#isExpired(session));
  }

  /** Also those whose idle_ttl is over, as long as nobody has looked. */
  all(): Session[] {
    return [...this.#sessions.values()];
  }

  /** One that has ended meanwhile is loaded when it is used. */
  add(session: Session): void {
    if (session.hasEnded) return;
    const { sessionId, createdAt } = session;
    session.onLost = (lenders, watchers) => {
      // Another may have been loaded in its place.
      if (this.#sessions.get(sessionId) === session) this.#sessions.delete(sessionId);
      this.#lenders.set(sessionId, { createdAt, lenders });
      this.#owner.lost(sessionId, watchers);
    };
    // Before anybody gets it: who exposes or passes some more is known to it then.
    const known = this.#lenders.get(sessionId);
    if (known?.createdAt === createdAt) session.hostFunctions.adopt(known.lenders);
    this.#lenders.delete(sessionId);
    this.#sessions.set(sessionId, session);
    this.#tombstones.delete(sessionId);
  }

  /** One that could not be kept does not come back by itself: those who lent it functions are told, to do so again. */
  dismissLenders(sessionId: string): void {
    const clients = this.#lenders.get(sessionId)?.lenders.clients ?? [];
    this.#lenders.delete(sessionId);
    const message =
      "the session left memory as it could not be kept, and could not be loaded again: expose to it again";
    const why = new SessionError("STORE_FAILED", message, { ids: { session_id: sessionId } });
    for (const { link } of clients) link?.sessionLeft(sessionId, why);
  }

  /** It has left memory. */
  delete(sessionId: string): void {
    this.#sessions.delete(sessionId);
  }

  /**
   * Ends a session; what runs in it is answered ABORTED.
   *
   * @throws StoreError when a durable one could not be taken out of the store: it goes on then
   */
  end(session: Session, ending: Ending): Promise<void> {
    const { sessionId, isDurable } = session;
    if (!isDurable) return this.#bury(session, ending);
    const known = this.#leaving.get(sessionId);
    if (known !== undefined) return known;
    const leaving = session.commits
      .delete()
      .then(() => this.#bury(session, ending))
      .finally(() => this.#leaving.delete(sessionId));
    this.#leaving.set(sessionId, leaving);
    return leaving;
  }

  async #bury(session: Session, ending: Ending): Promise<void> {
    const { sessionId } = session;
    if (this.#sessions.get(sessionId) === session) this.#sessions.delete(sessionId);
    this.#tombstones.add(sessionId, ending);
    this.#owner.ended(sessionId);
    await session.end(() => deletedMeanwhile(sessionId));
  }

  /** Resolves when a durable one of this id that has ended is out of the store, or stays there: till then its id is not free. */
  async hasLeft(sessionId: string): Promise<void> {
    await this.#leaving.get(sessionId)?.catch(() => undefined);
  }

  /** Ends so many of those at most that were not used for their idle_ttl. @returns how many */
  expire(most: number): number {
    let ended = 0;
    for (const session of this.#sessions.values()) {
      if (ended >= most) break;
      if (this.#isExpired(session) && this.#endExpired(session)) ended++;
    }
    return ended;
  }

  /** Not used for its idle_ttl. */
  #isExpired(session: Session): boolean {
    const mayExpire = session.idleAction === "delete" && session.isIdle && !session.isHeld;
    return mayExpire && session.expiresAt <= Date.now();
  }

  /** @returns false where it is about to end already */
  #endExpired(session: Session): boolean {
    if (this.#leaving.has(session.sessionId)) return false;
    // One that the store still has is found there to have expired.
    this.end(session, "SESSION_EXPIRED").catch(() => undefined);
    return true;
  }
}

/** What calls are answered with that ran when their session ended. */
export function deletedMeanwhile(sessionId: string): SessionError {
  const ids = { session_id: sessionId };
  return new SessionError("SESSION_DELETED_MEANWHILE", "the session was deleted meanwhile, or has expired", { ids });
}
