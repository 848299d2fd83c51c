import { LivescopeError } from "./errors.js";
import type { ExecutionPromise } from "./execution.js";
import { ExecutionStream, type StreamSink, type StreamSource } from "./execution-stream.js";
import type { StartedCommand } from "./transport/commands.js";

/** What of a call is wanted: its result, what it emits meanwhile, or what its result iterates over. */
type Wanted = "result" | "emitted" | "items";

/**
 * How the values of a call are taken. It has to be known when the call is sent, and is said by the code that makes the call
 * before it waits for anything: so the call keeps its place in the order, and is sent once that code has said all it had to say.
 */
export class Reading {
  wants: Wanted = "result";
  #sink: StreamSink | undefined;
  #command: StartedCommand | undefined;
  #isSettled = false;

  constructor() {
    // The same for all transports, however late the call is sent.
    queueMicrotask(() => this.settle());
  }

  /** The call takes no other wish any more. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** Takes values as they come. */
  take(wants: Wanted, sink: StreamSink): void {
    this.#isSettled = true;
    this.wants = wants;
    this.#sink = sink;
    if (this.#command !== undefined) sink.started(this.#command);
  }

  onStarted(command: StartedCommand): void {
    this.#command = command;
    this.#sink?.started(command);
  }

  /** @returns who takes the values; undefined if nobody does */
  settle(): StreamSink | undefined {
    this.#isSettled = true;
    return this.#sink;
  }
}

/** Reads values that come, and lets go of what nobody gets to see. */
export type GuestExecutionSource = Pick<StreamSource<unknown>, "read" | "drop">;

/** The call of a guest's function; see {@link GuestCall}, which is what the types show of it. */
export interface GuestExecution<T> extends ExecutionPromise<T> {
  /** @throws {LivescopeError} if the call was sent without anybody to take its values, or they are taken already */
  stream<E>(): ExecutionStream<E, T>;
  [Symbol.asyncIterator](): AsyncIterableIterator<unknown>;
}

/** Has the promise of a call's value take the call's other values, too. */
export function guestExecution<T>(
  call: ExecutionPromise<T>,
  reading: Reading,
  source: GuestExecutionSource,
): GuestExecution<T> {
  const take = <E>(wants: Wanted): ExecutionStream<E, T> => {
    if (reading.isSettled) {
      throw new LivescopeError(
        "the call is on its way already, or its values are taken: ask for them in the same expression that makes the call, " +
          "as in `for await (const value of guest.rows())`",
      );
    }
    return new ExecutionStream<E, T>({
      ...source,
      run: (sink) => {
        reading.take(wants, sink);
        return call.execution();
      },
    });
  };
  return Object.assign(call, {
    stream: <E>() => take<E>("emitted"),
    [Symbol.asyncIterator]: () => {
      const isSent = reading.isSettled && reading.wants === "result";
      return isSent ? iterateResult(call) : take<unknown>("items");
    },
  });
}

/** Iterates over what a call gave: here if it was copied, in the session if it stayed there. */
async function* iterateResult(call: Promise<unknown>): AsyncGenerator<unknown, void, void> {
  yield* (await call) as AsyncIterable<unknown>;
}
