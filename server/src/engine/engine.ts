/**
 * The engine: gives turns to workers and brings their effects back.
 *
 * Turns go to the worker that ran their session last if that is free, else to any free one, else they wait; a stuck worker
 * delays nobody but the session that stuck it. A worker whose turn is past its budget and a grace is ended, the pages of
 * its session are put back, and a warm spare takes its place.
 */
import { totalmem } from "node:os";
import { encodeInput } from "./kernel-protocol.js";
import { type PageImageExtent, PageImages } from "./page-image.js";
import {
  addConsole,
  clearConsole,
  type Ending,
  endingOf,
  type Group,
  goLive,
  neverBegan,
  type PendingTurn,
  sourcesOf,
  type Turn,
  type TurnSpec,
  undone,
} from "./pending-turn.js";
import { copyImage, pagesOf, putImageBack, restoreImage, type SessionImage, saveImage } from "./session-image.js";
import { holds, SessionMemories, type SessionMemory } from "./session-memory.js";
import { TurnQueue } from "./turn-queue.js";
import { restoreCheckpoint } from "./worker/checkpoint.js";
import { collectGarbage } from "./worker/collect-garbage.js";
import { clock } from "./worker/control.js";
import { HeapSum } from "./worker/heap-sum.js";
import { runningExecution } from "./worker/layout.js";
import { type ConsoleText, MAXIMUM_BATCH, type SharedEngine, type TurnReply } from "./worker/messages.js";
import { type PostedTurn, type WorkerEvents, WorkerThread } from "./worker-thread.js";

export { PageImageError, type PageImageExtent } from "./page-image.js";
export type { Turn, TurnResult, TurnSpec } from "./pending-turn.js";
export type { SessionImage } from "./session-image.js";
export { HeapsFullError } from "./session-memory.js";
export type { ConsoleText } from "./worker/messages.js";

/** The most turns that `run` takes at once. */
export const MAXIMUM_TURNS = MAXIMUM_BATCH;

export interface EngineOptions {
  /** Worker threads that run turns; one more is kept warm as a spare. */
  readonly workers: number;
  /** The most that the heaps of all sessions may hold together, in bytes; default: half of what the process may use. */
  readonly memoryBytes?: number;
  /** Tests only: each turn of a session goes to another worker than the one before. */
  readonly rotateWorkers?: boolean;
}

/** A session's heap is larger than it is to be at most. */
export class MemoryTooSmallError extends Error {
  override readonly name = "MemoryTooSmallError";

  /** @param heapBytes what it has */
  constructor(readonly heapBytes: number) {
    super(`the heap has ${heapBytes} bytes`);
  }
}

/** Half of the machine, or of what a container allows: checkpoints, images of atomic executions and the server need room too. */
function defaultMemoryBytes(): number {
  const allowed = process.constrainedMemory() ?? 0;
  return Math.min(totalmem(), allowed > 0 ? allowed : Number.POSITIVE_INFINITY) / 2;
}

/** How long past its budget a turn may run before its worker is ended, in milliseconds. */
const GRACE = 100;
const WATCH_EVERY = 20;
/** When another spare is warmed up, in milliseconds: a thread takes some hundred of them on a core. */
const SPARE_AFTER = 30;
/** When what was given up is looked at again, in milliseconds. */
const COLLECT_LATER = 2_000;
/** How long a turn may run before what stands behind it in its batch goes elsewhere, in milliseconds. */
const TAKE_BACK_AFTER = 5;
/**
 * How long a turn runs before its console entries are told as they come, in milliseconds. It then ends its slice, however it
 * ends itself (turn.ts, HOLD_EFFECTS): no turn behind it can make it run again.
 */
const LIVE_AFTER = 10;

