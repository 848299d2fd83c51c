/**
 * The engine: gives turns to workers and brings their effects back.
 *
 * A turn goes to the worker that ran its session last if that is free, else to any free one, else it waits its turn; a
 * stuck worker delays nobody but the session that stuck it. A worker that is past its turn's budget and a grace is
 * ended, the pages of its session are put back, and a warm spare takes its place.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { decodeEffects, type Effect, encodeInput, type TurnInput } from "./kernel-protocol.js";
import { SessionMemories, type SessionMemory } from "./session-memory.js";
import { restoreCheckpoint } from "./worker/checkpoint.js";
import { clock } from "./worker/control.js";
import type { SharedEngine, TurnReply, UndoReason } from "./worker/messages.js";
import { type PostedTurn, type WorkerEvents, WorkerThread } from "./worker-thread.js";

export interface EngineOptions {
  /** Worker threads that run turns; one more is kept warm as a spare. */
  readonly workers: number;
  /** Tests only: each turn of a session goes to another worker than the one before. */
  readonly rotateWorkers?: boolean;
}

export type TurnResult = Ending & {
  /** Console entries as JSON text, in order; also those of an undone turn. */
  readonly console: readonly string[];
  /** True when entries beyond the limit were left out. */
  readonly consoleTruncated: boolean;
};

type Ending = {
  /** Milliseconds the turn held a worker. */
  readonly cpuTime: number;
} & (
  | { readonly kind: "committed"; readonly effects: readonly Effect[] }
  | { readonly kind: "undone"; readonly reason: UndoReason; readonly message: string }
);

/** A turn on its way. */
export interface Turn {
  /** Never rejects. */
  readonly result: Promise<TurnResult>;
  /** Ends the turn soon, wherever it is; its result is then `undone` with reason `stopped`, unless it was faster. */
  stop(): void;
}

interface PendingTurn extends PostedTurn {
  readonly console: string[];
  consoleTruncated: boolean;
  resolve(result: TurnResult): void;
}

/** How long past its budget a turn may run before its worker is ended, in milliseconds. */
const GRACE = 50;
const WATCH_EVERY = 20;
const COLLECT_AFTER_DROPPED = 200;

