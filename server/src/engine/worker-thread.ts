/** One worker thread as the main thread sees it: posts batches of turns, knows what the worker holds, ends it when it is stuck. */
import { Worker } from "node:worker_threads";
import { HeldInstances } from "./held-instances.js";
import type { SessionMemory } from "./session-memory.js";
import { BytesRoom, taken } from "./worker/bytes-room.js";
import { type CheckpointExtent, createCheckpointBuffer } from "./worker/checkpoint.js";
import { Control, clock } from "./worker/control.js";
import type { HeapSum } from "./worker/heap-sum.js";
import { Mailbox } from "./worker/mailbox.js";
import type {
  BatchRequest,
  CollectRequest,
  ConsoleText,
  GroupRequest,
  SharedEngine,
  TurnReply,
  TurnRequest,
  WorkerMessage,
  WorkerSetup,
} from "./worker/messages.js";
import { MAXIMUM_PAGES } from "./worker/wasm-module.js";

/** Always the built file, worker/main.ts as build-worker.mjs bundles it: Node runs no TypeScript in a worker. */
const ENTRY = new URL("../../dist/engine/worker/bundle.js", import.meta.url);
/** What recursion takes whose end the guest's own stack is, with a margin: up to 18 before V8 has optimized the engine, below 10 after. */
const STACK_MEBIBYTES = 32;
/** What a turn allocates is short-lived: with the three times of the default each thread holds some 15 MiB more. */
const YOUNG_MEBIBYTES = 8;
/** Below that a checkpoint is copied in a fraction of what a call takes otherwise. */
const TRACK_ABOVE = 2 << 20;
/**
 * How long garbage may be collected before a turn, in milliseconds: five to twenty times what it takes; and once that was asked to stop. What
 * is freed may be made to take any time.
 */
const COLLECTION = { least: 500, ofMebibyte: 20 };
/** How long a worker may take over its preparations before it counts as stuck, in milliseconds. */
const PREPARATION = 10_000;

/** Turns of one session that are run together. */
export interface PostedGroup {
  readonly memory: SessionMemory;
  readonly turns: readonly PostedTurn[];
}

export interface PostedTurn extends Omit<TurnRequest, "turn"> {
  /** Given when it is posted. */
  turn: number;
  /** `clock()` when the turn was asked to stop. */
  stopRequestedAt?: number;
}

export interface WorkerEvents {
  /** Some turns of the posted batch ended. */
  onReplies: (worker: WorkerThread, replies: readonly TurnReply[]) => void;
  /** These turns of a group of the posted batch were not run: others are to be before them. */
  onLeft: (worker: WorkerThread, group: PostedGroup) => void;
  /** Guest code wrote to its console. */
  onConsole: (turn: number, entry: ConsoleText) => void;
  /** A turn is run again, as if it had not run before. */
  onRestarted: (turn: number) => void;
  /** The thread ended, and `terminate` was not called. Its memory may be touched. */
  onDeath: (worker: WorkerThread, error: Error) => void;
}

/** @throws Error where the system gives no thread */
function startThread(workerData: WorkerSetup): Worker {
  return new Worker(ENTRY, {
    workerData,
    resourceLimits: { stackSizeMb: STACK_MEBIBYTES, maxYoungGenerationSizeMb: YOUNG_MEBIBYTES },
    // Nothing of the environment or of the command line belongs into a thread that runs guest code.
    env: {},
    argv: [],
    execArgv: [],
  });
}

export class WorkerThread {
  readonly #worker: Worker;
  readonly #control = new Control();
  readonly #mailbox = new Mailbox();
  /** Of what the batch brings to the worker, which has taken all when it has answered. */
  readonly #room = new BytesRoom();
  readonly checkpoint = createCheckpointBuffer(MAXIMUM_PAGES * 65536);
  readonly #heaps: HeapSum;
  readonly #slot: number;
  readonly #held = new HeldInstances();
  #batch: readonly PostedGroup[] = [];
  #turns: readonly PostedTurn[] = [];
  #unanswered = 0;
  #isEnding = false;
  #startFailure: Error | undefined;
  #postedAt = 0;
  /** Resolves with the engine: its own when it had to build one. Rejects when the thread dies before. */
  readonly ready: Promise<SharedEngine>;

