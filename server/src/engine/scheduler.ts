/**
 * The scheduler: gives turns to workers and brings their effects back.
 *
 * Turns go to the worker that ran their session last if that is free, else to any free one, else they wait; a stuck worker
 * delays nobody but the session that stuck it.
 */
import { encodeInput } from "./kernel-protocol.js";
import {
  addConsole,
  clearConsole,
  type Ending,
  type Group,
  neverBegan,
  type PendingTurn,
  resultOf,
  sourcesOf,
  type Turn,
  type TurnResult,
  type TurnSpec,
  undone,
} from "./pending-turn.js";
import type { SessionMemory } from "./session-memory.js";
import type { SharedMemories } from "./shared-memories.js";
import { TurnQueue } from "./turn-queue.js";
import { Watchdog } from "./watchdog.js";
import { clock } from "./worker/control.js";
import type { Layout } from "./worker/layout.js";
import { type ConsoleText, MAXIMUM_BATCH, type TurnReply } from "./worker/messages.js";
import type { PostedGroup, PostedTurn, WorkerThread } from "./worker-thread.js";
import type { Workers } from "./workers.js";

/** Turn numbers fit into a signed word, with room for a group. */
const LAST_TURN = 2 ** 31 - 1 - MAXIMUM_BATCH;

export class Scheduler {
  readonly #workers: Workers;
  readonly #memories: SharedMemories;
  readonly #rotates: boolean;
  readonly #watchdog: Watchdog;
  /** Turns that are posted, by their number. */
  readonly #turns = new Map<number, PendingTurn>();
  readonly #waiting = new TurnQueue();
  #endOfTick: (() => void)[] = [];
  /** More may come at once, so nothing is posted yet. */
  #isGathering = false;
  #nextTurn = 1;