export class Engine {
  readonly #options: EngineOptions;
  readonly #shared: SharedEngine;
  readonly #memories: SessionMemories;
  readonly #workers: WorkerThread[] = [];
  readonly #events: WorkerEvents = {
    onReply: (worker, reply) => this.#onReply(worker, reply),
    onConsole: (turn, entry, last) => this.#onConsole(turn, entry, last),
    onDeath: (worker, error) => this.#onDeath(worker, error),
  };
  readonly #idle = new Set<WorkerThread>();
  readonly #turns = new Map<number, PendingTurn>();
  #waiting: PendingTurn[] = [];
  #spare: WorkerThread;
  #nextTurn = 1;
  #watchdog: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(options: EngineOptions, first: WorkerThread, shared: SharedEngine) {
    this.#options = options;
    this.#shared = shared;
    this.#memories = new SessionMemories(shared.baseImage);
    this.#add(first);
    while (this.#workers.length < options.workers) this.#add(this.#start());
    this.#spare = this.#start();
  }

  /** Builds the base image on the first worker, then starts the others from it. */
  static async start(options: EngineOptions): Promise<Engine> {
    const events: WorkerEvents = { onReply: () => undefined, onConsole: () => undefined, onDeath: () => undefined };
    const first = new WorkerThread(events);
    const shared = await first.ready;
    const engine = new Engine(options, first, shared);
    Object.assign(events, engine.#events);
    await Promise.all([...engine.#workers, engine.#spare].map((worker) => worker.ready));
    return engine;
  }

  /** Names the engine build: wasm and kernel. */
  get digest(): string {
    return this.#shared.baseImage.digest;
  }

  /** Bytes every session starts with. */
  get baseImageBytes(): number {
    return this.#shared.baseImage.size;
  }

  /** @param memoryBytes the most the session's heap may grow to */
  createMemory(memoryBytes: number): SessionMemory {
    return this.#memories.create(memoryBytes);
  }

  /** Gives a session's memory back. No turn of it may run or come any more. */
  releaseMemory(memory: SessionMemory): void {
    for (const worker of this.#workers) worker.forget(memory.key);
    this.#memories.release(memory);
    if (this.#memories.dropped >= COLLECT_AFTER_DROPPED) {
      this.#memories.dropped = 0;
      collectGarbage();
    }
  }

  /**
   * Runs one turn. Turns of one memory must not overlap; the caller waits for each result.
   *
   * @param budget milliseconds it may hold a worker
   * @param consoleBytes UTF-8 bytes of console entries that may leave
   */
  run(memory: SessionMemory, input: TurnInput, budget: number, consoleBytes = 0): Turn {
    const turn = this.#nextTurn;
    this.#nextTurn = (turn % 0x7fff_ffff) + 1;
    let resolve: (result: TurnResult) => void = () => undefined;
    const result = new Promise<TurnResult>((settle) => {
      resolve = settle;
    });
    const pending: PendingTurn = {
      turn,
      memory,
      input: encodeInput(input),
      sources:
        input.kind === "execute"
          ? [{ code: input.code, filename: input.filename, bindings: [...input.bindings.keys()] }]
          : [],
      budget,
      consoleBytes,
      console: [],
      consoleTruncated: false,
      resolve,
    };
    this.#turns.set(turn, pending);
    const worker = this.#freeWorkerFor(memory);
    if (worker === undefined) this.#waiting.push(pending);
    else this.#post(worker, pending);
    return { result, stop: () => this.#stop(pending) };
  }

  /** Ends all workers; turns still running are undone. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#watchdog);
    await Promise.all([...this.#workers, this.#spare].map((worker) => worker.terminate()));
    for (const turn of this.#turns.values()) this.#settle(turn, undone("stopped", "the server stopped"));
  }

  #start(): WorkerThread {
    return new WorkerThread(this.#events, this.#shared);
  }

  #add(worker: WorkerThread): void {
    this.#workers.push(worker);
    this.#idle.add(worker);
  }

  #freeWorkerFor(memory: SessionMemory): WorkerThread | undefined {
    if (this.#idle.size === 0) return undefined;
    const last = this.#workers[memory.lastWorker];
    if (this.#options.rotateWorkers === true) {
      for (const worker of this.#idle) if (worker !== last) return worker;
      return undefined;
    }
    if (last !== undefined && this.#idle.has(last)) return last;
    for (const worker of this.#idle) return worker;
    return undefined;
  }

  #post(worker: WorkerThread, turn: PendingTurn): void {
    this.#idle.delete(worker);
    turn.memory.lastWorker = this.#workers.indexOf(worker);
    worker.post(turn);
    this.#watchdog ??= setInterval(() => this.#watch(), WATCH_EVERY);
  }

  #stop(turn: PendingTurn): void {
    const worker = this.#workers.find((candidate) => candidate.running === turn);
    if (worker !== undefined) {
      worker.requestStop();
      return;
    }
    const queued = this.#waiting.indexOf(turn);
    if (queued < 0) return;
    this.#waiting.splice(queued, 1);
    this.#settle(turn, undone("stopped", "it had not begun"));
  }

  #onReply(worker: WorkerThread, reply: TurnReply): void {
    const turn = this.#turns.get(reply.turn);
    this.#free(worker);
    if (turn === undefined) return;
    const { cpuTime } = reply;
    if (reply.kind === "committed") {
      turn.memory.heapBytes = reply.heapBytes;
      this.#settle(turn, { kind: "committed", effects: decodeEffects(reply.effects), cpuTime });
      return;
    }
    if (reply.memory === undefined) worker.forget(turn.memory.key);
    else this.#move(turn.memory, reply.memory);
    this.#settle(turn, { kind: "undone", reason: reply.reason, message: reply.message, cpuTime });
  }

  #move(session: SessionMemory, memory: WebAssembly.Memory): void {
    for (const worker of this.#workers) worker.forget(session.key);
    this.#memories.move(session, memory);
  }

  #free(worker: WorkerThread): void {
    this.#idle.add(worker);
    for (let i = 0; i < this.#waiting.length && this.#idle.size > 0; i++) {
      const turn = this.#waiting[i] as PendingTurn;
      const candidate = this.#freeWorkerFor(turn.memory);
      if (candidate === undefined) continue;
      this.#waiting.splice(i--, 1);
      this.#post(candidate, turn);
    }
  }

  #watch(): void {
    const now = clock();
    for (const worker of this.#workers) {
      if (worker.isOverdue(now, GRACE)) void this.#kill(worker, now);
    }
    if (this.#idle.size === this.#workers.length) {
      clearInterval(this.#watchdog);
      this.#watchdog = undefined;
    }
  }

  async #kill(worker: WorkerThread, now: number): Promise<void> {
    const turn = worker.running as PendingTurn | undefined;
    if (turn === undefined || !worker.condemn()) return;
    const reason = turn.stopRequestedAt === undefined ? "budget" : "stopped";
    const cpuTime = worker.elapsed(now);
    this.#replace(worker);
    await worker.terminate();
    this.#restore(worker, turn, { ...undone(reason, "its worker was ended"), cpuTime });
  }

  #onDeath(worker: WorkerThread, error: Error): void {
    const turn = worker.running as PendingTurn | undefined;
    if (this.#closed) return;
    if (worker === this.#spare) this.#spare = this.#start();
    else this.#replace(worker);
    if (turn !== undefined) this.#restore(worker, turn, undone("trap", `its worker died: ${error.message}`));
  }

  /** The spare takes over the place, so that sessions keep their affinity; another spare is warmed up. */
  #replace(worker: WorkerThread): void {
    const index = this.#workers.indexOf(worker);
    if (index < 0) return;
    this.#idle.delete(worker);
    const spare = this.#spare;
    this.#workers[index] = spare;
    this.#spare = this.#start();
    this.#free(spare);
  }

  #restore(worker: WorkerThread, turn: PendingTurn, result: Ending): void {
    const extent = worker.checkpointExtent;
    if (extent !== undefined) {
      const { memory } = turn;
      const restored = restoreCheckpoint(
        memory.memory,
        worker.checkpoint,
        extent,
        this.#shared.baseImage.layout,
        memory.maximumPages,
      );
      if (restored !== memory.memory) this.#move(memory, restored);
      else for (const other of this.#workers) other.forget(memory.key);
    }
    this.#settle(turn, result);
  }

  #onConsole(number: number, entry: string, last: boolean): void {
    const turn = this.#turns.get(number);
    turn?.console.push(entry);
    if (turn !== undefined && last) turn.consoleTruncated = true;
  }

  #settle(turn: PendingTurn, ending: Ending): void {
    this.#turns.delete(turn.turn);
    const { console, consoleTruncated } = turn;
    turn.resolve({ ...ending, console, consoleTruncated });
  }
}

function undone(reason: UndoReason, message: string): Ending & { kind: "undone" } {
  return { kind: "undone", reason, message, cpuTime: 0 };
}

let collector: (() => void) | undefined;

/** Node exposes its collector only on request; memories that nobody holds keep 10 GiB of address space each until then. */
function collectGarbage(): void {
  if (collector === undefined) {
    setFlagsFromString("--expose-gc");
    collector = runInNewContext("gc") as () => void;
  }
  collector();
}
