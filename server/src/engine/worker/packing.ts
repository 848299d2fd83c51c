/**
 * Batches and replies on their way between threads: flat arrays of what their objects hold. Copying an object to another thread
 * costs several times what copying its values does, and most of what a short turn costs the main thread is that.
 */
import type {
  BatchRequest,
  EncodedInput,
  GroupRequest,
  Source,
  TurnReply,
  TurnRequest,
  UndoReason,
} from "./messages.js";

type Value = number | string | boolean | undefined | Uint8Array | WebAssembly.Memory;

/** A batch or replies; only this file knows how it is laid out. */
export type Packed = readonly Value[];

export function packBatch({ drop, groups }: BatchRequest): Packed {
  const values: Value[] = [drop.length, ...drop, groups.length];
  for (const { memoryKey, sequence, memory, maximumPages, turns } of groups) {
    values.push(memoryKey, sequence, memory, maximumPages, turns.length);
    for (const { turn, budget, consoleBytes, input, sources } of turns) {
      values.push(turn, budget, consoleBytes);
      packInput(values, input);
      values.push(sources.length);
      for (const { code, filename, isTypeScript, bindings } of sources) {
        values.push(code, filename, isTypeScript, bindings.length, ...bindings);
      }
    }
  }
  return values;
}

export function unpackBatch(packed: Packed): BatchRequest {
  const values = new Reader(packed);
  const drop = values.list(() => values.number());
  return { drop, groups: values.list(() => group(values)) };
}

function group(values: Reader): GroupRequest {
  const memoryKey = values.number();
  const sequence = values.number();
  const memory = values.memory();
  const maximumPages = values.number();
  const turns = values.list(() => turnRequest(values));
  return { memoryKey, sequence, maximumPages, turns, ...(memory === undefined ? {} : { memory }) };
}

function turnRequest(values: Reader): TurnRequest {
  return {
    turn: values.number(),
    budget: values.number(),
    consoleBytes: values.number(),
    input: unpackInput(values),
    sources: values.list((): Source => {
      const code = values.text();
      const filename = values.text();
      const isTypeScript = values.boolean();
      return { code, filename, isTypeScript, bindings: values.list(() => values.text()) };
    }),
  };
}

export function packReplies(replies: readonly TurnReply[]): Packed {
  const values: Value[] = [replies.length];
  for (const reply of replies) {
    values.push(reply.kind === "committed", reply.turn, reply.startedAt, reply.cpuTime);
    if (reply.kind === "committed") {
      values.push(reply.handles, reply.heapBytes, reply.nextTimer, reply.owner);
      packInput(values, reply.effects);
    } else values.push(reply.began, reply.reason, reply.message, reply.culprit, reply.memory);
  }
  return values;
}

export function unpackReplies(packed: Packed): TurnReply[] {
  const values = new Reader(packed);
  return values.list(() => {
    const isCommitted = values.boolean();
    const common = { turn: values.number(), startedAt: values.number(), cpuTime: values.number() };
    return isCommitted ? committed(values, common) : undone(values, common);
  });
}

type Common = Pick<TurnReply, "turn" | "startedAt" | "cpuTime">;

function committed(values: Reader, common: Common): TurnReply {
  return {
    ...common,
    kind: "committed",
    handles: values.number(),
    heapBytes: values.number(),
    nextTimer: values.number(),
    owner: values.number(),
    effects: unpackInput(values),
  };
}

function undone(values: Reader, common: Common): TurnReply {
  const began = values.boolean();
  const reason = values.text() as UndoReason;
  const message = values.text();
  const culprit = values.number();
  const memory = values.memory();
  return { ...common, kind: "undone", began, reason, message, culprit, ...(memory === undefined ? {} : { memory }) };
}

/** Of an input, or of effects: both have these fields. */
function packInput(values: Value[], { numbers, text, bytes }: EncodedInput): void {
  values.push(text, numbers.length);
  for (const number of numbers) values.push(number);
  values.push(bytes.length, ...bytes);
}

function unpackInput(values: Reader): EncodedInput {
  const text = values.text();
  const numbers = values.list(() => values.number());
  return { text, numbers, bytes: values.list(() => values.bytes()) };
}

/** Values come out in the order that they were put in. */
class Reader {
  readonly #values: Packed;
  #at = 0;

  constructor(values: Packed) {
    this.#values = values;
  }

  number(): number {
    return this.#values[this.#at++] as number;
  }

  text(): string {
    return this.#values[this.#at++] as string;
  }

  boolean(): boolean {
    return this.#values[this.#at++] as boolean;
  }

  bytes(): Uint8Array {
    return this.#values[this.#at++] as Uint8Array;
  }

  memory(): WebAssembly.Memory | undefined {
    return this.#values[this.#at++] as WebAssembly.Memory | undefined;
  }

  /** Items behind their number. */
  list<T>(item: () => T): T[] {
    const items: T[] = [];
    for (let left = this.number(); left > 0; left--) items.push(item());
    return items;
  }
}
