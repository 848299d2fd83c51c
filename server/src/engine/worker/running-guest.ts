/** The guest while a turn runs: the one entry into the kernel, the job queue, what the engine asks meanwhile, and why it must stop. */
import { type Control, clock } from "./control.js";
import { readEffects, writeNumbers } from "./crossing.js";
import { evalCallback, GuestEval } from "./guest-eval.js";
import { collectIfGrown } from "./guest-garbage.js";
import type { HeapSum } from "./heap-sum.js";
import { type Instance, type InstanceHost, OutOfGuestMemory } from "./instance.js";
import { KernelAsks } from "./kernel-asks.js";
import { Cell, HEAP_START, runningExecution } from "./layout.js";
import type { ConsoleText, EncodedEffects, EncodedInput, SharedEngine, TurnRequest, UndoReason } from "./messages.js";
import { ModuleLoader, type ModuleTable } from "./module-loader.js";
import { rejectionCallback } from "./rejection-callback.js";
import { UnhandledRejections } from "./rejections.js";

const JOBS_AT_ONCE = 512;

/** Ends a turn that must be undone; never seen by guest code, which runs on another stack. */
class TurnStopped extends Error {
  constructor(
    readonly reason: UndoReason,
    message: string,
  ) {
    super(message);
  }
}

/** First number of an input that runs nothing (guest/protocol.ts). */
const LOOK = 9;
/** What jobs may take that follow from one, in milliseconds. */
const LOOK_JOBS = 1_000;

/** Where a worker counts what it makes memories grow. */
export interface HeapCount {
  readonly sum: HeapSum;
  readonly slot: number;
}

export class RunningGuest implements InstanceHost {
  readonly #engine: SharedEngine;
  readonly #control: Control;
  readonly #heaps: HeapCount;
  readonly #asks: KernelAsks;
  readonly #guestEval: GuestEval;
  readonly now = Date.now;
  readonly onEval = evalCallback((...source) => this.#guestEval.evaluate(this.#instance as Instance, ...source));
  readonly #rejections: UnhandledRejections;
  readonly #modules = new ModuleLoader();
  /** Undefined between turns. */
  #instance: Instance | undefined;
  #turn = 0;
  /** Of the running turn within its batch. */
  #place = 0;
  #deadline = 0;
  #stopped: UndoReason | undefined;
  /** Number of the execution that ran when the turn was found to have to end: the jobs behind it still run some way. */
  #culprit: number | undefined;
  #interruptsJob = false;

  /** @param onConsole is told what guest code writes to its console, and in which turn */
  constructor(
    engine: SharedEngine,
    control: Control,
    heaps: HeapCount,
    onConsole: (turn: number, entry: ConsoleText) => void,
  ) {
    this.#engine = engine;
    this.#control = control;
    this.#heaps = heaps;
    this.#asks = new KernelAsks(engine, {
      stop: (reason) => this.#stop(reason),
      interruptJob: () => {
        this.#interruptsJob = true;
      },
      console: (entry) => onConsole(this.#turn, entry),
    });
    this.#guestEval = new GuestEval(engine.baseImage.layout);
    this.#rejections = new UnhandledRejections(engine.baseImage.layout);
  }

  /** A batch begins: the one before was answered. */
  beginBatch(): void {
    this.#asks.beginBatch();
  }

  /**
   * A turn begins.
   *
   * @param place of it within its batch
   * @param startedAt `clock()` when it did
   */
  begin(request: TurnRequest, place: number, startedAt: number): void {
    this.#turn = request.turn;
    this.#place = place;
    this.giveTime(request, startedAt);
    this.#stopped = undefined;
    this.#culprit = undefined;
    this.#interruptsJob = false;
    this.#asks.begin(request);
    this.#rejections.clear();
  }

  /** The turn has all of its time from now on. */
  giveTime({ budget }: TurnRequest, now: number): void {
    this.#deadline = now + budget;
  }

