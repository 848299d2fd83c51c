/** Writes the commits of one durable session, and now and then the session as a whole, in place of its many small changes. */
import type { Engine, SessionImage, StoredPages } from "../engine/engine.js";
import type { SessionMemory } from "../engine/session-memory.js";
import type { CommitAnswer, Ownership, Store, StoredCommit, StoredOutcome } from "../store/store.js";
import type { Answer, CommittedState, CommitWriter } from "./commits.js";
import { type DurableRow, storedRow } from "./durable-row.js";
import { SessionError, StoreError } from "./errors.js";
import { changesOf, frameOf, partsOf, type RecordParts } from "./record-parts.js";
import type { SessionInfo } from "./session-info.js";
import { writeText } from "./session-record.js";

/** Commits after which the session is written as a whole: what is read when it is loaded stays bounded. */
const COMPACT_AFTER = { commits: 256, bytes: 16 << 20 };
/** So many times its own size, if that is more. */
const COMPACT_AFTER_SIZES = 4;
/** Milliseconds: somebody may have made room by then. */
const FULL_RETRY = 10_000;

/** Makes of an image what the store keeps. */
interface Sealer {
  seal(info: SessionInfo, image: SessionImage): Promise<Uint8Array>;
}

/** What is to be read beside its image when it is loaded. */
export interface SinceWhole {
  readonly commits: number;
  /** Of their deltas. */
  readonly bytes: number;
}

type Changes = Omit<StoredCommit, keyof Ownership | "session" | "isBusy">;

const NOTHING_ELSE: Omit<Changes, "delta"> = { outcomes: [], expired: [], forgotten: [], parts: [], dropped: [] };

export class DurableWriter implements CommitWriter {
  readonly #engine: Engine;
  readonly #store: Store;
  readonly #sealer: Sealer;
  /** What the store has. */
  readonly #pages: StoredPages;
  readonly #owner: number;
  /** What the store has beside them. */
  #row: DurableRow;
  /** What it has apart from that. */
  #parts: RecordParts;
  #version: number;
  /** Settles when what was asked for last is done: each commit follows the one before. */
  #last: Promise<unknown> = Promise.resolve();
  /** Since it was last written as a whole, or that was last tried. */
  #commits: number;
  #bytes: number;
  #compacting: Promise<void> | undefined;

  /**
   * @param pages what the store has of it, at the version of `ownership`
   * @param row what it has beside them
   * @param parts what it has apart from the row
   * @param since what has been kept since its image
   */
  constructor(
    engine: Engine,
    store: Store,
    sealer: Sealer,
    pages: StoredPages,
    row: DurableRow,
    parts: RecordParts,
    { owner, version }: Ownership,
    since: SinceWhole,
  ) {
    this.#engine = engine;
    this.#store = store;
    this.#sealer = sealer;
    this.#pages = pages;
    this.#row = row;
    this.#parts = parts;
    this.#owner = owner;
    this.#version = version;
    this.#commits = since.commits;
    this.#bytes = since.bytes;
  }

  async write({ info, record, ...state }: CommittedState, memory: SessionMemory): Promise<void> {
    const { sessionId } = info;
    const answers = {
      outcomes: state.answers.map(outcomeOf),
      expired: state.expired.map(outcomeOf),
      forgotten: state.forgotten,
    };
    const answer = await this.#afterLast(async () => {
      const delta = await this.#engine.deltaOf(memory, this.#pages);
      this.#row = { ...this.#row, info, record: frameOf(record) };
      const parts = partsOf(record);
      const changes = changesOf(this.#parts, parts);
      this.#parts = parts;
      return this.#commit({ delta, ...answers, ...changes });
    }).catch((error: unknown) => {
      throw failure(sessionId, error);
    });
    if (answer === "refused") throw outdated(sessionId);
  }

  async touch(lastUsedAt: number): Promise<void> {
    await this.#afterLast(async () => {
      const row = this.#row;
      this.#row = { ...row, info: { ...row.info, lastUsedAt } };
      try {
        // In another hand, it is that one's to tell; the next commit finds out.
        await this.#commit({ delta: this.#pages.emptyDelta, ...NOTHING_ELSE });
      } catch (error) {
        this.#row = row;
        // Else it may be there: should it not, the next commit is refused.
        if (error instanceof StoreError && error.kind === "full") this.#version--;
        throw error;
      }
    });
  }

  async delete(): Promise<void> {
    const { sessionId } = this.#row.info;
    await this.#afterLast(() => this.#store.deleteSession(sessionId));
  }

  #afterLast<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work, work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #commit(changes: Changes): Promise<CommitAnswer> {
    this.#version++;
    this.#commits++;
    this.#bytes += changes.delta.length;
    const answer = await this.#store.commit({
      session: storedRow(this.#row, this.#pages.size),
      owner: this.#owner,
      version: this.#version,
      isBusy: this.#row.record.executions.length > 0,
      ...changes,
    });
    // Before the next one is begun: what its version is going to be is not known yet.
    if (answer === "kept") this.#compactIfDue();
    return answer;
  }

  #compactIfDue(): void {
    const { commits, bytes } = COMPACT_AFTER;
    const most = Math.max(bytes, this.#pages.size * COMPACT_AFTER_SIZES);
    if (this.#commits < commits && this.#bytes < most) return;
    this.#compacting ??= this.#compact(this.#row.info).finally(() => {
      this.#compacting = undefined;
    });
  }

  async compacted(): Promise<void> {
    await this.#compacting;
  }

  /** Never rejects: the changes stay as they are, and it is tried again after as many. */
  async #compact(info: SessionInfo): Promise<void> {
    this.#commits = 0;
    this.#bytes = 0;
    const version = this.#version;
    try {
      const image = await this.#sealer.seal(info, this.#pages.image);
      await this.#store.rebase({ sessionId: info.sessionId, owner: this.#owner, version, image });
    } catch {
      // The store is full, or there is no memory for a second image: what is kept stays right.
    }
  }
}

function outcomeOf(answer: Answer): StoredOutcome {
  return { requestId: answer.requestId, outcome: writeText(answer) };
}

/** What waits for a commit that failed is told this. */
function failure(sessionId: string, error: unknown): Error {
  if (!(error instanceof StoreError)) return error instanceof Error ? error : new Error(String(error));
  const ids = { session_id: sessionId };
  if (error.kind === "full") {
    const message =
      "the server has no room to keep what this did, so it is undone; try again when its operator has freed some";
    return new SessionError("STORE_FULL", message, { ids, retryAfter: FULL_RETRY });
  }
  const message =
    "the server could not keep what this did, and does not know whether it is kept; repeat it with the same request_id, or look at the session";
  return new SessionError("STORE_FAILED", message, { ids });
}

function outdated(sessionId: string): SessionError {
  const message = "the session is in another hand, or was deleted; what this did is not kept, try again";
  return new SessionError("STORE_FAILED", message, { ids: { session_id: sessionId } });
}