  /** @param rotates each turn of a session goes to another worker than the one before */
  constructor(workers: Workers, memories: SharedMemories, layout: Layout, rotates: boolean) {
    this.#workers = workers;
    this.#memories = memories;
    this.#rotates = rotates;
    workers.onJoined = () => this.#distribute();
    this.#watchdog = new Watchdog(workers, memories, layout, {
      isUnanswered: (turn) => this.#turns.get(turn.turn) === turn,
      requeue: (groups) => this.#requeue(groups),
      settle: (turn, ending) => this.#settle(turn, ending),
      distribute: () => this.#distribute(),
    });
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

  /** Asks the turn that runs in a session at this moment to end. False: none does. */
  stopRunning(memory: SessionMemory): boolean {
    for (const worker of this.#workers.all) {
      const running = worker.running as PendingTurn | undefined;
      if (running?.memory !== memory) continue;
      this.#stop(running);
      return true;
    }
    return false;
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
    this.#watchdog.close();
    await this.#workers.close();
    const ending = undone("stopped", "the server stopped");
    for (const turn of this.#turns.values()) this.#settle(turn, ending);
    for (const { turns } of this.#waiting.take(Number.POSITIVE_INFINITY)) {
      for (const turn of turns) this.#settle(turn, ending);
    }
  }

  /** Some turns of a worker's batch ended. */
  onReplies(worker: WorkerThread, replies: readonly TurnReply[]): void {
    if (worker.isFree) this.#workers.putBack(worker);
    this.#isGathering = true;
    for (const reply of replies) {
      const turn = this.#turns.get(reply.turn);
      if (turn === undefined) continue;
      const { memory } = turn;
      if (reply.kind === "committed") {
        memory.heapBytes = reply.heapBytes;
        memory.handles = reply.handles;
      } else if (reply.memory !== undefined) this.#memories.move(memory, reply.memory);
      this.#end(turn, resultOf(turn, reply));
    }
    if (worker.isFree) this.#noteGrowth(worker);
    this.#isGathering = false;
    this.#distribute();
  }

  #noteGrowth(worker: WorkerThread): void {
    this.#memories.note(worker.batch);
    worker.clearGrowth();
  }

  /** A group was not run to its end: the rest of it waits behind all that waits now. */
  onLeft(worker: WorkerThread, group: PostedGroup): void {
    this.#requeue([group as Group], (groups) => this.#waiting.push(...groups));
    if (worker.isFree) {
      this.#workers.putBack(worker);
      this.#noteGrowth(worker);
    }
    this.#distribute();
  }

  /** Guest code wrote to its console. @param number of its turn */
  onConsole(number: number, entry: ConsoleText): void {
    const turn = this.#turns.get(number);
    if (turn !== undefined) addConsole(turn, entry);
  }

  /** A turn is run again, as if it had not run before. */
  onRestarted(turn: number): void {
    clearConsole(this.#turns.get(turn));
  }

  /** A thread ended by itself. */
  onDeath(worker: WorkerThread, error: Error): void {
    void this.#watchdog.onDeath(worker, error);
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

  /**
   * Gives what waits to the workers that are free, in equal shares: sessions to the worker that ran them last where that can
   * be, else in the order they came. With more workers than groups each gets one.
   */
  #distribute(): void {
    while (this.#workers.idle.size > 0 && this.#waiting.length > 0) {
      const share = Math.ceil(this.#waiting.length / this.#workers.idle.size);
      const worker = this.#nextWorker();
      if (worker === undefined) return;
      const batch = this.#rotates
        ? this.#waiting.take(1)
        : this.#waiting.take(share, this.#workers.all.indexOf(worker));
      if (batch.length === 0) return;
      this.#post(worker, batch);
    }
  }

  /** The worker of the session that waits longest if it is free, else any that may run it. */
  #nextWorker(): WorkerThread | undefined {
    const group = this.#waiting.first;
    const last = this.#workers.all[group?.memory.lastWorker ?? -1];
    if (last !== undefined && !this.#rotates && this.#workers.idle.has(last)) return last;
    for (const worker of this.#workers.idle) if (!this.#rotates || worker !== last) return worker;
    return undefined;
  }

  #post(worker: WorkerThread, batch: readonly Group[]): void {
    if (this.#nextTurn > LAST_TURN) this.#nextTurn = 1;
    const index = this.#workers.take(worker);
    for (const { memory, turns } of batch) {
      memory.lastWorker = index;
      for (const turn of turns) {
        turn.turn = this.#nextTurn++;
        this.#turns.set(turn.turn, turn);
      }
    }
    worker.post(batch);
    this.#watchdog.watch();
  }

  #stop(turn: PendingTurn): void {
    // Should it be between a worker that ends and the queue, it is found to be stopped when it gets there.
    turn.stopRequestedAt ??= clock();
    const ofTurn = ({ turns }: { readonly turns: readonly PostedTurn[] }): boolean => turns.includes(turn);
    const worker = this.#workers.all.find(({ isFree, batch }) => !isFree && batch.some(ofTurn));
    if (worker !== undefined) {
      if (!worker.requestStop(turn)) this.#settle(turn, neverBegan());
      return;
    }
    if (this.#waiting.remove(turn)) this.#settle(turn, neverBegan());
  }

  /**
   * Groups that a worker will not run. Who was asked to stop meanwhile ends here.
   *
   * @param wait has them wait; left out: they waited longest, so they come first
   */
  #requeue(
    groups: readonly Group[],
    wait: (groups: readonly Group[]) => void = (rest) => this.#waiting.putBack(rest),
  ): void {
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
    wait(rest.filter(({ turns }) => turns.length > 0));
    for (const turn of stopped) this.#settle(turn, neverBegan());
  }

  #settle(turn: PendingTurn, ending: Ending): void {
    this.#end(turn, { ...ending, console: turn.console, told: turn.told });
  }

  #end(turn: PendingTurn, result: TurnResult): void {
    this.#turns.delete(turn.turn);
    turn.done(result);
  }
}
