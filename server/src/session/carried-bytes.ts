/**
 * What requests carry that have not been answered: code and values, of all sessions together. Each queue is bounded by a number, and a
 * thousand messages of the largest size would be more than the process can hold.
 */
import { getHeapStatistics } from "node:v8";
import type { InputValue } from "../engine/kernel-protocol.js";
import { SessionError } from "./errors.js";
import type { Command, CommandOptions, Execution } from "./execution.js";
import type { CreateOptions } from "./session-setup.js";

/** On its way a message is there several times: as it comes, decoded, and for its turn. */
const PART_OF_HEAP = 1 / 8;
/** What is kept of each beside what it carries, about, in bytes. */
const BESIDE = 4 * 1024;
/** Smaller ones have as much room again: who carries much refuses nobody a small call. */
const SMALL = 16 * 1024;
/** A refused one is worth another try about when some have been answered, in milliseconds. */
const RETRY = 100;

export class CarriedBytes {
  readonly #most: number;
  #bytes = 0;

  /** @param most bytes that all may carry together; default: an eighth of what the heap of the process may grow to */
  constructor(most = getHeapStatistics().heap_size_limit * PART_OF_HEAP) {
    this.#most = most;
  }

  /**
   * Begins an execution, and counts what it carries until it has its outcome.
   *
   * @param isLetIn it is counted, and not refused
   * @throws SessionError QUEUE_FULL
   */
  begin(command: Command, options: CommandOptions, isLetIn: boolean, begin: () => Execution): Execution {
    const size = BESIDE + sizeOfCommand(command) + sizeOfValues(options.locals?.values());
    if (!isLetIn) this.#check(size);
    const execution = begin();
    this.#bytes += size;
    const over = (): void => {
      this.#bytes -= size;
    };
    execution.outcome.then(over, over);
    return execution;
  }

  /**
   * Makes a session, and counts what is put into it until it is there.
   *
   * @param isLetIn it is counted, and not refused
   * @throws SessionError QUEUE_FULL
   */
  async create<T>(options: CreateOptions, isLetIn: boolean, create: () => Promise<T>): Promise<T> {
    const { setup, globals, modules } = options;
    const size = BESIDE + setup.length + sizeOfValues(globals.values()) + sizeOfTexts(modules.values());
    if (!isLetIn) this.#check(size);
    this.#bytes += size;
    try {
      return await create();
    } finally {
      this.#bytes -= size;
    }
  }

  #check(size: number): void {
    // Alone it may be larger: it is not to be refused for ever.
    if (this.#bytes === 0 || this.#bytes + size <= (size < SMALL ? 2 : 1) * this.#most) return;
    const message = `the requests in flight take ${this.#bytes} bytes with the code and values that they carry, and with the ${size} of this one it would be more than the server keeps; wait for some of them, or have it started with a larger heap`;
    throw new SessionError("QUEUE_FULL", message, { retryAfter: RETRY });
  }
}

/** Bytes, about: of texts the number of their characters. */
function sizeOfCommand(command: Command): number {
  switch (command.kind) {
    case "execute":
      return command.code.length + sizeOfValues(command.bindings.values()) + sizeOfTexts(command.modules?.values());
    case "call":
      return sizeOfValues(command.args) + sizeOfValue(command.thisValue);
    case "render":
      return (
        (command.source?.length ?? 0) + sizeOfValues(command.context.values()) + sizeOfTexts(command.templates.values())
      );
  }
}

function sizeOfTexts(texts: Iterable<string> = []): number {
  let size = 0;
  for (const { length } of texts) size += length;
  return size;
}

function sizeOfValues(values: Iterable<InputValue> = []): number {
  let size = 0;
  for (const value of values) size += sizeOfValue(value);
  return size;
}

function sizeOfValue(value: InputValue | undefined): number {
  switch (value?.kind) {
    case "json":
    case "graph":
      return value.text.length;
    case "bytes":
      return value.bytes.length;
    default:
      return 0;
  }
}
