import { AsyncResource } from "node:async_hooks";
import { Encoding, type ConsoleEntry as WireConsoleEntry, type Execution as WireExecution } from "@livescope/proto";
import { calledHere, LivescopeError, StatusError, traceToCaller } from "./errors.js";
import { type Execution, type ExecutionPromise, executionPromise, readConsoleEntry } from "./execution.js";
import { ExecutionStream, type StreamSink } from "./execution-stream.js";
import { type GuestExecution, type GuestExecutionSource, guestExecution, Reading } from "./guest-execution.js";
import { placeOf } from "./guest-place.js";
import { Handle } from "./handle.js";
import type { Lifetime } from "./lifetime.js";
import type { CallOptions, ExecuteOptions, RenderContext, RenderOptions, Template } from "./options.js";
import { readDetails, readResult, readValue, type WrapHandle } from "./outcome.js";
import { type CallTarget, type ExecutorSession, type GuestCommand, Requests, type Written } from "./requests.js";
import type { AnyCommand, CommandListener, CommandTransport, Sending, StartedCommand } from "./transport/commands.js";
import { waitFor } from "./waiting.js";
import { assertNotAborted } from "./when-aborted.js";

/** How much longer than the execution's own timeout an answer is waited for, in milliseconds. */
const DEADLINE_GRACE = 1_000;

/** Who hears of an execution before its end, and what stands for handles in its values. */
interface Taking {
  readonly sink?: StreamSink | undefined;
  readonly started?: ((command: StartedCommand) => void) | undefined;
  readonly wrap?: WrapHandle | undefined;
  /** Whose stack tells who asked; undefined where that was not noted. */
  readonly caller?: Error | undefined;
}

/** What an execution told beside its value. Most ask for the value alone, so it is read for whoever asks. */
class Answer {
  execution: WireExecution | undefined;

  readonly whole = <T>(value: T): Execution<T> => {
    const details = readDetails(this.execution as WireExecution);
    this.execution = undefined;
    return { ...details, value };
  };
}

/** Sends code to run, and makes a value or an error of what became of it. */
export class Executor {
  readonly #commands: CommandTransport;
  readonly #lifetime: Lifetime;
  readonly #session: ExecutorSession | undefined;
  readonly #requests: Requests;

  /** @param lifetime its end gives up what is under way. Without `session` every execution has a session of its own. */
  constructor(commands: CommandTransport, lifetime: Lifetime, session?: ExecutorSession) {
    this.#commands = commands;
    this.#lifetime = lifetime;
    this.#session = session;
    this.#requests = new Requests(session);
  }