export class Engine {
  readonly #options: EngineOptions;
  readonly #shared: SharedEngine;
  readonly #heaps: HeapSum;
  readonly #memories: SessionMemories;
  readonly #pageImages: PageImages;
  readonly #workers: WorkerThread[] = [];
  readonly #events: WorkerEvents = {
    onReplies: (worker, replies) => this.#onReplies(worker, replies),
    onConsole: (turn, entry) => this.#onConsole(turn, entry),
    onRestarted: (turn) => clearConsole(this.#turns.get(turn)),
    onDeath: (worker, error) => this.#onDeath(worker, error),
  };
  readonly #idle = new Set<WorkerThread>();
  /** Turns that are posted, by their number. */
  readonly #turns = new Map<number, PendingTurn>();
  readonly #waiting = new TurnQueue();
  #endOfTick: (() => void)[] = [];
  /** More may come at once, so nothing is posted yet. */
  #isGathering = false;
  /** Undefined for a moment after it took a place. */
  #spare: WorkerThread | undefined;
  #spareTimer: NodeJS.Timeout | undefined;
  #nextTurn = 1;
  #watchdog: NodeJS.Timeout | undefined;
  #collectLater: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(options: EngineOptions, heaps: HeapSum, first: WorkerThread, shared: SharedEngine) {
    this.#options = options;
    this.#shared = shared;
    this.#heaps = heaps;
    this.#memories = new SessionMemories(shared.baseImage, heaps);
    this.#pageImages = new PageImages(shared.baseImage);
    this.#add(first);
    while (this.#workers.length < options.workers) this.#add(this.#start());
    this.#spare = this.#start();
  }

  /** Builds the base image on the first worker, then starts the others from it. */
  static async start(options: EngineOptions): Promise<Engine> {
    const events: WorkerEvents = {
      onReplies: () => undefined,
      onConsole: () => undefined,
      onRestarted: () => undefined,
      onDeath: () => undefined,
    };
    const heaps = new HeapSum();
    heaps.limit = Math.floor((options.memoryBytes ?? defaultMemoryBytes()) / 65536);
    const first = new WorkerThread(events, heaps);
    const shared = await first.ready;
    const engine = new Engine(options, heaps, first, shared);
    Object.assign(events, engine.#events);
    await Promise.all(engine.#threads.map((worker) => worker.ready));
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
    if (!holds(memoryBytes, pages)) throw new MemoryTooSmallError(pages.heapBytes);
    return this.#memories.createFrom(pages, memoryBytes);
  }

  /**
   * Gives a session's heap another bound. No turn of it may be on its way until this resolves.
   *
   * @throws MemoryTooSmallError when that is less than what it has
   */
  async resizeMemory(memory: SessionMemory, memoryBytes: number): Promise<void> {
    const pages = pagesOf(memory, this.#shared.baseImage.layout);
    if (!holds(memoryBytes, pages)) throw new MemoryTooSmallError(pages.heapBytes);
    this.#forget(memory);
    await this.#memories.resize(memory, memoryBytes);
    this.#collectIfDue();
  }

  /** Gives a session's memory back. No turn of it may run or come any more. */
  releaseMemory(memory: SessionMemory): void {
    this.#forget(memory);
    this.#memories.release(memory);
    this.#collectIfDue();
  }

  /** Collects now if much was given up, or a little later if it was less. */
  #collectIfDue(): void {
    this.#collect(false);
    this.#collectLater ??= setTimeout(() => {
      this.#collectLater = undefined;
      this.#collect(true);
    }, COLLECT_LATER).unref();
  }

