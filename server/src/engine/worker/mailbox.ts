/**
 * The way of the commonest messages between the main thread and a worker: batches whose turns carry nothing but numbers and text, and
 * the answers to turns. The texts are posted, as one; the numbers stand in memory that both threads share, since of an object each name
 * would be written, read and looked up on its way.
 *
 * A worker is given a batch when it has answered the one before, so one request is under way at a time. Of replies there may be several:
 * each stands behind the one before, and as they are read in the order in which they were posted, nobody has to be told where.
 */
import { CELLS_FOR_NUMBERS } from "./layout.js";
import { type BatchRequest, MAXIMUM_BATCH, type TurnReply } from "./messages.js";
import { partOf } from "./text-part.js";

/** What is told at most of a group, of a turn and of a reply beside its own numbers, in numbers. Strings have numbers of theirs among those. */
const OF_GROUP = 4;
const OF_TURN = 6;
const OF_REPLY = 10;
/** Each turn in a group of its own; each answered by itself, with the number of those that are answered together before it. */
const REQUEST = 1 + MAXIMUM_BATCH * (OF_GROUP + OF_TURN + 2 * CELLS_FOR_NUMBERS);
const REPLIES = MAXIMUM_BATCH * (1 + OF_REPLY + CELLS_FOR_NUMBERS);

type Committed = TurnReply & { readonly kind: "committed" };

export class Mailbox {
  readonly buffer: SharedArrayBuffer;
  readonly #request: Cursor;
  readonly #replies: Cursor;

  constructor(buffer = new SharedArrayBuffer((REQUEST + REPLIES) * Float64Array.BYTES_PER_ELEMENT)) {
    this.buffer = buffer;
    const numbers = new Float64Array(buffer);
    this.#request = new Cursor(numbers.subarray(0, REQUEST));
    this.#replies = new Cursor(numbers.subarray(REQUEST));
  }

  /** A batch is about to be posted, or has come: the one before was answered. */
  beginBatch(): void {
    this.#replies.at = 0;
  }

  /** Main thread: the text to post to the worker, which is free; undefined for a request that has to be posted as it is. */
  writeRequest({ drop, groups }: BatchRequest): string | undefined {
    if (drop.length > 0) return undefined;
    const to = this.#request;
    let text = "";
    to.at = 0;
    to.put(groups.length);
    for (const { memory, memoryKey, sequence, maximumPages, turns } of groups) {
      if (memory !== undefined) return undefined;
      to.put(memoryKey);
      to.put(sequence);
      to.put(maximumPages);
      to.put(turns.length);
      for (const { turn, input, sources, budget, consoleBytes } of turns) {
        if (sources.length > 0 || !isPlain(input)) return undefined;
        to.put(turn);
        to.put(budget);
        to.put(consoleBytes);
        to.put(input.text.length);
        to.putAll(input.numbers);
        to.putAll(input.strings);
        text += input.text;
      }
    }
    return text;
  }

  /** Worker: the request whose text was posted. */
  readRequest(text: string): BatchRequest {
    const from = this.#request;
    from.at = 0;
    const groups = [];
    let begin = 0;
    for (let left = from.take(); left > 0; left--) {
      const memoryKey = from.take();
      const sequence = from.take();
      const maximumPages = from.take();
      const turns = [];
      for (let others = from.take(); others > 0; others--) {
        const turn = from.take();
        const budget = from.take();
        const consoleBytes = from.take();
        const end = begin + from.take();
        const numbers = from.takeAll();
        const input = { numbers, text: text.slice(begin, end), strings: from.takeAll(), bytes: [] };
        turns.push({ turn, input, sources: [], budget, consoleBytes });
        begin = end;
      }
      groups.push({ memoryKey, sequence, maximumPages, turns });
    }
    return { drop: [], groups };
  }

  /** Worker: the text to post for replies, none of which is told twice; undefined for those that have to be posted as they are. */
  writeReplies(replies: readonly TurnReply[]): string | undefined {
    if (!replies.every(isPlainReply)) return undefined;
    const to = this.#replies;
    let text = "";
    to.put(replies.length);
    for (const reply of replies) {
      const { effects } = reply;
      to.put(reply.turn);
      to.put(reply.startedAt);
      to.put(reply.cpuTime);
      to.put(reply.handles);
      to.put(reply.heapBytes);
      to.put(reply.nextTimer);
      to.put(reply.nextTimerOwner);
      to.put(reply.owner);
      to.put(effects.text.length);
      to.putAll(effects.numbers);
      text += effects.text;
    }
    return text;
  }

  /** Main thread: the replies whose text was posted. */
  readReplies(text: string): TurnReply[] {
    const from = this.#replies;
    const replies: TurnReply[] = [];
    let begin = 0;
    for (let left = from.take(); left > 0; left--) {
      const turn = from.take();
      const startedAt = from.take();
      const cpuTime = from.take();
      const handles = from.take();
      const heapBytes = from.take();
      const nextTimer = from.take();
      const nextTimerOwner = from.take();
      const owner = from.take();
      const end = begin + from.take();
      const effects = { numbers: from.takeAll(), text: partOf(text, begin, end), bytes: [] };
      replies.push({
        kind: "committed",
        turn,
        startedAt,
        cpuTime,
        effects,
        handles,
        heapBytes,
        nextTimer,
        nextTimerOwner,
        owner,
      });
      begin = end;
    }
    return replies;
  }
}

function isPlain({ numbers, bytes }: Committed["effects"]): boolean {
  return bytes.length === 0 && numbers.length <= CELLS_FOR_NUMBERS;
}

function isPlainReply(reply: TurnReply): reply is Committed {
  return reply.kind === "committed" && isPlain(reply.effects);
}

/** Numbers that are written or read one after the other. */
class Cursor {
  at = 0;
  readonly #numbers: Float64Array;

  constructor(numbers: Float64Array) {
    this.#numbers = numbers;
  }

  put(number: number): void {
    if (this.at === this.#numbers.length) throw new Error("engine: more numbers than the mailbox holds");
    this.#numbers[this.at++] = number;
  }

  take(): number {
    return this.#numbers[this.at++] as number;
  }

  /** So many, and how many they are before them. */
  putAll(numbers: readonly number[]): void {
    this.put(numbers.length);
    for (let i = 0; i < numbers.length; i++) this.put(numbers[i] as number);
  }

  takeAll(): number[] {
    const numbers: number[] = [];
    for (let left = this.take(); left > 0; left--) numbers.push(this.take());
    return numbers;
  }
}