  /** Has the engine collect garbage, which is due. Runs no guest code. Throws when there is no room even after that. */
  collect(instance: Instance, maximumPages: number): void {
    const { context } = this.#engine.baseImage.layout;
    this.#bound(instance, maximumPages);
    try {
      this.#free(instance, instance.exports.QTS_NewObject(context));
      this.#throwIfStopped(instance);
    } catch (error) {
      this.#asks.end();
      throw error;
    }
  }

  /**
   * Enters the kernel once and runs the job queue until it is empty. Throws when the turn must be undone; `reasonOf` says why.
   *
   * @param maximumPages what the memory may grow to, in pages of 64 KiB
   */
  enter(instance: Instance, input: EncodedInput, maximumPages: number): EncodedEffects {
    this.#instance = instance;
    try {
      const maximumBytes = this.#bound(instance, maximumPages);
      const effects = this.#run(instance, input);
      collectIfGrown(instance.words, this.#engine.baseImage.layout, maximumBytes);
      return effects;
    } finally {
      // The session may be gone before another turn comes: nothing of it is to be kept from here.
      this.#instance = undefined;
      this.#asks.end();
    }
  }

  /** Tells the engine how far the memory may grow. @returns that, in bytes */
  #bound(instance: Instance, maximumPages: number): number {
    const maximumBytes = maximumPages * 65536;
    instance.words[this.#engine.baseImage.layout.heapLimitWord >> 2] = maximumBytes - HEAP_START;
    return maximumBytes;
  }

  #run(instance: Instance, input: EncodedInput): EncodedEffects {
    const engine = instance.exports;
    const { context, enter, flush, cells } = this.#engine.baseImage.layout;
    const job = (cells >> 2) + Cell.JOB;
    instance.words[job] = ((instance.words[job] ?? 0) + 1) | 0;
    this.#free(instance, this.#callKernel(instance, enter, writeNumbers(instance, cells, input)));
    // What a look takes away may have callbacks of the guest's called, which are not to have the time of that.
    if (input.numbers[0] === LOOK) this.#deadline = Math.min(this.#deadline, clock() + LOOK_JOBS);
    this.#drainJobs(instance);
    this.#rejections.report(instance, (...warning) => this.#warnOfRejection(instance, ...warning));
    const flushed = this.#checked(instance, engine.QTS_Call(context, flush, engine.QTS_GetUndefined(), 0, 0));
    const effects = readEffects(instance, cells, instance.readString(context, flushed), this.#asks);
    this.#free(instance, flushed);
    this.#throwIfStopped(instance);
    // Here and not when the next begins: should this thread end before that, nobody of this turn is to blame for it.
    instance.words[(cells >> 2) + Cell.LAST_EXECUTION] = 0;
    return effects;
  }

  /** Calls an entry of the kernel with one text; gives its result, an owned `JSValue*`. */
  #callKernel(instance: Instance, entry: number, argument: string): number {
    const engine = instance.exports;
    const { context, argv } = this.#engine.baseImage.layout;
    const value = instance.newString(context, argument);
    instance.words[argv >> 2] = value;
    const result = engine.QTS_Call(context, entry, engine.QTS_GetUndefined(), 1, argv);
    engine.QTS_FreeValuePointer(context, value);
    return this.#checked(instance, result);
  }

  #warnOfRejection(instance: Instance, reason: number, execution: number, more: number): void {
    const engine = instance.exports;
    const { context, argv, warnOfRejection } = this.#engine.baseImage.layout;
    const numbers = [engine.QTS_NewFloat64(context, execution), engine.QTS_NewFloat64(context, more)];
    instance.words.set([reason, ...numbers], argv >> 2);
    const result = engine.QTS_Call(context, warnOfRejection, engine.QTS_GetUndefined(), 3, argv);
    for (const value of [...numbers, this.#checked(instance, result)]) this.#free(instance, value);
  }

  #drainJobs(instance: Instance): void {
    const engine = instance.exports;
    const { runtime, argv } = this.#engine.baseImage.layout;
    while (engine.QTS_IsJobPending(runtime) !== 0) {
      // A job that throws ends this round; the promise machinery has already taken note of its error.
      this.#free(instance, engine.QTS_ExecutePendingJob(runtime, JOBS_AT_ONCE, argv));
      if (this.shouldInterrupt()) break;
    }
    this.#throwIfStopped(instance);
  }

