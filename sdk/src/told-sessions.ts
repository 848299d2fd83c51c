/** What one session knows of the client. */
interface Told {
  /** How long it may wait for the client at most, in milliseconds; undefined: it does not know the client. */
  window: number | undefined;
  /** The frame by which it was told something last; by its id is said that the session has ended. */
  frameId: number | undefined;
  /** How much of what it is told has no answer that it stays with. */
  unanswered: number;
}

/** What sessions know of the client on the stream that there is: each is told who lends it functions, and answers. */
export class ToldSessions {
  readonly #byId = new Map<string, Told>();
  /** Their ids, by the frames by which they were told something last. */
  readonly #byFrame = new Map<number, string>();

  /** There is another stream: nobody was told anything on it. */
  clear(): void {
    this.#byId.clear();
    this.#byFrame.clear();
  }

  /** The sessions that know the client. */
  get ids(): readonly string[] {
    return [...this.#byId].filter(([, { window }]) => window !== undefined).map(([sessionId]) => sessionId);
  }

  has(sessionId: string): boolean {
    return this.windowOf(sessionId) !== undefined;
  }

  /** How long a session may wait for the client, in milliseconds; undefined where it does not know the client. */
  windowOf(sessionId: string): number | undefined {
    return this.#byId.get(sessionId)?.window;
  }

  /** A session is being told. @param window milliseconds: the last one that is said counts, unless it is refused */
  tell(sessionId: string, window: number): void {
    const told = this.#byId.get(sessionId) ?? { window: undefined, frameId: undefined, unanswered: 0 };
    told.window = Math.max(window, told.window ?? 0);
    told.unanswered++;
    this.#byId.set(sessionId, told);
  }

  /** A session has answered, or is not asked again. @returns true if it has answered all that it was told */
  countAnswer(sessionId: string): boolean {
    const told = this.#byId.get(sessionId);
    if (told === undefined) return true;
    told.unanswered = Math.max(0, told.unanswered - 1);
    const isLast = told.unanswered === 0;
    this.#dropIfEmpty(sessionId, told);
    return isLast;
  }

  /** @param frameId of what a session has answered; undefined: by that it was told that it is lent nothing any more */
  setFrame(sessionId: string, frameId: number | undefined): void {
    const told = this.#byId.get(sessionId);
    if (told === undefined) return;
    if (told.frameId !== undefined) this.#byFrame.delete(told.frameId);
    if (frameId !== undefined) this.#byFrame.set(frameId, sessionId);
    told.frameId = frameId;
    this.#dropIfEmpty(sessionId, told);
  }

  /** The session that was told something last by a frame; it has ended. */
  takeByFrame(frameId: number): string | undefined {
    const sessionId = this.#byFrame.get(frameId);
    if (sessionId === undefined) return undefined;
    this.setFrame(sessionId, undefined);
    this.forget(sessionId);
    return sessionId;
  }

  /** A session does not know the client any more, or is not to count on it. @returns true if it knew it */
  forget(sessionId: string): boolean {
    const told = this.#byId.get(sessionId);
    if (told?.window === undefined) return false;
    told.window = undefined;
    this.#dropIfEmpty(sessionId, told);
    return true;
  }

  #dropIfEmpty(sessionId: string, { window, frameId, unanswered }: Told): void {
    if (window === undefined && frameId === undefined && unanswered === 0) this.#byId.delete(sessionId);
  }
}