  /**
   * @param heaps counts what it makes memories grow
   * @param options.engine absent for the first worker
   */
  constructor(
    events: WorkerEvents,
    heaps: HeapSum,
    { engine, trackAbove = TRACK_ABOVE }: { readonly engine?: SharedEngine; readonly trackAbove?: number | undefined },
  ) {
    this.#heaps = heaps;
    this.#slot = heaps.takeSlot();
    const setup: WorkerSetup = {
      heaps: { sum: heaps.buffer, slot: this.#slot },
      control: this.#control.buffer,
      mailbox: this.#mailbox.buffer,
      checkpoint: this.checkpoint,
      trackAbove,
      ...(engine === undefined ? {} : { engine }),
    };
    try {
      this.#worker = startThread(setup);
    } catch (error) {
      heaps.freeSlot(this.#slot);
      throw error;
    }
    this.ready = this.#listen(events, engine);
    // Whoever does not wait for it learns of a death by `onDeath`.
    this.ready.catch(() => undefined);
  }

  #listen(events: WorkerEvents, engine: SharedEngine | undefined): Promise<SharedEngine> {
    let built = engine;
    let isReady = false;
    return new Promise((resolve, reject) => {
      const answered = (replies: readonly TurnReply[]): void => {
        this.#unanswered -= replies.length;
        events.onReplies(this, replies);
      };
      this.#worker.on("message", (message: WorkerMessage) => {
        if (typeof message === "string") return answered(this.#mailbox.readReplies(message));
        switch (message.type) {
          case "replies":
            answered(message.replies.map(withOwnBytes));
            break;
          case "console":
            events.onConsole(message.turn, message.entry);
            break;
          case "restarted":
            events.onRestarted(message.turn);
            break;
          case "left": {
            const left = this.#takeLeft(message.turn);
            if (left !== undefined) events.onLeft(this, left);
            break;
          }
          case "engine":
            built = message.engine;
            break;
          default:
            // Until then it keeps the process alive: who waits for it is to hear why it never comes.
            this.#worker.unref();
            isReady = true;
            if (built !== undefined) resolve(built);
        }
      });
      let cause: Error | undefined;
      this.#worker.on("error", (error) => {
        cause = error;
      });
      // Not at the error: what the thread posted before it is heard by now.
      this.#worker.once("exit", (code) => {
        this.#heaps.freeSlot(this.#slot);
        if (!isReady) this.#startFailure = cause;
        const death = cause ?? new Error(`it ended with exit code ${code}`);
        reject(death);
        if (!this.#isEnding) events.onDeath(this, death);
      });
    });
  }

  /** Why it ended before it was ready; undefined where it was, or was told to. */
  get startFailure(): Error | undefined {
    return this.#startFailure;
  }

  /** What it made memories grow was looked at; it is free, or has ended. */
  clearGrowth(): void {
    this.#heaps.clearSlot(this.#slot);
  }

  /** True when it has answered all that was posted. */
  get isFree(): boolean {
    return this.#unanswered === 0;
  }

  /** What was posted last and not taken back. */
  get batch(): readonly PostedGroup[] {
    return this.#batch;
  }

  /** The worker must be free; the turns have numbers that follow each other. */
  post(batch: readonly PostedGroup[]): void {
    const turns = batch.flatMap((group) => group.turns);
    const first = turns[0]?.turn;
    if (first === undefined) return;
    this.#batch = batch;
    this.#turns = turns;
    this.#unanswered = turns.length;
    this.#postedAt = clock();
    this.#room.clear();
    const groups = batch.map((group) => this.#requestOf(group));
    const request: BatchRequest = { drop: this.#held.takeDropped(), groups };
    this.#control.begin(first);
    this.#mailbox.beginBatch();
    this.#worker.postMessage(this.#mailbox.writeRequest(request) ?? request);
  }

  #requestOf({ memory, turns }: PostedGroup): GroupRequest {
    const isHeld = this.#held.use(memory.key, this.#postedAt);
    return {
      memoryKey: memory.key,
      sequence: ++memory.posted,
      maximumPages: memory.maximumPages,
      turns: turns.map(({ turn, input, sources, budget, consoleBytes }) => ({
        turn,
        input:
          input.bytes.length === 0 ? input : { ...input, bytes: input.bytes.map((bytes) => this.#room.put(bytes)) },
        sources,
        budget,
        consoleBytes,
      })),
      ...(isHeld ? {} : { memory: memory.memory }),
    };
  }

  /** Takes the groups back that the worker has not begun, when its running turn has lasted so many milliseconds. */
  takeBack(now: number, milliseconds: number): readonly PostedGroup[] {
    if (this.isFree || this.#batch.length < 2 || this.#control.turn === undefined) return [];
    if (now < this.#control.startedAt + milliseconds) return [];
    const place = this.#control.takeBack();
    if (place === undefined) return [];
    const taken = this.#batch.slice(place);
    this.#batch = this.#batch.slice(0, place);
    this.#unanswered -= taken.reduce((sum, { turns }) => sum + turns.length, 0);
    // The worker never looked at them, so it may not hold what came with them.
    for (const { memory } of taken) this.forget(memory.key);
    return taken;
  }

  /** Takes this turn out of the batch, and those behind it in its group. */
  #takeLeft(number: number): PostedGroup | undefined {
    const place = this.#batch.findIndex(({ turns }) => turns.some(({ turn }) => turn === number));
    const group = this.#batch[place];
    if (group === undefined) return undefined;
    const { memory, turns } = group;
    const first = turns.findIndex(({ turn }) => turn === number);
    const left = turns.slice(first);
    this.#batch = this.#batch.with(place, { memory, turns: turns.slice(0, first) });
    this.#unanswered -= left.length;
    return { memory, turns: left };
  }

  /** The worker lets go of its instance with the next batch. */
  forget(key: number): void {
    this.#held.forget(key);
  }

  /** How many instances the worker holds. */
  get instances(): number {
    return this.#held.count;
  }

  /**
   * Lets the worker go of instances that were last needed before then, with its next batch, or at once where that is worth it.
   *
   * @returns whether it collects garbage now, which may take it a tenth of a second where it holds thousands
   */
  forgetUnused(before: number): boolean {
    // What it runs may have been posted before then.
    if (!this.isFree || !this.#held.forgetUnused(before)) return false;
    this.collect();
    return true;
  }

  /** Lets go of what was forgotten, and collects garbage, when it comes to it. */
  collect(): void {
    const request: CollectRequest = { drop: this.#held.takeDropped() };
    this.#worker.postMessage(request);
  }

  /** Asks a turn of the posted batch to end at its next poll. False: it had not begun, and now never will. */
  requestStop(turn: PostedTurn): boolean {
    const first = this.#turns[0]?.turn;
    if (first === undefined) return true;
    turn.stopRequestedAt ??= clock();
    this.#control.requestStop(turn.turn - first);
    return this.#control.hasBegun(turn.turn);
  }

  /** The turn that should have ended `grace` milliseconds ago, or was asked to; it may end while one looks. */
  overdue(now: number, grace: number): PostedTurn | undefined {
    if (this.isFree) return undefined;
    if (this.#control.isCollecting) return this.#overlongCollection(now);
    const number = this.#control.turn;
    const turns = this.#turns;
    if (number === undefined) return now > this.#postedAt + PREPARATION ? turns[0] : undefined;
    const turn = turns.find((candidate) => candidate.turn === number);
    if (turn === undefined) return undefined;
    const { startedAt } = this.#control;
    const asked = turn.stopRequestedAt === undefined ? Number.POSITIVE_INFINITY : turn.stopRequestedAt;
    return now > Math.min(startedAt + turn.budget, Math.max(startedAt, asked)) + grace ? turn : undefined;
  }

  /** The turn before which garbage is collected for longer than a heap of its size takes. */
  #overlongCollection(now: number): PostedTurn | undefined {
    // Undefined while the checkpoint is taken after it.
    const { running } = this;
    if (running === undefined) return undefined;
    const heapBytes = this.#batch.find(({ turns }) => turns.includes(running))?.memory.heapBytes ?? 0;
    const most = this.#control.startedAt + COLLECTION.least + (heapBytes / 2 ** 20) * COLLECTION.ofMebibyte;
    const asked = (running.stopRequestedAt ?? Number.POSITIVE_INFINITY) + COLLECTION.least;
    return now > Math.min(most, asked) ? running : undefined;
  }

  /** True while garbage is collected before a turn: nothing of that has run. */
  get isCollecting(): boolean {
    return this.#control.isCollecting;
  }

  /** The turn that runs; undefined between turns and while the worker still prepares. */
  get running(): PostedTurn | undefined {
    const number = this.#control.turn;
    return this.isFree ? undefined : this.#turns.find(({ turn }) => turn === number);
  }

  /** True once guest code of this turn of the posted batch may have run. */
  hasBegun({ turn }: PostedTurn): boolean {
    return this.#control.hasBegun(turn);
  }

  /** The turn that has been running since then or longer. */
  runningSince(time: number): PostedTurn | undefined {
    // In this order: should another turn begin meanwhile, its start is later.
    const { running } = this;
    return running !== undefined && this.#control.startedAt <= time ? running : undefined;
  }

  /** `clock()` when the running turn began. */
  get startedAt(): number {
    return this.#control.startedAt;
  }

  /** Takes a turn away from the worker, which then never answers again. False: it ended that turn by itself. */
  condemn(turn: PostedTurn): boolean {
    return this.#control.condemn(turn.turn);
  }

  /** It has ended, and others have what it was given: should it keep its place for a while, nothing more is to come of that. */
  forgetBatch(): void {
    this.#batch = [];
    this.#turns = [];
    this.#unanswered = 0;
  }

  /** The pages of the turn that ran last as they were before it; undefined when none had begun. */
  get checkpointExtent(): CheckpointExtent | undefined {
    return this.#control.checkpoint;
  }

  /** Ends the thread. What it posted before was heard, and its memory may be touched, once the promise resolves. */
  async terminate(): Promise<void> {
    this.#isEnding = true;
    await this.#worker.terminate();
  }
}

/** The worker uses the room in which its bytes lie again as soon as it has another batch. */
function withOwnBytes(reply: TurnReply): TurnReply {
  if (reply.kind !== "committed" || reply.effects.bytes.length === 0) return reply;
  return { ...reply, effects: { ...reply.effects, bytes: reply.effects.bytes.map(taken) } };
}
