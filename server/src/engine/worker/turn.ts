/**
 * Runs turns as transactions: takes a checkpoint, has the guest run (running-guest.ts), then commits, or puts the pages back. Quick
 * turns share a checkpoint.
 */
import { loadTypeScript } from "../../compile/typescript.js";
import { type CheckpointExtent, restoreCheckpoint, takeCheckpoint } from "./checkpoint.js";
import { BETWEEN_TURNS, type Control, clock } from "./control.js";
import { seed } from "./entropy.js";
import { collect, collectBefore, isToBeCollectedBefore } from "./guest-garbage.js";
import { Instance } from "./instance.js";
import { Cell, HEAP_RANGE_START, HEAP_START, heapRangeEnd, pageCount, runningExecution } from "./layout.js";
import type { BatchRequest, ConsoleText, GroupRequest, SharedEngine, TurnReply, TurnRequest } from "./messages.js";
import { NEVER_BEGAN } from "./messages.js";
import { type HeapCount, RunningGuest } from "./running-guest.js";
import { clearPages } from "./tracked-pages.js";

function neverBegan(turn: number, startedAt: number): TurnReply {
  return {
    kind: "undone",
    turn,
    startedAt,
    cpuTime: 0,
    reason: "stopped",
    message: NEVER_BEGAN,
    began: false,
    culprit: 0,
  };
}

/** What a runner shares with the main thread. */
export interface RunnerSetup {
  readonly control: Control;
  readonly checkpoint: SharedArrayBuffer;
  readonly heaps: HeapCount;
  /** Heap in use, in bytes, above which a session's stores may be tracked; 0: always. */
  readonly trackAbove: number;
}

/** What leaves while turns run, before they are answered. */
export interface TurnReport {
  console(turn: number, entry: ConsoleText): void;
  /** The turn is run again: what it wrote to the console before does not count. */
  restarted(turn: number): void;
  /** This turn and those behind it in its group are not run here. */
  left(turn: number): void;
}

/**
 * Milliseconds for which effects of quick turns are held back, so that they share a checkpoint; also the most that is run
 * again when one of them has to be undone.
 */
const HOLD_EFFECTS = 2;

/**
 * Milliseconds after which a group leaves the rest of its turns for later: a session that has many of them is not to have the worker for all
 * of their time while others wait.
 */
const LONGEST_GROUP = 20;

/** What a checkpoint copies of a heap in a millisecond, about. */
const COPIED = 12 << 20;
/**
 * With its stores tracked guest code takes some eighth longer, and a checkpoint next to nothing. So it is worth it where turns take less
 * than so many times what copying the heap would take; a session that goes to and fro keeps what it has.
 */
const WORTH_TRACKING = { from: 4, to: 12 };

export class TurnRunner {
  readonly #engine: SharedEngine;
  readonly #control: Control;
  readonly #checkpoint: SharedArrayBuffer;
  readonly #report: TurnReport;
  readonly #instances = new Map<number, Instance>();
  readonly #guest: RunningGuest;
  readonly #trackAbove: number;
  #trackedModule: WebAssembly.Module | undefined;
  #instance: Instance | undefined;
  /** The checkpoint in the buffer, when it is already that of a group to come. */
  #kept: { memoryKey: number; sequence: number; extent: CheckpointExtent } | undefined;
  /** The checkpoint in the buffer, when this instance has put down all that was written to since then. */
  #base: { instance: Instance; extent: CheckpointExtent } | undefined;
  #group = { memoryKey: 0, maximumPages: 0 };
  /** The turn that wrote to its console last. */
  #told = 0;
  /** Number of the first turn of the batch. */
  #firstTurn = 0;

