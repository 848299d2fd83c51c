/**
 * Runs turns: checkpoint, one entry into the kernel, the job queue until it is empty, effects out; then commits, or puts the
 * pages back.
 */
import { loadTypeScript } from "../../compile/typescript.js";
import { argument } from "./boot.js";
import { type CheckpointExtent, restoreCheckpoint, takeCheckpoint } from "./checkpoint.js";
import { BETWEEN_TURNS, type Control, clock } from "./control.js";
import { readBase64, readEffects, writeBase64, writeNumbers } from "./crossing.js";
import { evalCallback, GuestEval } from "./guest-eval.js";
import type { HeapSum } from "./heap-sum.js";
import { Instance, type InstanceHost, OutOfGuestMemory } from "./instance.js";
import { Cell, HEAP_START, pageCount, runningExecution } from "./layout.js";
import type {
  BatchRequest,
  ConsoleText,
  EncodedEffects,
  EncodedInput,
  GroupRequest,
  SharedEngine,
  Source,
  TurnReply,
  TurnRequest,
  UndoReason,
} from "./messages.js";
import { NEVER_BEGAN } from "./messages.js";
import { ModuleLoader, type ModuleTable } from "./module-loader.js";
import { classIdOf } from "./object-classes.js";
import { rejectionCallback } from "./rejection-callback.js";
import { UnhandledRejections } from "./rejections.js";
import { SourceEvaluator } from "./source-evaluator.js";

/** What the kernel asks of its dispatcher, by the number it passes first. Mirrored in guest/host.ts. */
const Ask = {
  EVALUATE: 0,
  LOG: 1,
  IS_PROMISE: 2,
  BYTE_LENGTH: 3,
  STOP: 4,
  LOAD_LIBRARY: 5,
  PROMISE_STATE: 6,
  PROMISE_RESULT: 7,
  CLASS_OF: 8,
  TAKE_BYTES: 10,
  KEEP_BYTES: 11,
  TO_BASE64: 12,
  FROM_BASE64: 13,
  INTERRUPT: 14,
  COMPILE_TEMPLATE: 20,
} as const;

/** Why the kernel itself ends a turn, by the number it passes. Mirrored in guest/host.ts. */
const KERNEL_STOPS = ["valueSize", "handles"] as const;

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
  /** Where it counts what it makes memories grow. */
  readonly heaps: { readonly sum: HeapSum; readonly slot: number };
}

/** What leaves while turns run, before they are answered. */
export interface TurnReport {
  console(turn: number, entry: ConsoleText): void;
  /** The turn is run again: what it wrote to the console before does not count. */
  restarted(turn: number): void;
}

/**
 * Milliseconds for which effects of quick turns are held back, so that they share a checkpoint; also the most that is run
 * again when one of them has to be undone.
 */
const HOLD_EFFECTS = 2;

/** An entry is JSON text: larger than what it says. Who takes it counts exactly; this only holds a flood of small ones. */
const ENTRY_OVERHEAD = { factor: 2, bytes: 4096 };