  #collect(isQuiet: boolean): void {
    if (!this.#memories.isCollectionDue(isQuiet)) return;
    for (const worker of this.#workers) worker.collect();
    collectGarbage();
  }

  /**
   * Runs turns of one session, in order; each is committed or undone by itself. The caller waits for all of them before it
   * comes again with the same memory: turns of a session must not overlap.
   *
   * @param specs at most MAXIMUM_TURNS
   */
  run(memory: SessionMemory, specs: readonly TurnSpec[]): Turn[] {
    const group: Group = { memory, turns: [] };
    const turns = specs.map((spec) => this.#pend(group, spec));
    this.#waiting.push(group);
    if (!this.#isGathering) this.#distribute();
    return turns;
  }

  /** Number of the execution that runs in a session at this moment; 0 for none. */
  runningExecution(memory: SessionMemory): number {
    return runningExecution(memory.memory, this.#shared.baseImage.layout);
  }

  /** Asks the turn that runs in a session at this moment to end. False: none does. */
  stopRunning(memory: SessionMemory): boolean {
    for (const worker of this.#workers) {
      const running = worker.running as PendingTurn | undefined;
      if (running?.memory !== memory) continue;
      this.#stop(running);
      return true;
    }
    return false;
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
    if (restored !== memory.memory) this.#move(memory, restored);
    this.#memories.seed(memory.memory);
  }

  /** Bytes by which a session's memory has to grow to be put back to an image. */
  growthTo(memory: SessionMemory, image: SessionImage): number {
    return this.#memories.growthTo(memory, image) * 65536;
  }

  /** Whether a session can be put back to an image, as large as it may be. */
  fits(memory: SessionMemory, { extent }: SessionImage): boolean {
    return extent.heapEnd <= memory.maximumPages * 65536;
  }

  /** Has the next turn of a session begin by collecting its garbage. No turn of it may be on its way. */
  collectGarbageOf({ memory }: SessionMemory): void {
    new Int32Array(memory.buffer)[this.#shared.baseImage.layout.gcThresholdWord >> 2] = 0;
  }

  /** Sets a session aside to be kept, as `saveImage` does; no turn of it may be on its way until this resolves. */
  copyImage(memory: SessionMemory): Promise<SessionImage> {
    return copyImage(memory, this.#shared.baseImage.layout);
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
    this.#endOfTick.push(callback);
    if (this.#endOfTick.length === 1) setImmediate(() => this.#runEndOfTick());
  }

  /** Calls back after `submit` instead of at the end of the tick: all that is to travel together came with it. */
  together(submit: () => void): void {
    submit();
    this.#runEndOfTick();
  }

  #runEndOfTick(): void {
    const callbacks = this.#endOfTick;
    if (callbacks.length === 0) return;
    this.#endOfTick = [];
    this.#isGathering = true;
    for (const each of callbacks) each();
    this.#isGathering = false;
    this.#distribute();
  }

  /** Ends all workers; turns still running are undone. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#watchdog);
    clearTimeout(this.#collectLater);
    clearTimeout(this.#spareTimer);
    await Promise.all(this.#threads.map((worker) => worker.terminate()));
    const ending = undone("stopped", "the server stopped");
    for (const turn of this.#turns.values()) this.#settle(turn, ending);
    for (const { turns } of this.#waiting.take(Number.POSITIVE_INFINITY)) {
      for (const turn of turns) this.#settle(turn, ending);
    }
  }

  #pend(group: Group, { input, header, budget, consoleBytes, onConsole, done }: TurnSpec): Turn {
    const turn: PendingTurn = {
      memory: group.memory,
      turn: 0,
      input: encodeInput(input, header),
      sources: sourcesOf(input),
      budget,
      consoleBytes,
      console: [],
      isLive: false,
      told: 0,
      onConsole,
      done,
    };
    group.turns.push(turn);
    return { stop: () => this.#stop(turn) };
  }

  get #threads(): WorkerThread[] {
    return this.#spare === undefined ? this.#workers : [...this.#workers, this.#spare];
  }

  /** Warms up another spare. Not at once: who waits for a thread that was ended is to be answered first. */
  #startSpareSoon(): void {
    this.#spareTimer ??= setTimeout(() => {
      this.#spareTimer = undefined;
      this.#spare ??= this.#start();
    }, SPARE_AFTER);
  }

  #start(): WorkerThread {
    return new WorkerThread(this.#events, this.#heaps, this.#shared);
  }

  #add(worker: WorkerThread): void {
    this.#workers.push(worker);
    this.#idle.add(worker);
  }

  /**
   * Gives what waits to the workers that are free, in equal shares: sessions to the worker that ran them last where that can
   * be, else in the order they came. With more workers than groups each gets one.
   */
  #distribute(): void {
    while (this.#idle.size > 0 && this.#waiting.length > 0) {
      const share = Math.ceil(this.#waiting.length / this.#idle.size);
      const worker = this.#nextWorker();
      if (worker === undefined) return;
      const batch =
        this.#options.rotateWorkers === true
          ? this.#waiting.take(1)
          : this.#waiting.take(share, this.#workers.indexOf(worker));
      if (batch.length === 0) return;
      this.#post(worker, batch);
    }
  }

  /** The worker of the session that waits longest if it is free, else any that may run it. */
  #nextWorker(): WorkerThread | undefined {
    const group = this.#waiting.first;
    const last = this.#workers[group?.memory.lastWorker ?? -1];
    const rotates = this.#options.rotateWorkers === true;
    if (last !== undefined && !rotates && this.#idle.has(last)) return last;
    for (const worker of this.#idle) if (!rotates || worker !== last) return worker;
    return undefined;
  }

  #post(worker: WorkerThread, batch: readonly Group[]): void {
    this.#idle.delete(worker);
    if (this.#nextTurn > LAST_TURN) this.#nextTurn = 1;
    const index = this.#workers.indexOf(worker);
    for (const { memory, turns } of batch) {
      memory.lastWorker = index;
      for (const turn of turns) {
        turn.turn = this.#nextTurn++;
        this.#turns.set(turn.turn, turn);
      }
    }
    worker.post(batch);
    this.#watchdog ??= setInterval(() => this.#watch(), WATCH_EVERY);
  }

  #stop(turn: PendingTurn): void {
    // Should it be between a worker that ends and the queue, it is found to be stopped when it gets there.
    turn.stopRequestedAt ??= clock();
    const ofTurn = ({ turns }: { readonly turns: readonly PostedTurn[] }): boolean => turns.includes(turn);
    const worker = this.#workers.find(({ isFree, batch }) => !isFree && batch.some(ofTurn));
    if (worker !== undefined) {
      if (!worker.requestStop(turn)) this.#settle(turn, neverBegan());
      return;
    }
    if (this.#waiting.remove(turn)) this.#settle(turn, neverBegan());
  }

  #onReplies(worker: WorkerThread, replies: readonly TurnReply[]): void {
    if (worker.isFree && this.#workers.includes(worker)) this.#idle.add(worker);
    this.#isGathering = true;
    for (const reply of replies) {
      const turn = this.#turns.get(reply.turn);
      if (turn === undefined) continue;
      const { memory } = turn;
      if (reply.kind === "committed") {
        memory.heapBytes = reply.heapBytes;
        memory.handles = reply.handles;
      } else if (reply.memory !== undefined) this.#move(memory, reply.memory);
      this.#settle(turn, endingOf(reply));
    }
    if (worker.isFree) {
      this.#noteGrowth(worker);
      worker.clearGrowth();
    }
    this.#isGathering = false;
    this.#distribute();
  }

  /** What a worker made grow is looked at when it has ended all that it was given, or its life. */
  #noteGrowth({ batch }: WorkerThread): void {
    for (const { memory } of batch as readonly Group[]) this.#memories.note(memory);
  }

  #move(session: SessionMemory, memory: WebAssembly.Memory): void {
    this.#forget(session);
    this.#memories.move(session, memory);
    // Not now: somebody may still hold the old memory in his hands.
    setImmediate(() => this.#collectIfDue());
  }

  #forget(session: SessionMemory): void {
    for (const worker of this.#workers) worker.forget(session.key);
  }

  #watch(): void {
    const now = clock();
    for (const worker of [...this.#workers]) {
      const turn = worker.overdue(now, GRACE);
      if (turn !== undefined) void this.#kill(worker, turn as PendingTurn);
      else {
        const slow = worker.runningSince(now - LIVE_AFTER);
        if (slow !== undefined) goLive(slow as PendingTurn);
        this.#requeue(worker.takeBack(now, TAKE_BACK_AFTER) as readonly Group[]);
      }
    }
    this.#distribute();
    if (this.#idle.size === this.#workers.length) {
      clearInterval(this.#watchdog);
      this.#watchdog = undefined;
    }
  }

  /** Groups that a worker will not run: they waited longest, so they come first. Who was asked to stop meanwhile ends here. */
  #requeue(groups: readonly Group[]): void {
    const stopped: PendingTurn[] = [];
    const rest = groups.map(({ memory, turns }) => ({
      memory,
      turns: turns.filter((turn) => {
        // One that was stopped and settled already is not found any more.
        if (!this.#turns.delete(turn.turn)) return false;
        if (turn.stopRequestedAt === undefined) return true;
        stopped.push(turn);
        return false;
      }),
    }));
    this.#waiting.putBack(rest.filter(({ turns }) => turns.length > 0));
    for (const turn of stopped) this.#settle(turn, neverBegan());
  }

  async #kill(worker: WorkerThread, culprit: PendingTurn): Promise<void> {
    if (!worker.condemn(culprit)) return;
    const { startedAt } = worker;
    const reason = culprit.stopRequestedAt === undefined ? "budget" : "stopped";
    this.#replace(worker);
    await worker.terminate();
    const cpuTime = clock() - startedAt;
    const execution = this.runningExecution(culprit.memory);
    this.#restore(worker, culprit.memory);
    this.#recover(worker, culprit, {
      ...undone(reason, "its worker was ended"),
      culprit: execution,
      startedAt,
      cpuTime,
    });
  }

