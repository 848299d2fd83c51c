/**
 * The watchdog: sees to it that no turn holds a worker, whatever it does. A worker whose turn is past its budget and a grace is ended;
 * after that, or when a thread died by itself, the pages of its session are put back and what it had not answered runs elsewhere.
 */
import { clearConsole, type Ending, type Group, goLive, type PendingTurn, undone } from "./pending-turn.js";
import { putPagesBack } from "./session-image.js";
import type { SessionMemory } from "./session-memory.js";
import type { SharedMemories } from "./shared-memories.js";
import { clock } from "./worker/control.js";
import { seed } from "./worker/entropy.js";
import { collectBefore, collectLater } from "./worker/guest-garbage.js";
import { type Layout, runningExecution } from "./worker/layout.js";
import type { WorkerThread } from "./worker-thread.js";
import type { Workers } from "./workers.js";

/** How long past its budget a turn may run before its worker is ended, in milliseconds. */
const GRACE = 100;
const WATCH_EVERY = 20;
/** How long a turn may run before what stands behind it in its batch goes elsewhere, in milliseconds. */
const TAKE_BACK_AFTER = 5;
/**
 * How long a turn runs before its console entries are told as they come, in milliseconds. It then ends its slice, however it
 * ends itself (turn.ts, HOLD_EFFECTS): no turn behind it can make it run again.
 */
const LIVE_AFTER = 10;

/** What the watchdog asks of the scheduler. */
export interface WatchdogHost {
  /** Nobody has heard yet how this turn ended. */
  isUnanswered(turn: PendingTurn): boolean;
  /** Groups that a worker will not run come first again. */
  requeue(groups: readonly Group[]): void;
  settle(turn: PendingTurn, ending: Ending): void;
  /** There may be a worker again for what waits. */
  distribute(): void;
}

export class Watchdog {
  readonly #workers: Workers;
  readonly #memories: SharedMemories;
  readonly #layout: Layout;
  readonly #host: WatchdogHost;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(workers: Workers, memories: SharedMemories, layout: Layout, host: WatchdogHost) {
    this.#workers = workers;
    this.#memories = memories;
    this.#layout = layout;
    this.#host = host;
  }

  /** Watches until no worker has anything to run. */
  watch(): void {
    if (this.#isClosed) return;
    this.#timer ??= setInterval(() => this.#watch(), WATCH_EVERY);
  }

  /** Threads that end from now on are ended by their owner. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  #watch(): void {
    const now = clock();
    for (const worker of [...this.#workers.all]) {
      const turn = worker.overdue(now, GRACE);
      if (turn !== undefined) void this.#kill(worker, turn as PendingTurn);
      else {
        const slow = worker.runningSince(now - LIVE_AFTER);
        if (slow !== undefined) goLive(slow as PendingTurn);
        this.#host.requeue(worker.takeBack(now, TAKE_BACK_AFTER) as readonly Group[]);
      }
    }
    this.#host.distribute();
    if (this.#workers.idle.size === this.#workers.all.length) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  async #kill(worker: WorkerThread, culprit: PendingTurn): Promise<void> {
    if (!worker.condemn(culprit)) return;
    const { startedAt, isCollecting } = worker;
    const reason = culprit.stopRequestedAt === undefined ? "budget" : "stopped";
    this.#workers.replace(worker);
    await worker.terminate();
    // Nothing of one that was stopped before it began has run, and as it was answered then its session may be gone.
    const isOver = !this.#unanswered(worker).some(({ memory }) => memory === culprit.memory);
    if (isOver) return this.#recover(worker, undefined, undone(reason, ""));
    const cpuTime = clock() - startedAt;
    const execution = this.#executionIn(culprit.memory);
    await this.#restore(worker, culprit);
    const words = new Int32Array(culprit.memory.memory.buffer);
    if (isCollecting) {
      // Nothing of the turn has run: it does without.
      collectLater(words, this.#layout);
      return this.#recover(worker, undefined, undone(reason, ""));
    }
    collectBefore(words, this.#layout);
    this.#recover(worker, culprit, {
      ...undone(reason, "its worker was ended"),
      culprit: execution,
      startedAt,
      cpuTime,
    });
  }

  /** A thread ended by itself. */
  async onDeath(worker: WorkerThread, error: Error): Promise<void> {
    if (this.#isClosed || this.#workers.spareEnded(worker)) return;
    const turns = this.#unanswered(worker);
    // What was committed and not told counts as running: its checkpoint is still there, and nothing of it has left.
    const last = (worker.running as PendingTurn | undefined) ?? turns.findLast((turn) => worker.hasBegun(turn));
    // Nothing has run of one that was answered, as it was stopped before it began; its session may run elsewhere, or be gone.
    const culprit = turns.some(({ memory }) => memory === last?.memory) ? last : undefined;
    const execution = culprit === undefined ? 0 : this.#executionIn(culprit.memory);
    // It may keep its place till another can start: nobody is to end this turn once more.
    if (worker.running !== undefined) worker.condemn(worker.running);
    this.#workers.replace(worker);
    if (culprit !== undefined) await this.#restore(worker, culprit);
    this.#recover(worker, culprit, {
      ...undone("trap", `its worker died: ${error.message}`),
      culprit: execution,
    });
  }

  /** Turns of its batch of which nobody has heard yet. */
  #unanswered(worker: WorkerThread): PendingTurn[] {
    return worker.batch
      .flatMap((group) => group.turns as PendingTurn[])
      .filter((turn) => this.#host.isUnanswered(turn));
  }

  /** Puts the pages back that a dead worker left half changed. @param turn that it ran: without an answer until that is done */
  async #restore(worker: WorkerThread, { memory, console }: PendingTurn): Promise<void> {
    const extent = worker.checkpointExtent;
    if (extent === undefined) return;
    const layout = this.#layout;
    const restored = await putPagesBack(memory, { pages: worker.checkpoint, extent }, layout);
    if (restored !== memory.memory) this.#memories.move(memory, restored);
    // What it drew and told would be drawn again.
    if (console.length > 0) seed(restored, layout);
  }

  /** Ends the turn that a worker's death is to blame on, if there is one, and runs the rest of its batch elsewhere. */
  #recover(worker: WorkerThread, culprit: PendingTurn | undefined, ending: Ending): void {
    // Who closes ends all turns.
    if (this.#isClosed) return;
    this.#memories.note(worker.batch);
    const isUnanswered = (turn: PendingTurn): boolean => turn !== culprit && this.#host.isUnanswered(turn);
    const rest = (worker.batch as readonly Group[])
      .map((group) => ({ memory: group.memory, turns: group.turns.filter(isUnanswered) }))
      .filter(({ turns }) => turns.length > 0);
    worker.forgetBatch();
    for (const { turns } of rest) for (const turn of turns) clearConsole(turn);
    this.#host.requeue(rest);
    if (culprit !== undefined && this.#host.isUnanswered(culprit)) this.#host.settle(culprit, ending);
    this.#host.distribute();
  }

  /** Number of the execution that runs in a session, or ran when its worker ended; 0 for none. */
  #executionIn({ memory }: SessionMemory): number {
    return runningExecution(memory, this.#layout);
  }
}
