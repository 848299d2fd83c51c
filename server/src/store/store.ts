/** Where snapshots, sessions at rest and durable sessions are kept: what the layers above ask of a store, whichever it is. */

/** A snapshot without its image. Times are whole milliseconds since the epoch. */
export interface StoredSnapshot {
  /** Ids are ASCII text. */
  readonly snapshotId: string;
  readonly sessionId: string;
  readonly createdAt: number;
  /** From this moment on it is not given out; undefined: never. */
  readonly expiresAt: number | undefined;
  readonly engineDigest: string;
  readonly labels: ReadonlyMap<string, string>;
  /** Of the image. */
  readonly sizeBytes: number;
}

/** A session at rest, or a durable one, without its image. Times are whole milliseconds since the epoch. */
export interface StoredSession {
  readonly sessionId: string;
  readonly createdAt: number;
  /** From this moment on it is not given out; undefined: never. */
  readonly expiresAt: number | undefined;
  readonly labels: ReadonlyMap<string, string>;
  /** Opaque to the store: what can be told of the session without loading it. */
  readonly record: string;
  /** Of the image. */
  readonly sizeBytes: number;
}

/** What a durable session knows of a request that carried an id. */
export interface StoredOutcome {
  readonly requestId: string;
  /** Opaque to the store. */
  readonly outcome: string;
}

/** A piece of what can be told of a durable session that stays as it is from one commit to the next. */
export interface StoredPart {
  readonly key: string;
  /** Opaque to the store. */
  readonly text: string;
}

/**
 * Whose hand a durable session is in. Each that loads it takes the next owner's number, so that what an earlier one still sends is
 * refused; versions count commits, so that none is left out or comes twice.
 */
export interface Ownership {
  readonly owner: number;
  readonly version: number;
}

/** What one commit of a durable session adds: all of it is kept, or nothing. Its version follows the one that was kept last. */
export interface StoredCommit extends Ownership {
  /** In place of what was told of the session. */
  readonly session: StoredSession;
  /** It is in the middle of something, which goes on when the server comes back: see `busySessions`. */
  readonly isBusy: boolean;
  /** Opaque to the store: how the image has changed since the commit before. */
  readonly delta: Uint8Array;
  /** Of ids that were not known. */
  readonly outcomes: readonly StoredOutcome[];
  /** In place of what is known of their ids. */
  readonly expired: readonly StoredOutcome[];
  /** Request ids that may come again. */
  readonly forgotten: readonly string[];
  /** In place of what is there by their keys. */
  readonly parts: readonly StoredPart[];
  /** Keys of those that are not needed any more. */
  readonly dropped: readonly string[];
}

/** A durable session in one piece again, as it was at a version: in place of its image, and of the deltas up to then. */
export interface StoredBase extends Ownership {
  readonly sessionId: string;
  readonly image: Uint8Array;
}

/** A durable session that has expired. */
export interface ExpiredSession {
  readonly sessionId: string;
  readonly expiresAt: number;
}

/** What a durable session was at its last commit. */
export interface StoredDurable extends Ownership {
  readonly session: StoredSession;
  readonly image: Uint8Array;
  /** Of the commits since the image, in their order: each is made when it is asked for, once. */
  readonly deltas: AsyncIterable<Uint8Array>;
  /** In the order they came. */
  readonly outcomes: readonly StoredOutcome[];
  readonly parts: readonly StoredPart[];
}

/** kept; or refused: another owner has the session, it is gone, or one of the outcomes is known already. Nothing is changed then. */
export type CommitAnswer = "kept" | "refused";

/** added; exists: one of its id is here already, and stays; tooMany: so many are durable that no other may be. */
export type AddAnswer = "added" | "exists" | "tooMany";

export interface Page<T> {
  readonly items: readonly T[];
  /** What gives the next page; empty on the last one. */
  readonly next: string;
}

export interface PageOptions {
  /** The most items to give, at least 1. */
  readonly size: number;
  /** `next` of the page before, or empty for the first; see `isPageToken`. */
  readonly after: string;
  /** What an item must have, all of them with these values. */
  readonly labels: ReadonlyMap<string, string>;
  /** Milliseconds since the epoch; what has expired by then is left out. */
  readonly now: number;
  /** Leaves durable sessions out. Absent: they are in. */
  readonly isEphemeral?: boolean;
}

/**
 * What a promise of it acknowledged is kept. A call that fails changes nothing. Calls take effect in the order they are made, but
 * for a commit, before which others may that are about other sessions. Images are opaque bytes. One that is given to the store is the store's: its buffer may be detached, so whoever needs it
 * afterwards copies it before. One that the store gives belongs to the caller.
 *
 * Lookups by one id also find what has expired and was not swept yet: the caller compares.
 *
 * Every call may reject with a StoreError.
 */