  #onDeath(worker: WorkerThread, error: Error): void {
    if (this.#closed) return;
    if (worker === this.#spare) {
      this.#spare = undefined;
      this.#startSpareSoon();
      return;
    }
    const isUnanswered = (turn: PostedTurn): boolean => this.#turns.get(turn.turn) === turn;
    const turns = worker.batch.flatMap((group) => group.turns as PendingTurn[]).filter(isUnanswered);
    // What was committed and not told counts as running: its checkpoint is still there, and nothing of it has left.
    const culprit = worker.running ?? turns.findLast((turn) => worker.hasBegun(turn));
    const memory = (culprit as PendingTurn | undefined)?.memory;
    const execution = memory === undefined ? 0 : this.runningExecution(memory);
    if (memory !== undefined) this.#restore(worker, memory);
    this.#replace(worker);
    this.#recover(worker, culprit as PendingTurn | undefined, {
      ...undone("trap", `its worker died: ${error.message}`),
      culprit: execution,
    });
  }

  /** The spare takes over the place, so that sessions keep their affinity; another spare is warmed up. */
  #replace(worker: WorkerThread): void {
    const index = this.#workers.indexOf(worker);
    if (index < 0) return;
    this.#idle.delete(worker);
    const spare = this.#spare ?? this.#start();
    this.#workers[index] = spare;
    this.#spare = undefined;
    this.#startSpareSoon();
    // One that still warms up makes nobody wait while another is free.
    const join = (): void => {
      if (!this.#workers.includes(spare)) return;
      this.#idle.add(spare);
      this.#distribute();
    };
    spare.ready.then(join, () => undefined);
  }

  /** Puts the pages back that a dead worker left half changed. */
  #restore(worker: WorkerThread, memory: SessionMemory): void {
    const extent = worker.checkpointExtent;
    if (extent === undefined) return;
    const { layout } = this.#shared.baseImage;
    const restored = restoreCheckpoint(memory.memory, worker.checkpoint, extent, layout, memory.maximumPages);
    if (restored !== memory.memory) this.#move(memory, restored);
  }

  /** Ends the turn that a worker's death is to blame on, if there is one, and runs the rest of its batch elsewhere. */
  #recover(worker: WorkerThread, culprit: PendingTurn | undefined, ending: Ending): void {
    this.#noteGrowth(worker);
    const isUnanswered = (turn: PendingTurn): boolean => turn !== culprit && this.#turns.get(turn.turn) === turn;
    const rest = (worker.batch as readonly Group[])
      .map((group) => ({ memory: group.memory, turns: group.turns.filter(isUnanswered) }))
      .filter(({ turns }) => turns.length > 0);
    for (const { turns } of rest) for (const turn of turns) clearConsole(turn);
    this.#requeue(rest);
    if (culprit !== undefined) this.#settle(culprit, ending);
    this.#distribute();
  }

  #onConsole(number: number, entry: ConsoleText): void {
    const turn = this.#turns.get(number);
    if (turn !== undefined) addConsole(turn, entry);
  }

  #settle(turn: PendingTurn, ending: Ending): void {
    this.#turns.delete(turn.turn);
    turn.done({ ...ending, console: turn.console, told: turn.told });
  }
}

/** Turn numbers fit into a signed word, with room for a group. */
const LAST_TURN = 2 ** 31 - 1 - MAXIMUM_BATCH;
