/**
 * The engine: runs turns of sessions on worker threads, and makes, copies, sets aside and puts back the memories that the sessions
 * are.
 */
import { totalmem } from "node:os";
import { MainHeap } from "./main-heap.js";
import { type PageImageExtent, PageImages } from "./page-image.js";
import type { Turn, TurnSpec } from "./pending-turn.js";
import { Scheduler } from "./scheduler.js";
import {
  copyImage,
  grownBytes,
  pagesOf,
  putImageBack,
  restoreImage,
  type SessionImage,
  saveImage,
} from "./session-image.js";
import { holds, SessionMemories, type SessionMemory } from "./session-memory.js";
import { SharedMemories } from "./shared-memories.js";
import type { StoredPages } from "./stored-pages.js";
import { collect, collectBefore } from "./worker/guest-garbage.js";
import { HeapSum } from "./worker/heap-sum.js";
import { runningExecution } from "./worker/layout.js";
import { MAXIMUM_BATCH, type SharedEngine } from "./worker/messages.js";
import { type WorkerEvents, WorkerThread } from "./worker-thread.js";
import { Workers } from "./workers.js";

export { PageImageError, type PageImageExtent } from "./page-image.js";
export type { Turn, TurnResult, TurnSpec } from "./pending-turn.js";
export type { SessionImage } from "./session-image.js";
export { HeapsFullError } from "./session-memory.js";
export { PageDeltaError, StoredPages } from "./stored-pages.js";
export { clock } from "./worker/control.js";
export type { ConsoleText } from "./worker/messages.js";

/** The most turns that `run` takes at once. */
export const MAXIMUM_TURNS = MAXIMUM_BATCH;

export interface EngineOptions {
  /** Worker threads that run turns; one more is kept warm as a spare. */
  readonly workers: number;
  /** The most that the heaps of all sessions may hold together, in bytes; default: half of what the process may use. */
  readonly memoryBytes?: number;
  /** The most that the main thread may keep of all sessions beside their memories, in bytes; default: a sixth of its heap. */
  readonly mainHeapBytes?: number | undefined;
  /** Is told why a thread could not start, once in a while: others run the turns, and it is tried again. */
  readonly onThreadFailed?: (why: Error) => void;
  /** Milliseconds for which workers keep an instance of the engine that nobody needs; default: a minute. */
  readonly unusedAfter?: number;
  /** Tests only: heap in use, in bytes, above which a session's stores may be tracked; 0: always. */
  readonly trackAbove?: number;
  /** Tests only: each turn of a session goes to another worker than the one before. */
  readonly rotateWorkers?: boolean;
}

/** A session's heap is larger than it is to be at most. */
export class MemoryTooSmallError extends Error {
  override readonly name = "MemoryTooSmallError";

  /** @param heapBytes what it has grown to */
  constructor(readonly heapBytes: number) {
    super(`the heap has grown to ${heapBytes} bytes`);
  }
}

/** Half of the machine, or of what a container allows: checkpoints, images of atomic executions and the server need room too. */
function defaultMemoryBytes(): number {
  const allowed = process.constrainedMemory() ?? 0;
  return Math.min(totalmem(), allowed > 0 ? allowed : Number.POSITIVE_INFINITY) / 2;
}