  /** @param wrap makes what stands for handles in the value */
  execute<T>(code: string, given: ExecuteOptions, encoding = Encoding.FULL, wrap?: WrapHandle): ExecutionPromise<T> {
    const options = this.#requests.repeatable(given);
    return this.#promise(options, () => this.#requests.execute(code, options, encoding, wrap), {
      wrap,
      caller: calledHere(),
    });
  }

  call<T>(
    target: CallTarget,
    args: readonly unknown[],
    given: CallOptions,
    encoding = Encoding.FULL,
    wrap?: WrapHandle,
  ): ExecutionPromise<T> {
    const options = this.#requests.repeatable(given);
    return this.#promise(options, () => this.#requests.call(target, args, options, encoding, wrap), {
      wrap,
      caller: calledHere(),
    });
  }

  /** Calls a guest's function. How its values are taken may be said as long as the running code does not wait. */
  callGuest<T>(make: () => GuestCommand, options: CallOptions, wrap: WrapHandle): GuestExecution<T> {
    const reading = new Reading();
    const write = (): Written => this.#requests.callGuest(make(), options, reading, wrap);
    const started = (command: StartedCommand): void => reading.onStarted(command);
    const execution = this.#promise<T>(options, write, { started, wrap, caller: calledHere() });
    return guestExecution(execution, reading, this.#reader(wrap));
  }

  streamExecute<T, R>(code: string, options: ExecuteOptions, wrap?: WrapHandle): ExecutionStream<T, R> {
    return this.#stream(options, () => this.#requests.execute(code, options, Encoding.FULL, wrap), wrap);
  }

  streamCall<T, R>(target: CallTarget, args: readonly unknown[], options: CallOptions): ExecutionStream<T, R> {
    return this.#stream(options, () => this.#requests.call(target, args, options, Encoding.FULL));
  }

  render(template: Template, context: RenderContext, given: RenderOptions): ExecutionPromise<string> {
    const options = this.#requests.repeatable(given);
    return this.#promise(options, () => this.#requests.render(template, context, options, false), {
      caller: calledHere(),
    });
  }

  streamRender(template: Template, context: RenderContext, options: RenderOptions): ExecutionStream<string, undefined> {
    return this.#stream(options, () => this.#requests.render(template, context, options, true));
  }

  #promise<T>(options: CallOptions, write: () => Written, taking: Taking): ExecutionPromise<T> {
    const answer = new Answer();
    return executionPromise(this.#run<T>(options, write, taking, answer), answer.whole);
  }

  #stream<T, R>(options: CallOptions, write: () => Written, wrap?: WrapHandle): ExecutionStream<T, R> {
    const caller = new Error("called here");
    return new ExecutionStream<T, R>({
      ...this.#reader(wrap),
      run: (sink) => this.#promise<R>(options, write, { sink, started: sink.started, wrap, caller }).execution(),
    });
  }

  /** What reads the values of a stream. */
  #reader(wrap: WrapHandle | undefined): GuestExecutionSource {
    return {
      read: (value) => readValue(value, this.#session?.handles, wrap),
      drop: (value) => {
        const handle = value instanceof Handle ? value : placeOf(value)?.handle;
        // Nobody waits for it: should it fail, the handle is let go with its group or its session.
        handle?.release().catch(() => undefined);
      },
    };
  }

  /** @param answer takes what comes beside the value */
  async #run<T>(options: CallOptions, write: () => Written, taking: Taking, answer: Answer): Promise<T> {
    const session = this.#session;
    try {
      this.#lifetime.assertUsable();
      assertNotAborted(options.signal);
      // Written before anything is waited for: what the caller does to its arguments afterwards is not sent.
      const written = write();
      // Handles of the answer are taken while it counts as under way.
      session?.handles.begin();
      try {
        while (session?.handles.isTelling === true) await this.#untilTold(session, options);
        for (let next = this.#requests.untilSequenceGoesOn(); next; next = this.#requests.untilSequenceGoesOn()) {
          await this.#until(next, options);
        }
        // Meanwhile, or by what the arguments did when they were read, it may have ended.
        this.#lifetime.assertUsable();
        const execution = await this.#send(written, options, taking);
        session?.presence.note();
        const value = readResult<T>(execution, session?.handles, taking.wrap);
        // The value is with the caller: whoever keeps its promise need not keep its text as well.
        execution.outcome = undefined;
        answer.execution = execution;
        return value;
      } finally {
        session?.handles.end();
      }
    } catch (thrown) {
      const error = session?.presence.explain(thrown) ?? thrown;
      // Of an error that is made here the engine may know who awaits this.
      if (error instanceof LivescopeError) traceToCaller(error, taking.caller ?? new Error("awaited here"));
      throw error;
    }
  }

  /** Waits until the server has answered what to release, as long as an answer to the call would be waited for. */
  #untilTold({ handles }: ExecutorSession, options: CallOptions): Promise<void> {
    return waitFor((listener) => handles.onceTold(listener), this.#lifetime, patienceOf(options));
  }

  /** Waits as long as an answer to the call would be waited for. */
  #until(next: Promise<void>, options: CallOptions): Promise<void> {
    return waitFor((listener) => void next.then(listener), this.#lifetime, patienceOf(options));
  }

  /** Sends it, and gives how it ended. */
  async #send(
    { command, functions }: Written,
    options: CallOptions,
    { sink, started: onStarted }: Taking,
  ): Promise<WireExecution> {
    const { signal, onConsole } = options;
    const told: WireConsoleEntry[] = [];
    // What it does belongs to who listens, as within a host function, and not to who opened the stream.
    const hear = onConsole && AsyncResource.bind(onConsole);
    const console =
      hear &&
      ((entry: WireConsoleEntry) => {
        told.push(entry);
        callBack(() => hear(readConsoleEntry(entry)));
      });
    const listenerOf = (to: StreamSink | undefined): CommandListener | undefined =>
      (console || to) && { console, emitted: to?.emitted };
    const decide = (written: Exclude<Written["command"], AnyCommand>): Sending => {
      const decided = written();
      return { command: decided.command, listener: listenerOf(decided.sink) };
    };
    const sending = typeof command === "function" ? () => decide(command) : { command, listener: listenerOf(sink) };
    const hasFunctions = functions.byId.size > 0;
    const forget = hasFunctions ? this.#session?.pass(functions) : undefined;
    let over: (() => void) | undefined;
    let started: StartedCommand | undefined;
    try {
      started = this.#commands.start(sending, { signal, timeout: answerTimeoutOf(options), hasFunctions });
      onStarted?.(started);
      over = this.#lifetime.hold(started);
      const execution = await started.finished;
      return told.length === 0 ? execution : { ...execution, console: told };
    } catch (error) {
      // Else the guest may hold them: the server tells when it does not.
      if (started?.wasSent !== true || isRefusal(error)) forget?.();
      throw error;
    } finally {
      over?.();
    }
  }
}

function patienceOf(options: CallOptions): Pick<CallOptions, "signal" | "timeout"> {
  return { signal: options.signal, timeout: answerTimeoutOf(options) };
}

/** How long an answer is waited for, in milliseconds; undefined for as long as it takes. */
function answerTimeoutOf({ timeout }: CallOptions): number | undefined {
  return timeout === undefined ? undefined : timeout + DEADLINE_GRACE;
}

/** The server says that nothing ran, so the guest has no function that came with the command. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof StatusError)) return false;
  switch (error.code) {
    case "INVALID_ARGUMENT":
    case "NOT_FOUND":
    case "UNAUTHENTICATED":
    case "PERMISSION_DENIED":
    case "UNIMPLEMENTED":
      return true;
    case "RESOURCE_EXHAUSTED":
      // Without a reason it may be the answer that is too large.
      return error.reason !== undefined;
    case "UNAVAILABLE":
      return error.reason === "DRAINING";
    default:
      return false;
  }
}

/** What a callback throws is its owner's to hear of, and must not end what others wait for. */
function callBack(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
