/** A session as it is between two turns: set aside, copied, and put back to where it was. */
import { setImmediate as nextTick } from "node:timers/promises";
import { type Engine, HeapsFullError, MemoryTooSmallError, type SessionImage } from "../engine/engine.js";
import type { SessionMemory } from "../engine/session-memory.js";
import type { Asks } from "./asks.js";
import { invalid, SessionError } from "./errors.js";
import type { Executions } from "./executions.js";
import { takeRoomFor } from "./heap-room.js";
import type { SessionLife } from "./session-life.js";
import type { SavedSession } from "./session-record.js";

/** Copies that are made before others have their turn on this thread. */
const COPIES_AT_ONCE = 4;
/** Somebody may have given memory back by then. */
const MEMORY_RETRY = 1_000;

export class SessionCopies {
  readonly #engine: Engine;
  readonly #memory: SessionMemory;
  readonly #executions: Executions;
  readonly #asks: Asks;
  readonly #life: SessionLife;

  constructor(engine: Engine, memory: SessionMemory, executions: Executions, life: SessionLife) {
    this.#engine = engine;
    this.#memory = memory;
    this.#executions = executions;
    this.#asks = executions.asks;
    this.#life = life;
  }

  /** As `Session.save`. */
  save(ready: () => Promise<void>): Promise<SavedSession> {
    return this.#asks.pause(async () => {
      await ready();
      return this.saveAtRest();
    });
  }

  /** Has the session notice what it holds no more. @throws SessionError when it ends before */
  collectGarbage(): Promise<void> {
    return this.#asks.pause(async () => {
      await this.#collect();
      // What was held by what referred to itself is noticed by the next collection.
      if (this.#life.ended === undefined) await this.#collect();
    });
  }

  #collect(): Promise<void> {
    this.#engine.collectGarbageBeforeTurnOf(this.#memory);
    return this.#asks.runAtRest({ kind: "look" });
  }

  /** As `save`, within a pause. */
  async saveAtRest(): Promise<SavedSession> {
    await this.#collect();
    const record = this.#executions.record;
    const image = await this.#engine.copyImage(this.#memory);
    // Whoever gets to read the image is not to know what the session draws from now on.
    this.#engine.reseed(this.#memory);
    return { image, record };
  }

  /**
   * Memories as the session's is, each to be given back by whoever gets it. Nothing of the session may run until this resolves.
   *
   * @param memoryBytes the most that their heaps may grow to
   * @throws SessionError when the session ends before, QUOTA_EXCEEDED; there are none then
   */
  async memories(count: number, memoryBytes: number): Promise<readonly SessionMemory[]> {
    const memories: SessionMemory[] = [];
    try {
      for (let i = 0; i < count; i++) {
        if (i > 0 && i % COPIES_AT_ONCE === 0) await nextTick();
        memories.push(await withRoom(() => this.#engine.createMemoryFrom(this.#memory, memoryBytes)));
        if (this.#life.ended !== undefined) throw this.#life.ended;
      }
    } catch (error) {
      for (const memory of memories) this.#engine.releaseMemory(memory);
      throw error;
    }
    return memories;
  }

  /** As `Session.rollBack`. */
  async rollBack({ image, record }: SavedSession, done: () => void): Promise<void> {
    if (this.#life.ended !== undefined) throw this.#life.ended;
    this.#checkFits(image);
    const leave = takeRoomFor(this.#engine.mainHeap, record, 1, this.#executions.record);
    try {
      const ending = this.#executions.stopAll();
      await this.#asks.pauseNext(async () => {
        this.#executions.endAll(ending);
        // It may have got another bound meanwhile.
        this.#checkFits(image);
        await withRoom(() => this.#engine.putImageBack(this.#memory, image));
        this.#executions.changed();
        this.#executions.goBack(record);
        await this.#asks.endRest(record);
        done();
      });
    } finally {
      leave();
    }
  }

  /** As `Session.growthTo`. */
  growthTo({ image }: SavedSession): number {
    return this.#engine.growthTo(this.#memory, image);
  }

  #checkFits(image: SessionImage): void {
    if (!this.#engine.fits(this.#memory, image)) throw tooSmall(this.#engine.grownBytes(image));
  }
}

/**
 * Does what needs room for a heap.
 *
 * @throws SessionError INVALID_REQUEST where the limits leave none, QUOTA_EXCEEDED where the other sessions do not
 */
export async function withRoom<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof HeapsFullError) {
      const message = `${error.message}; delete some sessions, or start the server with a larger --max-memory`;
      throw new SessionError("QUOTA_EXCEEDED", message, { retryAfter: MEMORY_RETRY });
    }
    if (!(error instanceof MemoryTooSmallError)) throw error;
    throw tooSmall(error.heapBytes);
  }
}

function tooSmall(heapBytes: number): SessionError {
  return invalid(
    "limits.memory_bytes",
    `is too small for a heap that has grown to ${heapBytes} bytes; give the session more`,
  );
}
