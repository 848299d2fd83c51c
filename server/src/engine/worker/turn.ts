/**
 * Runs one turn: checkpoint, one entry into the kernel, the job queue until it is empty, effects out; then commits, or puts
 * the pages back.
 */
import { type CompiledScript, compileScript } from "../../compile/script.js";
import { argument } from "./boot.js";
import { type CheckpointExtent, restoreCheckpoint, takeCheckpoint } from "./checkpoint.js";
import { type Control, clock } from "./control.js";
import { EVAL_GLOBAL_ASYNC, Instance, type InstanceHost, OutOfGuestMemory } from "./instance.js";
import { HEAP_START } from "./layout.js";
import type { SharedEngine, Source, TurnReply, TurnRequest, UndoReason } from "./messages.js";

/** What the kernel asks of its dispatcher, by the number it passes first. Mirrored in guest/host.ts. */
const Ask = { EVALUATE: 0, LOG: 1, IS_PROMISE: 2, BYTE_LENGTH: 3, STOP: 4 } as const;

/** Why the kernel itself ends a turn, by the number it passes. Mirrored in guest/host.ts. */
const KERNEL_STOPS = ["valueSize", "handles"] as const;

const JOBS_AT_ONCE = 512;
/** Compiled scripts a worker keeps; when there are more it begins anew. */
const COMPILED_SCRIPTS = 1000;
const LONGEST_KEPT_SOURCE = 65_536;

/** Ends a turn that must be undone; never seen by guest code, which runs on another stack. */
class TurnStopped extends Error {
  constructor(
    readonly reason: UndoReason,
    message: string,
  ) {
    super(message);
  }
}

export class TurnRunner implements InstanceHost {
  readonly #engine: SharedEngine;
  readonly #control: Control;
  readonly #checkpoint: SharedArrayBuffer;
  readonly #onConsole: (turn: number, entry: string, last: boolean) => void;
  readonly #instances = new Map<number, Instance>();
  readonly #scripts = new Map<string, CompiledScript>();
  #instance: Instance | undefined;
  #turn = 0;
  #deadline = 0;
  #stopped: UndoReason | undefined;
  #sources: readonly Source[] = [];
  #consoleBytesLeft = 0;

  /** @param onConsole hears every console entry at once; `last` says that no more of this turn will come */
  constructor(
    engine: SharedEngine,
    control: Control,
    checkpoint: SharedArrayBuffer,
    onConsole: (turn: number, entry: string, last: boolean) => void,
  ) {
    this.#onConsole = onConsole;
    this.#engine = engine;
    this.#control = control;
    this.#checkpoint = checkpoint;
  }

