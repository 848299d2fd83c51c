/** What the kernel asks while a turn runs: to run a source, to send a console entry, what an object is, to end the turn. */
import { argument } from "./boot.js";
import { BytesRoom } from "./bytes-room.js";
import { clock } from "./control.js";
import { readBase64, writeBase64 } from "./crossing.js";
import { GraphWriter } from "./graph-writer.js";
import { GuestValues, NotWritten } from "./guest-values.js";
import type { Instance } from "./instance.js";
import type { TextOut } from "./long-strings.js";
import type { ConsoleText, SharedEngine, Source, TurnRequest, UndoReason } from "./messages.js";
import { classIdOf } from "./object-classes.js";
import { PlainWriter } from "./plain-writer.js";
import { SourceEvaluator } from "./source-evaluator.js";

/** What the kernel asks of its dispatcher, by the number it passes first. Mirrored in guest/host.ts and guest/host-asks.ts. */
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
  KEEP_STRING: 15,
  JSON_LENGTH: 16,
  KEEP_OBJECT: 17,
  WRITE_PLAIN: 18,
  COMPILE_TEMPLATE: 20,
  CLOCK: 21,
} as const;

/** Why the kernel itself ends a turn, by the number it passes. Mirrored in guest/host.ts. */
const KERNEL_STOPS = ["valueSize", "handles"] as const;

/** An entry is JSON text: larger than what it says. Who takes it counts exactly; this only holds a flood of small ones. */
const ENTRY_OVERHEAD = { factor: 2, bytes: 4096 };

/** What the kernel asks for that is the turn's affair. */
export interface KernelAsksHost {
  /** The turn is to be undone. Of several reasons the first counts. */
  stop(reason: UndoReason): void;
  /** The job that runs is to be unwound; the turn goes on with the next. */
  interruptJob(): void;
  console(entry: ConsoleText): void;
}

/**
 * Characters of JSON text that are written for the kernel in one turn: one value of any size, and some more. What is beyond it writes
 * itself, in the memory of its session, which bounds that.
 */
const STRINGS = 4 << 20;

export class KernelAsks {
  readonly #engine: SharedEngine;
  readonly #host: KernelAsksHost;
  readonly #evaluator: SourceEvaluator;
  #sources: readonly Source[] = [];
  #bytesIn: readonly Uint8Array[] = [];
  #bytesOut: Uint8Array[] = [];
  #textsOut: TextOut[] = [];
  /** Characters of JSON text that may still be written for it in this turn. */
  #textLeft = 0;
  readonly #room = new BytesRoom();
  readonly #plain: PlainWriter;
  readonly #graph: GraphWriter;
  #consoleBytes = 0;
  /** Bytes that an execution's console may still take in this turn, by its number. */
  readonly #consoleBytesLeft = new Map<number, number>();

  constructor(engine: SharedEngine, host: KernelAsksHost) {
    this.#engine = engine;
    this.#host = host;
    this.#evaluator = new SourceEvaluator(engine.baseImage.layout);
    const values = new GuestValues(engine.baseImage.layout);
    this.#plain = new PlainWriter(values);
    this.#graph = new GraphWriter(values);
  }

  /** A batch begins: what came out of the one before was taken. */
  beginBatch(): void {
    this.#room.clear();
  }

  /** The turn that asks from now on. */
  begin({ sources, input, consoleBytes }: Pick<TurnRequest, "sources" | "input" | "consoleBytes">): void {
    this.#sources = sources;
    this.#bytesIn = input.bytes;
    this.#bytesOut = [];
    this.#textsOut = [];
    this.#textLeft = STRINGS;
    this.#consoleBytes = consoleBytes;
    this.#consoleBytesLeft.clear();
  }

  /** Byte strings that the kernel gave out in this turn. */
  get bytesOut(): readonly Uint8Array[] {
    return this.#bytesOut;
  }

  /** Texts of what the host has written in its place. */
  get textsOut(): readonly TextOut[] {
    return this.#textsOut;
  }