export class TurnRunner implements InstanceHost {
  readonly #engine: SharedEngine;
  readonly #control: Control;
  readonly #checkpoint: SharedArrayBuffer;
  readonly #heaps: { readonly sum: HeapSum; readonly slot: number };
  readonly #report: TurnReport;
  readonly #instances = new Map<number, Instance>();
  readonly #evaluator: SourceEvaluator;
  readonly #guestEval: GuestEval;
  readonly now = Date.now;
  readonly onEval = evalCallback((...source) => this.#guestEval.evaluate(this.#instance as Instance, ...source));
  readonly #rejections: UnhandledRejections;
  readonly #modules = new ModuleLoader();
  #instance: Instance | undefined;
  /** The checkpoint in the buffer, when it is already that of a group to come. */
  #kept: { memoryKey: number; sequence: number; extent: CheckpointExtent } | undefined;
  #group = { memoryKey: 0, maximumPages: 0 };
  /** Number of the first turn of the batch. */
  #firstTurn = 0;
  #turn = 0;
  /** Of the running turn within its batch. */
  #place = 0;
  #deadline = 0;
  #stopped: UndoReason | undefined;
  #interruptsJob = false;
  #sources: readonly Source[] = [];
  #bytesIn: readonly Uint8Array[] = [];
  #bytesOut: Uint8Array[] = [];
  #consoleBytes = 0;
  /** Bytes that an execution's console may still take in this turn, by its number. */
  readonly #consoleBytesLeft = new Map<number, number>();

  constructor(engine: SharedEngine, { control, checkpoint, heaps }: RunnerSetup, report: TurnReport) {
    this.#report = report;
    this.#heaps = heaps;
    this.#evaluator = new SourceEvaluator(engine.baseImage.layout);
    this.#guestEval = new GuestEval(engine.baseImage.layout);
    this.#rejections = new UnhandledRejections(engine.baseImage.layout);
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
    if (this.#kept?.memoryKey !== memoryKey || this.#kept.sequence !== sequence) this.#kept = undefined;
    if (!this.#runTurns(turns, word, answer)) return false;
    // A session that comes again and again finds its checkpoint taken: the copying is off its caller's way.
    if (isHot) this.#kept = { memoryKey, sequence: sequence + 1, extent: this.#takeCheckpoint() };
    return true;
  }

  /** Instances under these keys will not be needed again. */
  drop(keys: readonly number[]): void {
    for (const key of keys) {
      this.#instances.delete(key);
      if (this.#group.memoryKey === key) this.#instance = undefined;
    }
  }

  #takeCheckpoint(): CheckpointExtent {
    const { memory } = this.#instance as Instance;
    return takeCheckpoint(memory, this.#engine.baseImage.layout, this.#checkpoint);
  }

  /** @param word what the control's turn word holds before the first of them */
  #runTurns(turns: readonly TurnRequest[], word: number, answer: (replies: TurnReply[]) => void): boolean {
    let rest = turns;
    let before = word;
    while (rest.length > 0) {
      const slice = this.#runSlice(rest, before, answer);
      if (slice === undefined) return false;
      rest = rest.slice(slice);
      before = BETWEEN_TURNS;
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
    const extent = this.#kept?.extent ?? this.#takeCheckpoint();
    this.#kept = undefined;
    const sliceStart = clock();
    this.#control.checkpointed(extent, sliceStart);
    const held: TurnReply[] = [];
    let before = word;
    for (const request of turns) {
      const startedAt = clock();
      if (!this.#control.start(request.turn, before, startedAt)) return undefined;
      before = request.turn;
      this.#prepare(request, startedAt);
      if (this.#control.stopRequested(this.#place)) {
        held.push(neverBegan(request.turn, startedAt));
        continue;
      }
      try {
        held.push(this.#committed(instance, request, startedAt));
      } catch (error) {
        if (!this.#control.finish(request.turn)) return undefined;
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

  #prepare(request: TurnRequest, startedAt: number): void {
    this.#turn = request.turn;
    this.#place = request.turn - this.#firstTurn;
    this.#deadline = startedAt + request.budget;
    this.#stopped = undefined;
    this.#interruptsJob = false;
    this.#sources = request.sources;
    this.#bytesIn = request.input.bytes;
    this.#bytesOut = [];
    this.#consoleBytes = request.consoleBytes;
    this.#consoleBytesLeft.clear();
    this.#rejections.clear();
  }

  #committed(instance: Instance, request: TurnRequest, startedAt: number): TurnReply {
    const effects = this.#enter(instance, request.input);
    const { sbrkWord, cells } = this.#engine.baseImage.layout;
    const cell = (index: number): number => instance.words[(cells >> 2) + index] ?? 0;
    return {
      kind: "committed",
      turn: request.turn,
      startedAt,
      cpuTime: clock() - startedAt,
      effects,
      handles: cell(Cell.HANDLE_COUNT),
      heapBytes: (instance.words[sbrkWord >> 2] ?? 0) - HEAP_START,
      nextTimer: cell(Cell.NEXT_TIMER),
      nextTimerOwner: cell(Cell.NEXT_TIMER_OWNER),
      owner: cell(Cell.TURN_OWNER),
    };
  }

  #instanceFor(request: GroupRequest): Instance {
    const cached = this.#instances.get(request.memoryKey);
    if (cached !== undefined) return cached;
    if (request.memory === undefined) throw new Error(`engine: no memory came with key ${request.memoryKey}`);
    const instance = Instance.resumeSession(this.#engine, request.memory, this);
    this.#instances.set(request.memoryKey, instance);
    return instance;
  }

  #enter(instance: Instance, input: EncodedInput): EncodedEffects {
    const engine = instance.exports;
    const { context, enter, flush, cells, sbrkWord, gcThresholdWord } = this.#engine.baseImage.layout;
    const heapTop = instance.words[sbrkWord >> 2] ?? 0;
    const job = (cells >> 2) + Cell.JOB;
    instance.words[job] = ((instance.words[job] ?? 0) + 1) | 0;
    instance.words[(cells >> 2) + Cell.LAST_EXECUTION] = 0;
    this.#free(instance, this.#callKernel(instance, enter, writeNumbers(instance, cells, input)));
    this.#drainJobs(instance);
    this.#rejections.report(instance, (...warning) => this.#warnOfRejection(instance, ...warning));
    const flushed = this.#checked(instance, engine.QTS_Call(context, flush, engine.QTS_GetUndefined(), 0, 0));
    const effects = readEffects(instance, cells, instance.readString(context, flushed), this.#bytesOut);
    this.#free(instance, flushed);
    this.#throwIfStopped(instance);
    // The engine hardly ever collects by itself: it counts sizes that this build does not report. A heap that grew in
    // this turn is collected at the next allocation.
    const words = instance.words;
    if ((words[sbrkWord >> 2] ?? 0) > heapTop) words[gcThresholdWord >> 2] = 0;
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

  #undo(
    request: TurnRequest,
    instance: Instance,
    extent: CheckpointExtent,
    startedAt: number,
    error: unknown,
  ): TurnReply {
    const outOfMemory = instance.outOfMemory ?? (error instanceof OutOfGuestMemory ? "memory" : undefined);
    const reason = this.#stopped ?? outOfMemory ?? (error instanceof TurnStopped ? error.reason : "trap");
    const { memoryKey, maximumPages } = this.#group;
    const { layout } = this.#engine.baseImage;
    const culprit = runningExecution(instance.memory, layout);
    const memory = restoreCheckpoint(instance.memory, this.#checkpoint, extent, layout, maximumPages);
    if (memory !== instance.memory) this.didNotGrow(pageCount(instance.memory) - pageCount(memory));
    // After a trap the stack pointer is off, so the instance goes whatever the cause was.
    this.#instance = Instance.resumeSession(this.#engine, memory, this);
    this.#instances.set(memoryKey, this.#instance);
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
    if (this.#control.stopRequested(this.#place)) this.#stopped = "stopped";
    else if (clock() > this.#deadline) this.#stopped = "budget";
    return this.#stopped !== undefined;
  }

  mayGrow(pages: number): boolean {
    return this.#heaps.sum.grow(this.#heaps.slot, pages);
  }

  didNotGrow(pages: number): void {
    this.#heaps.sum.shrink(this.#heaps.slot, pages);
  }

  readonly onRejection = rejectionCallback((promise, reason, isHandled) => {
    if (this.#instance !== undefined) this.#rejections.note(this.#instance, promise, reason, isHandled);
  });

  dispatch(argc: number, argv: number): number {
    const instance = this.#instance;
    if (instance === undefined || argc < 1) return 0;
    const engine = instance.exports;
    const { context } = this.#engine.baseImage.layout;
    const ask = engine.QTS_GetFloat64(context, argument(argv, 0));
    switch (ask) {
      case Ask.EVALUATE:
        return this.#evaluate(
          instance,
          engine.QTS_GetFloat64(context, argument(argv, 1)),
          argc < 3 ? undefined : instance.readString(context, argument(argv, 2)),
        );
      case Ask.LOG:
        this.#log(engine.QTS_GetFloat64(context, argument(argv, 2)), instance.readString(context, argument(argv, 1)));
        return 0;
      case Ask.IS_PROMISE:
        return engine.QTS_PromiseState(context, argument(argv, 1)) >= 0
          ? engine.QTS_DupValuePointer(context, engine.QTS_GetTrue())
          : 0;
      case Ask.BYTE_LENGTH:
        return engine.QTS_NewFloat64(context, Buffer.byteLength(instance.readString(context, argument(argv, 1))));
      case Ask.STOP:
        this.#stopped ??= KERNEL_STOPS[engine.QTS_GetFloat64(context, argument(argv, 1))] ?? "trap";
        return 0;
      case Ask.INTERRUPT:
        this.#interruptsJob = true;
        return 0;
      case Ask.LOAD_LIBRARY:
        return this.#loadLibrary(instance, instance.readString(context, argument(argv, 1)));
      case Ask.PROMISE_STATE:
        return engine.QTS_NewFloat64(context, engine.QTS_PromiseState(context, argument(argv, 1)));
      case Ask.PROMISE_RESULT:
        return engine.QTS_PromiseResult(context, argument(argv, 1));
      case Ask.CLASS_OF:
        return engine.QTS_NewFloat64(context, classIdOf(instance, argument(argv, 1)));
      case Ask.TAKE_BYTES: {
        const bytes = this.#bytesIn[engine.QTS_GetFloat64(context, argument(argv, 1))];
        return instance.newArrayBuffer(context, bytes ?? new Uint8Array());
      }
      case Ask.KEEP_BYTES:
        this.#bytesOut.push(instance.readArrayBuffer(context, argument(argv, 1)));
        return engine.QTS_NewFloat64(context, this.#bytesOut.length - 1);
      case Ask.TO_BASE64:
        return writeBase64(instance, context, argument(argv, 1));
      case Ask.FROM_BASE64:
        return readBase64(instance, context, argument(argv, 1));
      case Ask.COMPILE_TEMPLATE:
        return this.#evaluator.evaluateTemplate(
          instance,
          instance.readString(context, argument(argv, 1)),
          engine.QTS_GetFloat64(context, argument(argv, 2)),
        );
      default:
        throw new Error(`engine: the kernel asked for ${ask}, which is not known`);
    }
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

  /** @returns an owned `JSValue*`: what the library exports, or the exception that it threw */
  #loadLibrary(instance: Instance, name: string): number {
    const code = this.#engine.libraries.get(name);
    if (code === undefined) throw new Error(`engine: the kernel asked for library ${name}, which is not built`);
    return instance.runBytecode(this.#engine.baseImage.layout.context, code);
  }

  #log(execution: number, text: string): void {
    const had =
      this.#consoleBytesLeft.get(execution) ?? this.#consoleBytes * ENTRY_OVERHEAD.factor + ENTRY_OVERHEAD.bytes;
    if (had < 0) return;
    const left = had - Buffer.byteLength(text);
    this.#consoleBytesLeft.set(execution, left);
    this.#report.console(this.#turn, { execution, text, last: left < 0 });
  }

  #evaluate(instance: Instance, index: number, mark: string | undefined): number {
    const source = this.#sources[index];
    if (source === undefined) throw new Error(`engine: the kernel asked for source ${index}, which did not come`);
    return this.#evaluator.evaluate(instance, source, mark);
  }
}
