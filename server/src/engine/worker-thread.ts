/** One worker thread as the main thread sees it: posts turns, knows what the worker holds, ends it when it is stuck. */
import { Worker } from "node:worker_threads";
import type { SessionMemory } from "./session-memory.js";
import { type CheckpointExtent, createCheckpointBuffer } from "./worker/checkpoint.js";
import { Control, clock } from "./worker/control.js";
import type { SharedEngine, Source, TurnReply, WorkerMessage, WorkerSetup } from "./worker/messages.js";
import { MAXIMUM_PAGES } from "./worker/wasm-module.js";

/** Always the built file: Node runs no TypeScript in a worker. */
const ENTRY = new URL("../../dist/engine/worker/main.js", import.meta.url);
const STACK_MEBIBYTES = 16;
const INSTANCES_KEPT = 512;
/** How long a worker may take over its preparations before it counts as stuck, in milliseconds. */
const PREPARATION = 10_000;

export interface PostedTurn {
  readonly turn: number;
  readonly memory: SessionMemory;
  readonly input: string;
  readonly sources: readonly Source[];
  /** Milliseconds the turn may hold the worker. */
  readonly budget: number;
  /** UTF-8 bytes of console entries that may leave. */
  readonly consoleBytes: number;
  /** `clock()` when the turn was asked to stop. */
  stopRequestedAt?: number;
}

export interface WorkerEvents {
  /** The worker is free again; of a worker that died the reply is missing and the memory must be restored. */
  onReply: (worker: WorkerThread, reply: TurnReply) => void;
  /** Guest code wrote to its console; after the `last` entry of a turn no more come. */
  onConsole: (turn: number, entry: string, last: boolean) => void;
  /** The thread ended on its own, with or without a turn. */
  onDeath: (worker: WorkerThread, error: Error) => void;
}

export class WorkerThread {
  readonly #worker: Worker;
  readonly #control = new Control();
  readonly checkpoint = createCheckpointBuffer(MAXIMUM_PAGES * 65536);
  /** Keys of the instances this worker holds, least recently used first. */
  readonly #held = new Map<number, true>();
  #drop: number[] = [];
  #running: PostedTurn | undefined;
  #postedAt = 0;
  /** Resolves with the engine: its own when it had to build one. Rejects when the thread dies before. */
  readonly ready: Promise<SharedEngine>;

  constructor(events: WorkerEvents, engine?: SharedEngine) {
    const setup: WorkerSetup = {
      control: this.#control.buffer,
      checkpoint: this.checkpoint,
      ...(engine === undefined ? {} : { engine }),
    };
    this.#worker = new Worker(ENTRY, {
      workerData: setup,
      resourceLimits: { stackSizeMb: STACK_MEBIBYTES },
      // Nothing of the environment or of the command line belongs into a thread that runs guest code.
      env: {},
      argv: [],
      execArgv: [],
    });
    this.#worker.unref();
    let built = engine;
    this.ready = new Promise((resolve, reject) => {
      this.#worker.on("message", (message: WorkerMessage) => {
        if (message.type === "reply") {
          this.#running = undefined;
          events.onReply(this, message.reply);
        } else if (message.type === "console") events.onConsole(message.turn, message.entry, message.last);
        else if (message.type === "engine") built = message.engine;
        else if (built !== undefined) resolve(built);
      });
      this.#worker.on("error", (error) => {
        reject(error);
        events.onDeath(this, error);
      });
    });
  }

  get running(): PostedTurn | undefined {
    return this.#running;
  }

  /** The worker must be free. */
  post(turn: PostedTurn): void {
    const { memory } = turn;
    const known = this.#held.delete(memory.key);
    this.#held.set(memory.key, true);
    if (this.#held.size > INSTANCES_KEPT) {
      const [oldest] = this.#held.keys();
      if (oldest !== undefined) this.forget(oldest);
    }
    const drop = this.#drop;
    if (drop.length > 0) this.#drop = [];
    this.#running = turn;
    this.#postedAt = clock();
    this.#control.begin(turn.turn);
    this.#worker.postMessage({
      turn: turn.turn,
      memoryKey: memory.key,
      maximumPages: memory.maximumPages,
      input: turn.input,
      sources: turn.sources,
      budget: turn.budget,
      consoleBytes: turn.consoleBytes,
      ...(known ? {} : { memory: memory.memory }),
      ...(drop.length > 0 ? { drop } : {}),
    });
  }

  /** The worker lets go of its instance with the next turn. */
  forget(key: number): void {
    if (this.#held.delete(key)) this.#drop.push(key);
  }

  /** Asks the running turn to end at its next poll. */
  requestStop(): void {
    if (this.#running === undefined) return;
    this.#running.stopRequestedAt ??= clock();
    this.#control.requestStop(this.#running.turn);
  }

  /** True when the running turn should have ended `grace` milliseconds ago, or was asked to. */
  isOverdue(now: number, grace: number): boolean {
    if (this.#running === undefined) return false;
    const { budget, stopRequestedAt } = this.#running;
    const { startedAt } = this.#control;
    if (startedAt === undefined) return now > this.#postedAt + PREPARATION;
    return now > Math.min(startedAt + budget, stopRequestedAt ?? Number.POSITIVE_INFINITY) + grace;
  }

  /** Milliseconds the running turn has held the worker so far. */
  elapsed(now: number): number {
    return now - (this.#control.startedAt ?? now);
  }

  /** Takes the running turn away from the worker. False: the worker ended it by itself, its reply is on the way. */
  condemn(): boolean {
    return this.#running !== undefined && this.#control.condemn(this.#running.turn);
  }

  /** The pages of the condemned turn as they were before it; undefined when it had not begun. */
  get checkpointExtent(): CheckpointExtent | undefined {
    return this.#control.checkpoint;
  }

  /** Ends the thread. Its memory may be touched once the promise resolves. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
    this.#running = undefined;
  }
}
