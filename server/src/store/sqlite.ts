/** A store in a data directory, by SQLite on a thread of its own. */
import type { CallName, Calls, Kind, Kinds } from "./calls.js";
import { checkDirectory } from "./directory.js";
import { unpacked } from "./packing.js";
import {
  type AddAnswer,
  type CommitAnswer,
  type ExpiredSession,
  ownBytes,
  type Page,
  type PageOptions,
  placeOf,
  type Store,
  type StoredBase,
  type StoredCommit,
  type StoredDurable,
  type StoredSession,
  type StoredSnapshot,
  StoreError,
} from "./store.js";
import { StoreThread } from "./store-thread.js";

/** What SQLite takes as one value, and some room for what stands beside it. */
const LARGEST_IMAGE = 999_000_000;

/**
 * Nothing is made, and no thread started, before the first write: until then a directory that is not there reads as empty. One
 * that is there is opened, and so locked, by the first call.
 */
export class SqliteStore implements Store {
  readonly #directory: string;
  readonly #keyId: string | undefined;
  #thread: Promise<StoreThread> | undefined;
  #closed: Promise<void> | undefined;

  /** @param keyId names the key that is used here; absent: it is noted later */
  constructor(directory: string, keyId?: string) {
    this.#directory = directory;
    this.#keyId = keyId;
  }

  /**
   * Makes the directory where it is not there, opens and locks it. Calls do so by themselves when they need it.
   *
   * @throws StoreError; the next call tries again
   */
  async open(): Promise<void> {
    await this.#open();
  }

  addSnapshot(snapshot: StoredSnapshot, image: Uint8Array): Promise<boolean> {
    return this.#put("snapshots", snapshot.snapshotId, snapshot, image, false);
  }

  snapshot(snapshotId: string): Promise<StoredSnapshot | undefined> {
    return this.#item("snapshots", snapshotId);
  }

  snapshotImage(snapshotId: string): Promise<Uint8Array | undefined> {
    return this.#ask("image", { kind: "snapshots", id: snapshotId }, undefined);
  }

  snapshots(options: PageOptions): Promise<Page<StoredSnapshot>> {
    return this.#page("snapshots", options);
  }

  deleteSnapshot(snapshotId: string): Promise<boolean> {
    return this.#ask("delete", { kind: "snapshots", id: snapshotId }, false);
  }

  async putSession(session: StoredSession, image: Uint8Array): Promise<void> {
    await this.#put("sessions", session.sessionId, session, image, true);
  }

  session(sessionId: string): Promise<StoredSession | undefined> {
    return this.#item("sessions", sessionId);
  }

  sessionImage(sessionId: string): Promise<Uint8Array | undefined> {
    return this.#ask("image", { kind: "sessions", id: sessionId }, undefined);
  }

  sessions(options: PageOptions): Promise<Page<StoredSession>> {
    return this.#page("sessions", options);
  }

  deleteSession(sessionId: string): Promise<boolean> {
    return this.#ask("delete", { kind: "sessions", id: sessionId }, false);
  }

  async addDurable(
    session: StoredSession,
    image: Uint8Array,
    owner: number,
    most = Number.POSITIVE_INFINITY,
  ): Promise<AddAnswer> {
    this.#checkSize(image);
    const thread = this.#open();
    const bytes = ownBytes(image);
    return (await thread).call("addDurable", { item: session, image: bytes, owner, most }, bytes);
  }

  async commit(commit: StoredCommit): Promise<CommitAnswer> {
    this.#checkSize(commit.delta);
    const thread = this.#open();
    const delta = ownBytes(commit.delta);
    return (await thread).call("commit", { commit: { ...commit, delta } }, delta);
  }

  async rebase(base: StoredBase): Promise<CommitAnswer> {
    this.#checkSize(base.image);
    const thread = this.#open();
    const image = ownBytes(base.image);
    return (await thread).call("rebase", { base: { ...base, image } }, image);
  }

  async durable(sessionId: string): Promise<StoredDurable | undefined> {
    const found = await this.#ask("durable", { id: sessionId }, undefined);
    return found === undefined ? undefined : { ...found, deltas: unpacked(found.deltas) };
  }

  expiredDurable(now: number, after?: ExpiredSession): Promise<readonly ExpiredSession[]> {
    return this.#ask("expiredDurable", { now, after }, []);
  }

  deleteExpired(sessionId: string, now: number): Promise<boolean> {
    return this.#ask("deleteExpired", { id: sessionId, now }, false);
  }

  busySessions(): Promise<readonly string[]> {
    return this.#ask("busySessions", {}, []);
  }

  durableCount(): Promise<number> {
    return this.#ask("durableCount", {}, 0);
  }

  keyId(): Promise<string | undefined> {
    return this.#ask("keyId", {}, undefined);
  }

  async noteKey(keyId: string): Promise<void> {
    await (await this.#open()).call("noteKey", { keyId });
  }

  async expire(now: number): Promise<readonly string[]> {
    const ids: string[] = [];
    for (;;) {
      const { sessions, more } = await this.#ask("expire", { now }, { sessions: [], more: false });
      ids.push(...sessions);
      if (!more) return ids;
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // What is being opened for a call is closed after that call.
    const thread = await this.#thread?.catch(() => undefined);
    await thread?.close();
  }

  async #put<K extends Kind>(
    kind: K,
    id: string,
    item: Kinds[K],
    image: Uint8Array,
    replace: boolean,
  ): Promise<boolean> {
    this.#checkSize(image);
    const thread = this.#open();
    const bytes = ownBytes(image);
    return (await thread).call("put", { kind, id, item, image: bytes, replace }, bytes);
  }

  #checkSize({ byteLength }: Uint8Array): void {
    if (byteLength <= LARGEST_IMAGE) return;
    throw new StoreError(
      "full",
      `an image of ${byteLength} bytes is more than the ${LARGEST_IMAGE} that a store takes`,
    );
  }

  async #item<K extends Kind>(kind: K, id: string): Promise<Kinds[K] | undefined> {
    return (await this.#ask("item", { kind, id }, undefined)) as Kinds[K] | undefined;
  }

  async #page<K extends Kind>(kind: K, options: PageOptions): Promise<Page<Kinds[K]>> {
    placeOf(options.after);
    return (await this.#ask("page", { kind, options }, { items: [], next: "" })) as Page<Kinds[K]>;
  }

  /** Asks what a directory that is not there answers by itself. */
  async #ask<N extends CallName>(
    name: N,
    asks: Calls[N]["asks"],
    empty: Calls[N]["answers"],
  ): Promise<Calls[N]["answers"]> {
    this.#check();
    if (this.#thread === undefined && !checkDirectory(this.#directory)) return empty;
    return (await this.#open()).call(name, asks);
  }

  #open(): Promise<StoreThread> {
    try {
      this.#check();
    } catch (error) {
      return Promise.reject(error);
    }
    this.#thread ??= StoreThread.start({ directory: this.#directory, keyId: this.#keyId }).catch((error: unknown) => {
      this.#thread = undefined;
      throw error;
    });
    return this.#thread;
  }

  #check(): void {
    if (this.#closed !== undefined) throw new StoreError("broken", "the store is closed; the server is shutting down");
  }
}