export interface Store {
  /** False: one with this id is here already, expired or not, and stays as it is. */
  addSnapshot(snapshot: StoredSnapshot, image: Uint8Array): Promise<boolean>;
  snapshot(snapshotId: string): Promise<StoredSnapshot | undefined>;
  snapshotImage(snapshotId: string): Promise<Uint8Array | undefined>;
  /** By createdAt, then id. Rejects with a RangeError when `after` is not from here. */
  snapshots(options: PageOptions): Promise<Page<StoredSnapshot>>;
  /** False: there was none. */
  deleteSnapshot(snapshotId: string): Promise<boolean>;
  /** Replaces one of the same id. */
  putSession(session: StoredSession, image: Uint8Array): Promise<void>;
  session(sessionId: string): Promise<StoredSession | undefined>;
  sessionImage(sessionId: string): Promise<Uint8Array | undefined>;
  /** By createdAt, then id. Rejects with a RangeError when `after` is not from here. */
  sessions(options: PageOptions): Promise<Page<StoredSession>>;
  /** False: there was none. */
  deleteSession(sessionId: string): Promise<boolean>;
  /**
   * A session that is durable from now on, as of version 0.
   *
   * @param owner its first; one that no session of this id before had, so that what is still told of that one is refused
   * @param most that may be durable, this one included; absent: any number
   */
  addDurable(session: StoredSession, image: Uint8Array, owner: number, most?: number): Promise<AddAnswer>;
  commit(commit: StoredCommit): Promise<CommitAnswer>;
  rebase(base: StoredBase): Promise<CommitAnswer>;
  /** Undefined where there is none, or one that is not durable. */
  durable(sessionId: string): Promise<StoredDurable | undefined>;
  /**
   * Durable sessions that have expired by `now`, by expiresAt, then id: whoever knows that nobody uses one deletes it.
   *
   * @param after the last that was given before; absent: from the first on
   * @returns at most some hundred; none where there are no more
   */
  expiredDurable(now: number, after?: ExpiredSession): Promise<readonly ExpiredSession[]>;
  /** Deletes a session that has expired by `now`. False: there is none, or it was used since it was found to have expired. */
  deleteExpired(sessionId: string, now: number): Promise<boolean>;
  /** Durable sessions that are in the middle of something. */
  busySessions(): Promise<readonly string[]>;
  /** How many sessions are durable. */
  durableCount(): Promise<number>;
  /** Deletes what has expired by `now`, milliseconds since the epoch, but no durable session. Gives the ids of the sessions among it. */
  expire(now: number): Promise<readonly string[]>;
  /** Names the key with which what is here was signed; undefined where that is not known. */
  keyId(): Promise<string | undefined>;
  /** In place of what was noted before. */
  noteKey(keyId: string): Promise<void>;
  /** Ends it once all that was asked before is done. Later calls reject as broken; a second close waits for the first. */
  close(): Promise<void>;
}

/**
 * full: there is no room; what is there stays, and the call works again when there is.
 * busy: another server has the store.
 * damaged: what it has of one thing is not what was put there; the others are as they were.
 * broken: it cannot be used, by this process or at all.
 */
export type StoreErrorKind = "full" | "busy" | "damaged" | "broken";

export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly kind: StoreErrorKind;

  /** @param message says what is wrong and what to do about it */
  constructor(kind: StoreErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Where a page ends. */
export interface PagePlace {
  readonly createdAt: number;
  readonly id: string;
}

const TOKEN = /^(\d{1,16}):([\x20-\x7e]{1,256})$/;

/** Whether a text can be the `after` of a page. */
export function isPageToken(text: string): boolean {
  return text === "" || TOKEN.test(text);
}

export function pageToken({ createdAt, id }: PagePlace): string {
  return `${createdAt}:${id}`;
}

/**
 * @returns the place after which a page begins
 * @throws RangeError
 */
export function placeOf(token: string): PagePlace {
  if (token === "") return { createdAt: -1, id: "" };
  const [, createdAt, id] = TOKEN.exec(token) ?? [];
  if (id === undefined) throw new RangeError("the page token is not one that a store gave");
  return { createdAt: Number(createdAt), id };
}

/** The bytes in a buffer of their own, which can be transferred: the image itself where it has one, else a copy. */
export function ownBytes(image: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = image;
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === image.byteLength;
  return isWhole ? new Uint8Array(buffer) : Uint8Array.from(image);
}
