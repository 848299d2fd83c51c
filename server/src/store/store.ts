/** Where snapshots and sessions at rest are kept: what the layers above ask of a store, whichever it is. */

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

/** A session at rest without its image. Times are whole milliseconds since the epoch. */
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
}

/**
 * What a promise of it acknowledged is kept. A call that fails changes nothing. Calls take effect in the order they are made.
 * Images are opaque bytes. One that is given to the store is the store's: its buffer may be detached, so whoever needs it
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
  /** Deletes what has expired by `now`, milliseconds since the epoch. Gives the ids of the sessions among it. */
  expire(now: number): Promise<readonly string[]>;
  /** Ends it once all that was asked before is done. Later calls reject as broken; a second close waits for the first. */
  close(): Promise<void>;
}

/**
 * full: there is no room; what is there stays, and the call works again when there is.
 * busy: another server has the store.
 * broken: it cannot be used, by this process or at all.
 */
export type StoreErrorKind = "full" | "busy" | "broken";

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
