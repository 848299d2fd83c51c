/**
 * The way of the commonest messages between the main thread and a worker: a batch of one turn that carries nothing but numbers and
 * text, and the answer to it. The text is posted; the numbers stand in words that both threads share, since of an object each name
 * would be written, read and looked up on its way. At most one such message is under way in each direction: a worker is given a batch
 * when it has answered the one before, and what it is given in this way has one answer.
 */
import { CELLS_FOR_NUMBERS } from "./layout.js";
import type { BatchRequest, TurnReply } from "./messages.js";

/** Where the numbers of a request and of a reply begin, in words. Before them stand those that have fractions or count for ever. */
const REQUEST = 10;
const REPLY = 96;
const WORDS = 192;
const Float = { MEMORY_KEY: 0, SEQUENCE: 1, BUDGET: 2, STARTED_AT: 3, CPU_TIME: 4 } as const;

export class Mailbox {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #floats: Float64Array;

  constructor(buffer = new SharedArrayBuffer(WORDS * 4)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#floats = new Float64Array(buffer);
  }

  /** Main thread: the text to post to the worker, which is free; undefined for a request that has to be posted as it is. */
  writeRequest({ drop, groups }: BatchRequest): string | undefined {
    const [group] = groups;
    if (groups.length !== 1 || group === undefined || group.memory !== undefined || drop.length > 0) return undefined;
    const [request] = group.turns;
    if (group.turns.length !== 1 || request === undefined || request.sources.length > 0) return undefined;
    const { numbers, text, bytes } = request.input;
    if (bytes.length > 0 || numbers.length > CELLS_FOR_NUMBERS) return undefined;
    const [words, floats] = [this.#words, this.#floats];
    floats[Float.MEMORY_KEY] = group.memoryKey;
    floats[Float.SEQUENCE] = group.sequence;
    floats[Float.BUDGET] = request.budget;
    words[REQUEST] = group.maximumPages;
    words[REQUEST + 1] = request.turn;
    words[REQUEST + 2] = request.consoleBytes;
    this.#writeNumbers(REQUEST + 3, numbers);
    return text;
  }

  /** Worker: the request whose text was posted. */
  readRequest(text: string): BatchRequest {
    const [words, floats] = [this.#words, this.#floats];
    const turn = {
      turn: words[REQUEST + 1] as number,
      input: { numbers: this.#readNumbers(REQUEST + 3), text, bytes: [] },
      sources: [],
      budget: floats[Float.BUDGET] as number,
      consoleBytes: words[REQUEST + 2] as number,
    };
    const group = {
      memoryKey: floats[Float.MEMORY_KEY] as number,
      sequence: floats[Float.SEQUENCE] as number,
      maximumPages: words[REQUEST] as number,
      turns: [turn],
    };
    return { drop: [], groups: [group] };
  }

  /** Worker: the text to post in answer to a request that came as text; undefined for replies that have to be posted as they are. */
  writeReplies(replies: readonly TurnReply[]): string | undefined {
    const [reply] = replies;
    if (replies.length !== 1 || reply?.kind !== "committed") return undefined;
    const { numbers, text, bytes } = reply.effects;
    if (bytes.length > 0 || numbers.length > CELLS_FOR_NUMBERS) return undefined;
    const words = this.#words;
    words[REPLY] = reply.turn;
    words[REPLY + 1] = reply.handles;
    words[REPLY + 2] = reply.heapBytes;
    words[REPLY + 3] = reply.nextTimer;
    words[REPLY + 4] = reply.nextTimerOwner;
    words[REPLY + 5] = reply.owner;
    this.#floats[Float.STARTED_AT] = reply.startedAt;
    this.#floats[Float.CPU_TIME] = reply.cpuTime;
    this.#writeNumbers(REPLY + 6, numbers);
    return text;
  }

  /** Main thread: the replies whose text was posted. */
  readReplies(text: string): TurnReply[] {
    const words = this.#words;
    return [
      {
        kind: "committed",
        turn: words[REPLY] as number,
        startedAt: this.#floats[Float.STARTED_AT] as number,
        cpuTime: this.#floats[Float.CPU_TIME] as number,
        effects: { numbers: this.#readNumbers(REPLY + 6), text, bytes: [] },
        handles: words[REPLY + 1] as number,
        heapBytes: words[REPLY + 2] as number,
        nextTimer: words[REPLY + 3] as number,
        nextTimerOwner: words[REPLY + 4] as number,
        owner: words[REPLY + 5] as number,
      },
    ];
  }

  #writeNumbers(at: number, numbers: readonly number[]): void {
    this.#words[at] = numbers.length;
    for (let i = 0; i < numbers.length; i++) this.#words[at + 1 + i] = numbers[i] as number;
  }

  #readNumbers(at: number): number[] {
    const numbers: number[] = [];
    for (let i = 0, count = this.#words[at] as number; i < count; i++) numbers.push(this.#words[at + 1 + i] as number);
    return numbers;
  }
}
