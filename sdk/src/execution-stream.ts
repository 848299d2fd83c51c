import type { Value as WireValue } from "@livescope/proto";
import type { Execution } from "./execution.js";
import { FIRST_CREDIT, type StartedCommand } from "./transport/commands.js";

/** Values are taken in lots: saying so costs the server a turn. */
const LOT = FIRST_CREDIT / 2;

/** What a stream needs of who runs its execution. */
export interface StreamSource<R> {
  /** Begins it. `sink` takes what comes; the promise is the end. */
  run(sink: StreamSink): Promise<Execution<R>>;
  /** Reads a value, once. */
  read(value: WireValue): unknown;
  /** Lets go of a value that was read and that nobody gets to see. */
  drop(value: unknown): void;
}

/** What an execution tells its stream. */
export interface StreamSink {
  started(command: StartedCommand): void;
  emitted(value: WireValue): void;
}

/**
 * The values that an execution emits, as they come: those given to `emit`, and the yields of a generator that the code returned.
 *
 *     const stream = session.stream<number>("(function* () { yield 1; yield 2; return 'end' })()");
 *     for await (const n of stream) console.log(n);
 *     const { value } = await stream.execution();
 *
 * The execution runs no further ahead than some values: who reads slowly, or not at all, makes it wait. Leaving the loop early
 * ends the execution. What it fails with is thrown where it is read, after the values that came before.
 */
export class ExecutionStream<T, R = unknown> implements AsyncIterableIterator<T, R | undefined>, AsyncDisposable {
  readonly #source: StreamSource<R>;
  readonly #execution: Promise<Execution<R>>;
  /** Values that came and were not taken; what could not be read is thrown when its turn comes. */
  readonly #values: Promise<T>[] = [];
  readonly #readers: ((next: Promise<IteratorResult<T, R | undefined>>) => void)[] = [];
  #command: StartedCommand | undefined;
  #taken = 0;
  /** Nothing more will come. */
  #isEnded = false;
  /** Nothing more is read. */
  #isLeft = false;

  /** @internal */
  constructor(source: StreamSource<R>) {
    this.#source = source;
    this.#execution = source.run({
      started: (command) => {
        this.#command = command;
        if (this.#isLeft) command.cancel();
      },
      emitted: (value) => this.#onEmitted(value),
    });
    const ended = (): void => {
      this.#isEnded = true;
      for (const give of this.#readers.splice(0)) give(this.next());
    };
    this.#execution.then(ended, ended);
  }

  /** Gives the next value. At the end `value` is the execution's own. */
  async next(): Promise<IteratorResult<T, R | undefined>> {
    if (this.#isLeft) return { done: true, value: undefined };
    const value = this.#values.shift();
    if (value !== undefined) {
      if (++this.#taken % LOT === 0) this.#command?.allow(LOT);
      try {
        return { done: false, value: await value };
      } catch (error) {
        // A loop that is given this has ended, and does not say so: nobody would take what comes, and the execution would wait.
        void this.return();
        throw error;
      }
    }
    if (!this.#isEnded) return new Promise((give) => this.#readers.push(give));
    this.#isLeft = true;
    return { done: true, value: (await this.#execution).value };
  }

  /** Ends the execution, and waits until it has ended. */
  async return(): Promise<IteratorResult<T, R | undefined>> {
    if (!this.#isLeft) {
      this.#isLeft = true;
      for (const value of this.#values.splice(0)) this.#drop(value);
      if (!this.#isEnded) this.#command?.cancel();
      await this.#execution.catch(() => undefined);
      for (const give of this.#readers.splice(0)) give(this.next());
    }
    return { done: true, value: undefined };
  }

  /**
   * Gives the whole execution when it has ended: value, console, usage and the rest. It does not read: the values have to be
   * taken for it to end.
   * @throws as `session.execute`; StoppedError with reason CANCELLED if the loop was left early
   */
  execution(): Promise<Execution<R>> {
    return this.#execution;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends the execution if it has not ended; see `return`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #onEmitted(wire: WireValue): void {
    // Read as it comes, while its call is under way: a handle in it is a reference from now on.
    const value = new Promise<T>((resolve) => resolve(this.#source.read(wire) as T));
    value.catch(() => undefined);
    if (this.#isLeft) return this.#drop(value);
    this.#values.push(value);
    this.#readers.shift()?.(this.next());
  }

  /** What could not be read is nobody's to see either. */
  #drop(value: Promise<T>): void {
    value.then(
      (read) => this.#source.drop(read),
      () => undefined,
    );
  }
}
