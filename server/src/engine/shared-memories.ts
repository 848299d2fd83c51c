/**
 * The memories of sessions in the hands of several threads: when one is given up, the workers forget what they hold of it, and all
 * threads collect garbage once enough was given up.
 */
import type { GivenUp, SessionMemories, SessionMemory } from "./session-memory.js";
import { collectGarbage } from "./worker/collect-garbage.js";
import { clock } from "./worker/control.js";
import type { PostedGroup } from "./worker-thread.js";
import type { Workers } from "./workers.js";

/** An instance that was not needed for so long is let go, in milliseconds: another takes a fraction of one to make. */
const UNUSED_AFTER = 60_000;
/** What is worth a collection: each memory reserves 10 GiB of address space, and what grew may be large. */
const MUCH: GivenUp = { count: 200, bytes: 256 << 20 };
/** What is worth one where much of the time of late went into another. */
const VERY_MUCH: GivenUp = { count: 600, bytes: 1024 << 20 };
/** What is not worth the pause when it is given up, and too much to be kept for good. */
const SOME: GivenUp = { count: 20, bytes: 16 << 20 };
/** So many times as long as a collection took, others have the thread before there is another for less than very much. */
const REST = 10;
/** When what was given up is looked at again, in milliseconds. */
const COLLECT_LATER = 2_000;

export class SharedMemories {
  readonly #memories: SessionMemories;
  readonly #workers: Workers;
  #collectLater: NodeJS.Timeout | undefined;
  /** Till when there is a collection for very much alone, by the clock. */
  #restUntil = 0;
  readonly #forgetUnused: NodeJS.Timeout;

  /** @param unusedAfter milliseconds for which workers keep an instance that nobody needs */
  constructor(memories: SessionMemories, workers: Workers, unusedAfter = UNUSED_AFTER) {
    this.#memories = memories;
    this.#workers = workers;
    memories.onGivenUp = (key) => this.#forget(key);
    // Of those that have much to collect one at a time, so that the others answer meanwhile.
    const forgetUnused = (): boolean => workers.all.some((worker) => worker.forgetUnused(clock() - unusedAfter));
    this.#forgetUnused = setInterval(forgetUnused, unusedAfter / 4).unref();
  }

  /** As `SessionMemories.resize`. */
  async resize(session: SessionMemory, memoryBytes: number): Promise<void> {
    await this.#memories.resize(session, memoryBytes);
    this.#collectIfDue();
  }

  /** As `SessionMemories.release`. */
  release(session: SessionMemory): void {
    this.#memories.release(session);
    this.#collectIfDue();
  }

  /** As `SessionMemories.move`. */
  move(session: SessionMemory, memory: WebAssembly.Memory): void {
    this.#memories.move(session, memory);
    // Not now: somebody may still hold the old memory in his hands.
    setImmediate(() => this.#collectIfDue());
  }

  /** What a worker made grow is looked at when it has ended all that it was given, or its life. */
  note(batch: readonly PostedGroup[]): void {
    for (const { memory } of batch) this.#memories.note(memory);
  }

  /** Nothing is forgotten or collected later. */
  close(): void {
    clearTimeout(this.#collectLater);
    clearInterval(this.#forgetUnused);
  }

  #forget(key: number): void {
    for (const worker of this.#workers.all) worker.forget(key);
  }

  /** Collects now if much was given up, or a little later if it was less. */
  #collectIfDue(): void {
    this.#collect(clock() < this.#restUntil ? VERY_MUCH : MUCH);
    this.#collectLater ??= setTimeout(() => {
      this.#collectLater = undefined;
      const isQuiet = this.#memories.giveUpUnused(COLLECT_LATER);
      this.#collect(SOME);
      if (!isQuiet) this.#collectIfDue();
    }, COLLECT_LATER).unref();
  }

  #collect(after: GivenUp): void {
    if (!this.#memories.hasGivenUp(after)) return;
    for (const worker of this.#workers.all) worker.collect();
    const start = clock();
    collectGarbage();
    const end = clock();
    this.#restUntil = end + REST * (end - start);
  }
}