  /** An exception out of the kernel itself means that it was cut off: stopped, out of memory, or broken. */
  #checked(instance: Instance, value: number): number {
    this.#throwIfStopped(instance);
    const { context } = this.#engine.baseImage.layout;
    const exception = instance.exports.QTS_ResolveException(context, value);
    if (exception === 0) return value;
    throw new TurnStopped("trap", `the kernel failed: ${instance.readString(context, exception)}`);
  }

  #free(instance: Instance, value: number): void {
    instance.exports.QTS_FreeValuePointer(this.#engine.baseImage.layout.context, value);
  }

  #throwIfStopped(instance: Instance): void {
    if (this.#stopped !== undefined) throw new TurnStopped(this.#stopped, "");
    if (instance.outOfMemory !== undefined) throw new TurnStopped(instance.outOfMemory, "");
  }

  /** Why the turn must be undone that `enter` threw this for. */
  reasonOf(instance: Instance, error: unknown): UndoReason {
    const outOfMemory = instance.outOfMemory ?? (error instanceof OutOfGuestMemory ? "memory" : undefined);
    return this.#stopped ?? outOfMemory ?? (error instanceof TurnStopped ? error.reason : "trap");
  }

  // What the engine asks.

  /**
   * Once true for the turn it stays true: what the guest catches or finishes meanwhile is undone. True once for a job that the
   * kernel wants unwound: the turn goes on with the next.
   */
  shouldInterrupt(): boolean {
    if (this.#interruptsJob) {
      this.#interruptsJob = false;
      return true;
    }
    if (this.#stopped !== undefined) return true;
    if (this.#control.stopRequested(this.#place)) this.#stop("stopped");
    else if (clock() > this.#deadline) this.#stop("budget");
    return this.#stopped !== undefined;
  }

  #stop(reason: UndoReason): void {
    this.#noteCulprit();
    this.#stopped ??= reason;
  }

  /** Should the turn have to end now, it is for who runs. */
  #noteCulprit(): void {
    const instance = this.#instance;
    if (instance === undefined || instance.outOfMemory !== undefined || this.#stopped !== undefined) return;
    this.#culprit = runningExecution(instance.memory, this.#engine.baseImage.layout);
  }

  /** Number of the execution that the turn had to end for; 0 for none, undefined where it was not found here that it had to. */
  get culprit(): number | undefined {
    return this.#culprit;
  }

  mayGrow(pages: number): boolean {
    const may = this.#heaps.sum.grow(this.#heaps.slot, pages);
    if (!may) this.#noteCulprit();
    return may;
  }

  didNotGrow(pages: number): void {
    this.#noteCulprit();
    this.#heaps.sum.shrink(this.#heaps.slot, pages);
  }

  readonly onRejection = rejectionCallback((promise, reason, isHandled) => {
    if (this.#instance !== undefined) this.#rejections.note(this.#instance, promise, reason, isHandled);
  });

  dispatch(argc: number, argv: number): number {
    const instance = this.#instance;
    return instance === undefined || argc < 1 ? 0 : this.#asks.answer(instance, argc, argv);
  }

  resolveModule(importer: string, specifier: string): string {
    return this.#modules.resolve(this.#moduleTable(), importer, specifier);
  }

  loadModule(name: string): string | undefined {
    return this.#modules.load(this.#moduleTable(), name);
  }

  /** The session's modules, which the kernel keeps. */
  #moduleTable(): ModuleTable {
    const instance = this.#instance as Instance;
    const { context, serveModules } = this.#engine.baseImage.layout;
    return {
      ask: (request) => {
        const answer = this.#callKernel(instance, serveModules, request);
        const text = instance.readString(context, answer);
        this.#free(instance, answer);
        return text;
      },
      throw: (request) => {
        const error = this.#callKernel(instance, serveModules, request);
        this.#free(instance, instance.exports.QTS_Throw(context, error));
        this.#free(instance, error);
      },
    };
  }
}