  /** The turn is over: what it gave out is not kept from here. */
  end(): void {
    this.#bytesOut = [];
    this.#textsOut = [];
  }

  /**
   * @param argv address of what it asks: `argc` values of the guest, at least one
   * @returns an owned `JSValue*`; 0 for undefined
   */
  answer(instance: Instance, argc: number, argv: number): number {
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
        this.#host.stop(KERNEL_STOPS[engine.QTS_GetFloat64(context, argument(argv, 1))] ?? "trap");
        return 0;
      case Ask.INTERRUPT:
        this.#host.interruptJob();
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
        this.#bytesOut.push(instance.readArrayBuffer(context, argument(argv, 1), (size) => this.#room.place(size)));
        return engine.QTS_NewFloat64(context, this.#bytesOut.length - 1);
      case Ask.JSON_LENGTH: {
        const json = this.#jsonOf(instance, argv);
        return engine.QTS_NewFloat64(context, json === undefined ? Number.POSITIVE_INFINITY : Buffer.byteLength(json));
      }
      case Ask.KEEP_STRING: {
        const length = engine.QTS_GetFloat64(context, argument(argv, 2));
        const json = length > this.#textLeft ? undefined : this.#jsonOf(instance, argv);
        return engine.QTS_NewFloat64(context, json === undefined ? -1 : this.#keep({ arm: "json", text: json }));
      }
      case Ask.KEEP_OBJECT:
        return engine.QTS_NewFloat64(context, this.#keepObject(instance, argv));
      case Ask.WRITE_PLAIN: {
        const limit = engine.QTS_GetFloat64(context, argument(argv, 2));
        const text = this.#plain.write(instance, argument(argv, 1), limit < 0, Math.min(Math.abs(limit), STRINGS));
        return typeof text === "string" ? instance.newString(context, text) : engine.QTS_NewFloat64(context, text);
      }
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
      case Ask.CLOCK:
        return engine.QTS_NewFloat64(context, clock());
      default:
        throw new Error(`engine: the kernel asked for ${ask}, which is not known`);
    }
  }

  /** The number of the text that was written of a value, or why there is none. A limit below zero is of a value for people. */
  #keepObject(instance: Instance, argv: number): number {
    const given = instance.exports.QTS_GetFloat64(this.#engine.baseImage.layout.context, argument(argv, 2));
    const value = argument(argv, 1);
    // What it takes to write a value is not the session's.
    const limit = Math.min(Math.abs(given), this.#textLeft);
    const text = this.#plain.write(instance, value, given < 0, limit);
    if (typeof text === "string") return this.#keep({ arm: "json", text });
    const graph = text === NotWritten.NOT_PLAIN && given > 0 ? this.#graph.write(instance, value, limit) : text;
    return typeof graph === "string" ? this.#keep({ arm: "graph", text: graph }) : text;
  }

  /** The number of a text that leaves with the effects of the turn; -1 where enough have been written in it. */
  #keep(out: TextOut): number {
    if (out.text.length > this.#textLeft) return -1;
    this.#textLeft -= out.text.length;
    return this.#textsOut.push(out) - 1;
  }

  /** JSON text of the string that is asked of, its length beside it; undefined where it holds NUL, at which it would be cut. */
  #jsonOf(instance: Instance, argv: number): string | undefined {
    const { context } = this.#engine.baseImage.layout;
    const string = instance.readString(context, argument(argv, 1));
    return string.length === instance.exports.QTS_GetFloat64(context, argument(argv, 2))
      ? JSON.stringify(string)
      : undefined;
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
    this.#host.console({ execution, text, last: left < 0 });
  }

  #evaluate(instance: Instance, index: number, mark: string | undefined): number {
    const source = this.#sources[index];
    if (source === undefined) throw new Error(`engine: the kernel asked for source ${index}, which did not come`);
    return this.#evaluator.evaluate(instance, source, mark);
  }
}