  constructor(engine: SharedEngine, { control, checkpoint, heaps, trackAbove }: RunnerSetup, report: TurnReport) {
    this.#trackAbove = trackAbove;
    this.#report = report;
    this.#guest = new RunningGuest(engine, control, heaps, (turn, entry) => {
      this.#told = turn;
      report.console(turn, entry);
    });
    this.#engine = engine;
    this.#control = control;
    this.#checkpoint = checkpoint;
  }

  /**
   * Runs a batch, answering as parts of it are committed. False when the main thread condemned this worker meanwhile: nothing
   * more may be said then.
   */
  runBatch({ drop, groups }: BatchRequest, answer: (replies: TurnReply[]) => void): boolean {
    this.drop(drop);
    this.#guest.beginBatch();
    this.#firstTurn = groups[0]?.turns[0]?.turn ?? 0;
    let word = this.#firstTurn;
    for (const [place, group] of groups.entries()) {
      if (!this.#control.beginGroup(place)) return true;
      if (!this.#runGroup(group, word, answer)) return false;
      word = BETWEEN_TURNS;
    }
    return true;
  }

  /** @param word what the control's turn word holds before it */
  #runGroup(request: GroupRequest, word: number, answer: (replies: TurnReply[]) => void): boolean {
    const { memoryKey, sequence, maximumPages, turns } = request;
    const isHot = this.#group.memoryKey === memoryKey;
    this.#instance = this.#instanceFor(request);
    // Loading the compiler is not on the clock of whoever comes first.
    if (turns.some(({ sources }) => sources.some(({ isTypeScript }) => isTypeScript))) loadTypeScript();
    this.#group = { memoryKey, maximumPages };
    if (this.#kept?.memoryKey !== memoryKey || this.#kept.sequence !== sequence) {
      this.#kept = undefined;
      this.#base = undefined;
    }
    const startedAt = clock();
    if (!this.#runTurns(turns, word, answer, startedAt + LONGEST_GROUP)) return false;
    // From here on another worker may run the session: nothing is written to its memory any more, the table of pages included.
    this.#trackIfWorthIt(memoryKey, isHot, clock() - startedAt);
    // A session that comes again and again finds its checkpoint taken: the copying is off its caller's way.
    if (isHot) this.#kept = { memoryKey, sequence: sequence + 1, extent: this.#takeCheckpoint() };
    return true;
  }

  /** Instances under these keys will not be needed again. */
  drop(keys: readonly number[]): void {
    for (const key of keys) {
      this.#instances.delete(key);
      if (this.#group.memoryKey !== key) continue;
      this.#instance = undefined;
      this.#base = undefined;
    }
  }

  #takeCheckpoint(): CheckpointExtent {
    const { memory } = this.#instance as Instance;
    const { layout } = this.#engine.baseImage;
    // What another instance wrote, or one that is gone, nobody knows.
    const earlier = this.#base?.instance === this.#instance ? this.#base?.extent : undefined;
    return takeCheckpoint(memory, layout, this.#checkpoint, earlier);
  }

  /** The buffer holds the session as it is now. What is written to from here on is put down, where its instance tracks that. */
  #beginTracking(instance: Instance, extent: CheckpointExtent): void {
    this.#base = instance.isTracked ? { instance, extent } : undefined;
    if (instance.isTracked) clearPages(new Uint8Array(instance.memory.buffer), HEAP_RANGE_START, extent.heapEnd);
  }

  /** Has another instance run the session from now on, where it should track its stores and does not, or the other way round. */
  #trackIfWorthIt(memoryKey: number, isHot: boolean, milliseconds: number): void {
    const { memory, isTracked } = this.#instance as Instance;
    const heapBytes = heapRangeEnd(new Int32Array(memory.buffer), this.#engine.baseImage.layout) - HEAP_START;
    const times = (milliseconds * COPIED) / heapBytes;
    const isQuick = times < (isTracked ? WORTH_TRACKING.to : WORTH_TRACKING.from);
    // One that is not hot has all of its heap copied for its next turn, whatever is known of it.
    const isWorthIt = isHot && (this.#trackAbove === 0 || (heapBytes > this.#trackAbove && isQuick));
    if (isWorthIt !== isTracked) this.#resume(memoryKey, memory, isWorthIt);
  }

  #resume(memoryKey: number, memory: WebAssembly.Memory, isTracked: boolean): Instance {
    if (isTracked) this.#trackedModule ??= new WebAssembly.Module(this.#engine.trackedCode);
    const module = isTracked ? this.#trackedModule : undefined;
    const instance = Instance.resumeSession(this.#engine, memory, this.#guest, module);
    this.#instances.set(memoryKey, instance);
    this.#instance = instance;
    return instance;
  }

  /**
   * @param word what the control's turn word holds before the first of them
   * @param until when the rest is left
   */
  #runTurns(
    turns: readonly TurnRequest[],
    word: number,
    answer: (replies: TurnReply[]) => void,
    until = Number.POSITIVE_INFINITY,
  ): boolean {
    let rest = turns;
    let before = word;
    while (rest.length > 0) {
      const slice = this.#runSlice(rest, before, answer);
      if (slice === undefined) return false;
      rest = rest.slice(slice);
      before = BETWEEN_TURNS;
      const [next] = rest;
      if (next === undefined || clock() < until) continue;
      this.#report.left(next.turn);
      break;
    }
    return true;
  }

  /**
   * Runs turns under one checkpoint until one must be undone or the time for holding effects back is over.
   *
   * @returns how many turns were answered; undefined when this worker was condemned
   */
  #runSlice(turns: readonly TurnRequest[], word: number, answer: (replies: TurnReply[]) => void): number | undefined {
    const instance = this.#instance as Instance;
    let extent = this.#kept?.extent ?? this.#takeCheckpoint();
    this.#kept = undefined;
    let isTracking = false;
    const sliceStart = clock();
    this.#control.checkpointed(extent, sliceStart);
    const held: TurnReply[] = [];
    let before = word;
    for (const request of turns) {
      const isToCollect = isToBeCollectedBefore(instance.words, this.#engine.baseImage.layout, request.budget);
      // A slice of its own has its checkpoint after that.
      if (isToCollect && held.length > 0) break;
      const startedAt = clock();
      if (!this.#control.start(request.turn, before, startedAt)) return undefined;
      before = request.turn;
      const place = request.turn - this.#firstTurn;
      this.#guest.begin(request, place, startedAt);
      if (this.#control.stopRequested(place)) {
        held.push(neverBegan(request.turn, startedAt));
        continue;
      }
      try {
        // Not before: turns that were stopped before they began are answered, and another worker may run their session by now. Nothing is
        // written to its memory then, the table of pages included.
        if (isToCollect) extent = this.#collect(instance, request);
        else if (!isTracking) this.#beginTracking(instance, extent);
        isTracking = true;
        held.push(this.#committed(instance, request, startedAt));
      } catch (error) {
        if (!this.#control.finish(request.turn)) return undefined;
        this.#control.leaveCollection();
        const undone = this.#undo(request, instance, extent, startedAt, error);
        answer([undone]);
        // Nothing of the turns before it has left, so they are simply run again.
        const again = turns.slice(0, held.length);
        for (const { turn } of again) this.#report.restarted(turn);
        return this.#runTurns(again, BETWEEN_TURNS, answer) ? held.length + 1 : undefined;
      }
      if (clock() > sliceStart + HOLD_EFFECTS) break;
    }
    if (!this.#control.finish(before)) return undefined;
    answer(held);
    return held.length;
  }

  /**
   * Collects garbage that former turns left, before the time of this one begins. What undoes the turn does not undo that, or the next one
   * would meet the same.
   */
  #collect(instance: Instance, request: TurnRequest): CheckpointExtent {
    this.#control.beginCollection();
    this.#guest.collect(instance, this.#group.maximumPages);
    this.#control.collected();
    const extent = this.#takeCheckpoint();
    this.#beginTracking(instance, extent);
    const now = clock();
    this.#guest.giveTime(request, now);
    this.#control.endCollection(extent, now);
    return extent;
  }

  #committed(instance: Instance, request: TurnRequest, startedAt: number): TurnReply {
    const effects = this.#guest.enter(instance, request.input, this.#group.maximumPages);
    const { heapTopWord, cells } = this.#engine.baseImage.layout;
    const { words } = instance;
    const cell = (index: number): number => words[(cells >> 2) + index] ?? 0;
    return {
      kind: "committed",
      turn: request.turn,
      startedAt,
      cpuTime: clock() - startedAt,
      effects,
      handles: cell(Cell.HANDLE_COUNT),
      heapBytes: (words[heapTopWord >> 2] ?? 0) - HEAP_START,
      nextTimer: cell(Cell.NEXT_TIMER),
      nextTimerOwner: cell(Cell.NEXT_TIMER_OWNER),
      owner: cell(Cell.TURN_OWNER),
    };
  }

  #instanceFor(request: GroupRequest): Instance {
    const cached = this.#instances.get(request.memoryKey);
    cached?.noticeGrowth();
    if (cached !== undefined) return cached;
    if (request.memory === undefined) throw new Error(`engine: no memory came with key ${request.memoryKey}`);
    return this.#resume(request.memoryKey, request.memory, false);
  }

  #undo(
    request: TurnRequest,
    instance: Instance,
    extent: CheckpointExtent,
    startedAt: number,
    error: unknown,
  ): TurnReply {
    const reason = this.#guest.reasonOf(instance, error);
    const { memoryKey, maximumPages } = this.#group;
    const { layout } = this.#engine.baseImage;
    // What was noted on the way to a trap was something else that went well.
    const noted = reason === "trap" ? undefined : this.#guest.culprit;
    const culprit = noted ?? runningExecution(instance.memory, layout);
    const memory = restoreCheckpoint(instance.memory, this.#checkpoint, extent, layout, maximumPages);
    // What it drew and told those behind it would draw again. Now, since another worker may run the session once this is answered.
    if (this.#told === request.turn) seed(memory, layout);
    if (memory !== instance.memory) this.#guest.didNotGrow(pageCount(instance.memory) - pageCount(memory));
    // What there was no room for may have been garbage, and as it was put back the next turn would meet the same.
    if (reason === "memory" || instance.outOfMemory !== undefined) collect(new Int32Array(memory.buffer), layout);
    else if (reason === "budget") collectBefore(new Int32Array(memory.buffer), layout);
    // After a trap the stack pointer is off, so the instance goes whatever the cause was.
    this.#resume(memoryKey, memory, instance.isTracked);
    return {
      kind: "undone",
      turn: request.turn,
      startedAt,
      cpuTime: clock() - startedAt,
      began: true,
      reason,
      culprit,
      message: error instanceof Error ? error.message : String(error),
      ...(memory === instance.memory ? {} : { memory }),
    };
  }
}