  /** Undefined when the main thread condemned this worker meanwhile: nothing of the turn may be said any more. */
  run(request: TurnRequest): TurnReply | undefined {
    for (const key of request.drop ?? []) this.#instances.delete(key);
    const { layout } = this.#engine.baseImage;
    const instance = this.#instanceFor(request);
    const extent = takeCheckpoint(instance.memory, layout, this.#checkpoint);
    const startedAt = clock();
    this.#instance = instance;
    this.#turn = request.turn;
    this.#deadline = startedAt + request.budget;
    this.#stopped = undefined;
    this.#sources = request.sources;
    this.#consoleBytesLeft = request.consoleBytes;
    this.#control.started(extent, startedAt);
    let effects: string;
    try {
      effects = this.#enter(instance, request.input);
    } catch (error) {
      if (!this.#control.finish(request.turn)) return undefined;
      return this.#undo(request, instance, extent, startedAt, error);
    }
    if (!this.#control.finish(request.turn)) return undefined;
    return {
      kind: "committed",
      turn: request.turn,
      cpuTime: clock() - startedAt,
      effects,
      heapBytes: (instance.words[layout.sbrkWord >> 2] ?? 0) - HEAP_START,
    };
  }

  #instanceFor(request: TurnRequest): Instance {
    const cached = this.#instances.get(request.memoryKey);
    if (cached !== undefined) return cached;
    if (request.memory === undefined) throw new Error(`engine: no memory came with turn ${request.turn}`);
    const instance = Instance.resume(this.#engine, request.memory, this);
    this.#instances.set(request.memoryKey, instance);
    return instance;
  }

  #enter(instance: Instance, input: string): string {
    const engine = instance.exports;
    const { context, enter, flush, sbrkWord, gcThresholdWord } = this.#engine.baseImage.layout;
    const heapTop = instance.words[sbrkWord >> 2] ?? 0;
    this.#free(instance, this.#callKernel(instance, enter, input));
    this.#drainJobs(instance);
    const flushed = this.#checked(instance, engine.QTS_Call(context, flush, engine.QTS_GetUndefined(), 0, 0));
    const effects = instance.readString(context, flushed);
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
    const text = instance.writeText(argument);
    const value = engine.QTS_NewString(context, text.pointer);
    engine.free(text.pointer);
    instance.words[argv >> 2] = value;
    const result = engine.QTS_Call(context, entry, engine.QTS_GetUndefined(), 1, argv);
    engine.QTS_FreeValuePointer(context, value);
    return this.#checked(instance, result);
  }

  #compiled(source: Source): CompiledScript {
    const key = `${source.bindings.join(",")};${source.code}`;
    let script = this.#scripts.get(key);
    if (script === undefined) {
      script = compileScript(source.code, source.bindings);
      if (this.#scripts.size >= COMPILED_SCRIPTS) this.#scripts.clear();
      if (key.length < LONGEST_KEPT_SOURCE) this.#scripts.set(key, script);
    }
    return script;
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
    if (instance.outOfMemory) throw new TurnStopped("memory", "");
  }

  #undo(
    request: TurnRequest,
    instance: Instance,
    extent: CheckpointExtent,
    startedAt: number,
    error: unknown,
  ): TurnReply {
    const outOfMemory = instance.outOfMemory || error instanceof OutOfGuestMemory;
    const reason = this.#stopped ?? (outOfMemory ? "memory" : error instanceof TurnStopped ? error.reason : "trap");
    this.#instances.delete(request.memoryKey);
    const { layout } = this.#engine.baseImage;
    const memory = restoreCheckpoint(instance.memory, this.#checkpoint, extent, layout, request.maximumPages);
    return {
      kind: "undone",
      turn: request.turn,
      cpuTime: clock() - startedAt,
      reason,
      message: error instanceof Error ? error.message : String(error),
      ...(memory === instance.memory ? {} : { memory }),
    };
  }

  /** Once true it stays true for the turn: what the guest catches or finishes meanwhile is undone. */
  shouldInterrupt(): boolean {
    if (this.#stopped !== undefined) return true;
    if (this.#control.stopRequested(this.#turn)) this.#stopped = "stopped";
    else if (clock() > this.#deadline) this.#stopped = "budget";
    return this.#stopped !== undefined;
  }

  dispatch(argc: number, argv: number): number {
    const instance = this.#instance;
    if (instance === undefined || argc < 1) return 0;
    const engine = instance.exports;
    const { context } = this.#engine.baseImage.layout;
    const ask = engine.QTS_GetFloat64(context, argument(argv, 0));
    switch (ask) {
      case Ask.EVALUATE:
        return this.#evaluate(instance, engine.QTS_GetFloat64(context, argument(argv, 1)));
      case Ask.LOG:
        this.#log(instance.readString(context, argument(argv, 1)));
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
      default:
        throw new Error(`engine: the kernel asked for ${ask}, which is not known`);
    }
  }

  #log(entry: string): void {
    if (this.#consoleBytesLeft < 0) return;
    this.#consoleBytesLeft -= Buffer.byteLength(entry);
    this.#onConsole(this.#turn, entry, this.#consoleBytesLeft < 0);
  }

  #evaluate(instance: Instance, index: number): number {
    const source = this.#sources[index];
    if (source === undefined) throw new Error(`engine: the kernel asked for source ${index}, which did not come`);
    const engine = instance.exports;
    const { context, declare } = this.#engine.baseImage.layout;
    const script = this.#compiled(source);
    if (script.variables.length + script.constants.length > 0) {
      this.#free(instance, this.#callKernel(instance, declare, JSON.stringify([script.variables, script.constants])));
    }
    const code = instance.writeText(script.source);
    const name = instance.writeText(source.filename);
    const result = engine.QTS_Eval(context, code.pointer, code.length, name.pointer, 0, EVAL_GLOBAL_ASYNC);
    engine.free(code.pointer);
    engine.free(name.pointer);
    return result;
  }
}