export class Engine {
  /** What the main thread keeps of sessions beside their memories. */
  readonly mainHeap: MainHeap;
  readonly #shared: SharedEngine;
  readonly #memories: SessionMemories;
  readonly #sharedMemories: SharedMemories;
  readonly #pageImages: PageImages;
  readonly #workers: Workers;
  readonly #scheduler: Scheduler;
  readonly #events: WorkerEvents = {
    onReplies: (worker, replies) => this.#scheduler.onReplies(worker, replies),
    onLeft: (worker, group) => this.#scheduler.onLeft(worker, group),
    onConsole: (turn, entry) => this.#scheduler.onConsole(turn, entry),
    onRestarted: (turn) => this.#scheduler.onRestarted(turn),
    onDeath: (worker, error) => this.#scheduler.onDeath(worker, error),
  };

  private constructor(options: EngineOptions, heaps: HeapSum, first: WorkerThread, shared: SharedEngine) {
    this.mainHeap = new MainHeap(options.mainHeapBytes);
    this.#shared = shared;
    const { baseImage } = shared;
    this.#workers = new Workers(
      options.workers,
      first,
      () => new WorkerThread(this.#events, heaps, { engine: shared, trackAbove: options.trackAbove }),
      options.onThreadFailed,
    );
    this.#memories = new SessionMemories(baseImage, heaps);
    this.#sharedMemories = new SharedMemories(this.#memories, this.#workers, options.unusedAfter);
    const rotates = options.rotateWorkers === true;
    this.#scheduler = new Scheduler(this.#workers, this.#sharedMemories, baseImage.layout, rotates);
    this.#pageImages = new PageImages(baseImage);
  }

  /** Loads the engine on the first worker, then starts the others with it, which nobody has to wait for. */
  static async start(options: EngineOptions): Promise<Engine> {
    const events: WorkerEvents = {
      onReplies: () => undefined,
      onLeft: () => undefined,
      onConsole: () => undefined,
      onRestarted: () => undefined,
      onDeath: () => undefined,
    };
    const heaps = new HeapSum();
    heaps.limit = Math.floor((options.memoryBytes ?? defaultMemoryBytes()) / 65536);
    const first = new WorkerThread(events, heaps, { trackAbove: options.trackAbove });
    const shared = await first.ready;
    const engine = new Engine(options, heaps, first, shared);
    Object.assign(events, engine.#events);
    return engine;
  }

  /** Names the engine build, by all that decides what the pages of a session mean. */
  get digest(): string {
    return this.#shared.digest;
  }

  /** Bytes every session starts with. */
  get baseImageBytes(): number {
    return this.#shared.baseImage.size;
  }

  /** True when there would be room for so many sessions with heaps of so many bytes if there were no others. */
  couldHold(sessions: number, heapBytes: number): boolean {
    return this.#memories.couldHold(sessions, heapBytes);
  }

  /** True when all sessions together leave room for so many more with heaps of so many bytes; 0 for fresh ones. */
  hasRoomFor(sessions: number, heapBytes = 0): boolean {
    return this.#memories.hasRoomFor(sessions, heapBytes);
  }

  /** @param memoryBytes the most the session's heap may grow to */
  createMemory(memoryBytes: number): SessionMemory {
    return this.#memories.create(memoryBytes);
  }

  /**
   * A further session as an image has it, or as another session is, of which no turn may be on its way until this resolves. It has
   * randomness of its own.
   *
   * @param memoryBytes the most its heap may grow to
   * @throws MemoryTooSmallError when that is less than what it has
   * @throws HeapsFullError
   */
  async createMemoryFrom(source: SessionImage | SessionMemory, memoryBytes: number): Promise<SessionMemory> {
    const pages = pagesOf(source, this.#shared.baseImage.layout);
    if (!holds(memoryBytes, pages)) throw new MemoryTooSmallError(grownBytes(source));
    return this.#memories.createFrom(pages, memoryBytes);
  }

  /**
   * Gives a session's heap another bound. No turn of it may be on its way until this resolves.
   *
   * @throws MemoryTooSmallError when that is less than what it has
   */
  async resizeMemory(memory: SessionMemory, memoryBytes: number): Promise<void> {
    const pages = pagesOf(memory, this.#shared.baseImage.layout);
    if (!holds(memoryBytes, pages)) throw new MemoryTooSmallError(grownBytes(memory));
    await this.#sharedMemories.resize(memory, memoryBytes);
  }

  /** Instances of the engine that workers hold: a session that was used lately has one on each that ran it. */
  get instances(): number {
    return this.#workers.all.reduce((sum, { instances }) => sum + instances, 0);
  }

  /** Gives a session's memory back. No turn of it may run or come any more. */
  releaseMemory(memory: SessionMemory): void {
    this.#sharedMemories.release(memory);
  }

  /**
   * Runs turns of one session, in order; each is committed or undone by itself. The caller waits for all of them before it
   * comes again with the same memory: turns of a session must not overlap.
   *
   * @param specs at most MAXIMUM_TURNS
   */
  run(memory: SessionMemory, specs: readonly TurnSpec[]): Turn[] {
    return this.#scheduler.run(memory, specs);
  }

  /** Number of the execution that runs in a session at this moment; 0 for none. */
  runningExecution(memory: SessionMemory): number {
    return runningExecution(memory.memory, this.#shared.baseImage.layout);
  }

  /** Asks the turn that runs in a session at this moment to end. False: none does. */
  stopRunning(memory: SessionMemory): boolean {
    return this.#scheduler.stopRunning(memory);
  }

  /** Sets a session aside as it is now, to be put back later. No turn of it may be on its way. */
  saveImage(memory: SessionMemory): SessionImage {
    return saveImage(memory, this.#shared.baseImage.layout);
  }

  /** Puts a session back to where an image was made of it. No turn of it may be on its way. */
  restoreImage(memory: SessionMemory, image: SessionImage): void {
    this.#moved(memory, restoreImage(memory, image, this.#shared.baseImage.layout));
  }

  /**
   * As `restoreImage`, for an image that may be large, and of which `fits` is true. No turn of it may be on its way until this
   * resolves.
   *
   * @throws HeapsFullError when it is larger than the session and there is no room for that; nothing is changed then
   */
  async putImageBack(memory: SessionMemory, image: SessionImage): Promise<void> {
    this.#memories.reserveFor(memory, image);
    this.#moved(memory, await putImageBack(memory, image, this.#shared.baseImage.layout));
  }

  #moved(memory: SessionMemory, restored: WebAssembly.Memory): void {
    if (restored !== memory.memory) this.#sharedMemories.move(memory, restored);
    this.#memories.seed(memory.memory);
  }

  /** Bytes by which a session's memory has to grow to be put back to an image. */
  growthTo(memory: SessionMemory, image: SessionImage): number {
    return this.#memories.growthTo(memory, image) * 65536;
  }

  /** What a heap has grown to, in bytes. */
  grownBytes(source: SessionImage | SessionMemory): number {
    return grownBytes(source);
  }

  /** Whether a session can be put back to an image, as large as it may be. */
  fits(memory: SessionMemory, { extent }: SessionImage): boolean {
    return extent.memoryBytes <= memory.maximumPages * 65536;
  }

  /** Has the next turn of a session begin by collecting its garbage. No turn of it may be on its way. */
  collectGarbageOf({ memory }: SessionMemory): void {
    collect(new Int32Array(memory.buffer), this.#shared.baseImage.layout);
  }

  /** As `collectGarbageOf`, also where that turn allocates nothing, as one of the kernel's own may. */
  collectGarbageBeforeTurnOf({ memory }: SessionMemory): void {
    const words = new Int32Array(memory.buffer);
    const { layout } = this.#shared.baseImage;
    collect(words, layout);
    collectBefore(words, layout);
  }

  /** Sets a session aside to be kept, as `saveImage` does; no turn of it may be on its way until this resolves. */
  copyImage(memory: SessionMemory): Promise<SessionImage> {
    return copyImage(memory, this.#shared.baseImage.layout);
  }

  /**
   * How a session differs from what is stored of it, which is from then on taken to be as the session is. No turn of it may be on its
   * way until this resolves.
   */
  deltaOf(memory: SessionMemory, stored: StoredPages): Promise<Uint8Array> {
    return stored.deltaTo(pagesOf(memory, this.#shared.baseImage.layout));
  }

  /** Gives a session other entropy: what it draws next cannot be told from an image of it. No turn of it may be on its way. */
  reseed(memory: SessionMemory): void {
    // A checkpoint that a worker took after its last turn has the entropy of before.
    memory.posted++;
    this.#memories.seed(memory.memory);
  }

  /** An image as bytes, which `decodeImage` of the same build reads together with its extent. */
  async encodeImage(image: SessionImage): Promise<{ extent: PageImageExtent; pages: Uint8Array }> {
    const { extent, heapBytes, handles } = image;
    return { extent: { ...extent, heapBytes, handles }, pages: await this.#pageImages.encode(image) };
  }

  /** @throws PageImageError */
  decodeImage(pages: Uint8Array, extent: PageImageExtent): Promise<SessionImage> {
    return this.#pageImages.decode(pages, extent);
  }

  /** Calls back when all that came in this tick was read, so that what it wants to run can travel together. */
  atEndOfTick(callback: () => void): void {
    this.#scheduler.atEndOfTick(callback);
  }

  /** Calls back after `submit` instead of at the end of the tick: all that is to travel together came with it. */
  together(submit: () => void): void {
    this.#scheduler.together(submit);
  }

  /** Ends all workers; turns still running are undone. */
  async close(): Promise<void> {
    this.#sharedMemories.close();
    await this.#scheduler.close();
  }
}
