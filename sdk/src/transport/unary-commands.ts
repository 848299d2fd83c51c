import { randomUUID } from "node:crypto";
import type { ClientReadableStream } from "@grpc/grpc-js";
import {
  Command,
  type Event,
  Execution,
  type RenderResponse,
  type RunResponse,
  SandboxServiceService,
  StopReason,
  type Value,
} from "@livescope/proto";
import { LivescopeError, StatusError } from "../errors.js";
import { whenAborted } from "../when-aborted.js";
import type { Channel } from "./channel.js";
import {
  type AnyCommand,
  type CommandListener,
  type CommandOptions,
  type CommandTransport,
  checkTimeout,
  FIRST_CREDIT,
  noAnswerWithin,
  type Sending,
  type StartedCommand,
} from "./commands.js";
import { type Connection, cancelLater } from "./connection.js";
import { LateCommand } from "./late-command.js";
import { errorFrom } from "./status.js";

/** Commands as RPCs of their own: Execute and Call, Run where somebody listens, and a stream for those with functions. */
export class UnaryCommands implements CommandTransport {
  readonly #channel: Channel;
  readonly #connection: Connection;
  /** Those that wait for the end of the tick, in order. */
  readonly #late: LateCommand[] = [];

  constructor(channel: Channel, connection: Connection) {
    this.#channel = channel;
    this.#connection = connection;
  }

  start(sending: Sending | (() => Sending), options: CommandOptions): StartedCommand {
    if (options.hasFunctions === true) return this.#connection.start(sending, options);
    checkTimeout(options.timeout);
    options.signal?.throwIfAborted();
    this.#channel.assertUsable();
    if (typeof sending === "function") {
      const late = new LateCommand(() => this.#begin(sending(), options));
      if (this.#late.push(late) === 1) queueMicrotask(() => this.#beginLate());
      return late;
    }
    this.#beginLate();
    return this.#begin(sending, options);
  }

  close(): void {
    this.#beginLate();
    // The channel is its owner's to close.
    this.#connection.close();
  }

  #beginLate(): void {
    for (const late of this.#late.splice(0)) late.begin();
  }

  #begin({ command, listener }: Sending, options: CommandOptions): StartedCommand {
    // One that begins late may have been aborted meanwhile.
    options.signal?.throwIfAborted();
    if (listener === undefined) return this.#send(command, options);
    const run = (timeout: number | undefined): StartedCommand =>
      new Run(this.#channel, command, listener, { ...options, timeout });
    return this.#channel.line.isReady ? run(options.timeout) : this.#beginWhenReady(run, options);
  }

  /** @param begin is given what is left of the timeout */
  #beginWhenReady(
    begin: (timeout: number | undefined) => StartedCommand,
    { timeout, signal }: CommandOptions,
  ): StartedCommand {
    const since = performance.now();
    const left = (): number | undefined =>
      timeout === undefined ? undefined : Math.max(1, timeout - (performance.now() - since));
    const late = new LateCommand(() => begin(left()));
    const notAborted = whenAborted(signal, () => late.giveUp(signal?.reason));
    const wait = Math.min(timeout ?? Number.POSITIVE_INFINITY, this.#channel.line.reconnectTimeout);
    this.#channel.line.whenReady((unreachable) => {
      notAborted();
      if (unreachable === undefined) return late.begin();
      const error = unreachable(Math.round(wait));
      const isOver = timeout !== undefined && performance.now() - since >= timeout;
      late.giveUp(isOver ? new StatusError(error.message, { code: "DEADLINE_EXCEEDED" }) : error);
    }, wait);
    return late;
  }

  #send(command: AnyCommand, { timeout, signal }: CommandOptions): StartedCommand {
    // With an id gRPC's own retries are safe.
    const requestId = command.value.requestId || randomUUID();
    // Not AbortSignal.any: one that many calls share would keep something of each.
    const stopped = new AbortController();
    const cancel = (): void => cancelExecution(this.#channel, command, requestId);
    const notAborted = whenAborted(signal, () => {
      // A call with a request id that is cancelled leaves its execution running.
      if (!stopped.signal.aborted) cancel();
      stopped.abort(signal?.reason);
    });
    const finished = this.#answer(command, requestId, { timeout, signal: stopped.signal })
      .then(({ execution }) => begun(assertExecution(execution), timeout))
      .finally(notAborted);
    const giveUp = (error: unknown, endsAnyway = false): void => {
      // At once: the channel may be closed when the answer has come.
      if (!endsAnyway && command.value.requestId === "") cancel();
      stopped.abort(error);
    };
    return { finished, wasSent: true, allow: () => undefined, cancel, giveUp };
  }

  #answer(
    command: AnyCommand,
    requestId: string,
    options: CommandOptions,
  ): Promise<{ execution?: Execution | undefined }> {
    switch (command.$case) {
      case "execute":
        return this.#channel.send(SandboxServiceService.execute, { ...command.value, requestId }, options);
      case "call":
        return this.#channel.send(SandboxServiceService.call, { ...command.value, requestId }, options);
      case "render":
        return this.#channel
          .send(SandboxServiceService.render, { ...command.value, requestId }, options)
          .then(withText);
    }
  }
}

/** What Render answers as the other transports tell it: the text is the execution's value. */
function withText({ text, execution }: RenderResponse): { execution: Execution | undefined } {
  if (execution?.outcome?.$case !== "value") return { execution };
  const value: Value = { kind: { $case: "json", value: JSON.stringify(text) } };
  return { execution: { ...execution, outcome: { $case: "value", value } } };
}

/** A command over Run. */
class Run implements StartedCommand {
  readonly finished: Promise<Execution>;
  readonly wasSent = true;
  readonly #channel: Channel;
  readonly #command: AnyCommand;
  readonly #listener: CommandListener;
  readonly #signal: AbortSignal | undefined;
  readonly #timeout: number | undefined;
  readonly #stream: ClientReadableStream<RunResponse>;
  #credit = FIRST_CREDIT;
  /** Empty until something was heard. */
  #executionId = "";
  /** It was ended before its id was known, so that nobody is told how. */
  #isCancelled = false;
  /** Runs from the answer to the end of the stream. */
  #ending: NodeJS.Timeout | undefined;
  /** Why nobody waits for it any more. */
  #left: { readonly reason: unknown } | undefined;

  constructor(channel: Channel, command: AnyCommand, listener: CommandListener, options: CommandOptions) {
    this.#channel = channel;
    this.#command = command;
    this.#listener = listener;
    this.#signal = options.signal;
    this.#timeout = options.timeout;
    this.#executionId = command.value.requestId;
    const asked = Command.create({
      command,
      consoleAtEnd: listener.console === undefined,
      dropEmitted: listener.emitted === undefined,
    });
    this.#stream = channel.readable(SandboxServiceService.run, { command: asked }, options.timeout);
    this.finished = this.#listen();
  }

  allow(credit: number): void {
    this.#credit += credit;
    if (this.#credit > 0) this.#stream.resume();
  }

  cancel(): void {
    if (this.#executionId === "") {
      this.#isCancelled = true;
      return this.#endStream();
    }
    cancelExecution(this.#channel, this.#command, this.#executionId);
    // How it ended comes after what is on its way.
    this.allow(Number.POSITIVE_INFINITY);
  }

  giveUp(error: unknown): void {
    this.#left ??= { reason: error };
    this.#endStream();
  }

  /** Not in the tick in which it began: gRPC would say that it is cancelled, and send it, and nobody could end it any more. */
  #endStream(): void {
    setImmediate(() => this.#stream.cancel());
  }

  #listen(): Promise<Execution> {
    const stream = this.#stream;
    const notAborted = whenAborted(this.#signal, () => {
      // Without a request id the server ends what nobody hears any more.
      if (this.#command.value.requestId !== "" && this.#left === undefined) this.cancel();
      this.giveUp(this.#signal?.reason);
    });
    const finished = new Promise<Execution>((resolve, reject) => {
      stream.on("data", ({ event }: RunResponse) => this.#hear(event, resolve));
      stream.on("error", (thrown) => {
        const error = this.#left ? this.#left.reason : errorFrom(thrown);
        if (this.#isCancelled && error instanceof StatusError && error.code === "CANCELLED") resolve(cancelled());
        else reject(error);
      });
      stream.on("status", () => clearTimeout(this.#ending));
      stream.on("end", () => reject(new LivescopeError("the answer carries no execution: is the server newer?")));
    });
    return finished.then((execution) => begun(execution, this.#timeout)).finally(notAborted);
  }

  #hear(event: Event | undefined, resolve: (execution: Execution) => void): void {
    this.#executionId = event?.executionId ?? "";
    switch (event?.event?.$case) {
      case "console":
        return this.#listener.console?.(event.event.value);
      case "emitted":
        this.#credit--;
        if (this.#credit <= 0) this.#stream.pause();
        return this.#listener.emitted?.(event.event.value);
      case "finished":
        this.#ending ??= cancelLater(this.#stream);
        return resolve(event.event.value);
    }
  }
}

/** As the server tells it. */
function cancelled(): Execution {
  const value = { reason: StopReason.CANCELLED, message: "the execution was cancelled" };
  return Execution.fromPartial({ outcome: { $case: "stopped", value } });
}

function cancelExecution(channel: Channel, { value }: AnyCommand, executionId: string): void {
  const request = { sessionId: value.sessionId ?? "", executionId };
  // Nobody waits for it.
  channel.letGo(SandboxServiceService.cancelExecution, request).catch(() => undefined);
}

/**
 * What has had no turn was ended by the deadline of its RPC. A stream has none for each command, and nobody is to notice by which they went.
 *
 * @param timeout milliseconds that the answer was waited for
 * @throws {StatusError} DEADLINE_EXCEEDED
 */
function begun(execution: Execution, timeout: number | undefined): Execution {
  const { outcome, usage } = execution;
  const isTimeout = outcome?.$case === "stopped" && outcome.value.reason === StopReason.TIMEOUT;
  if (isTimeout && timeout !== undefined && (usage?.turns ?? 0n) === 0n) throw noAnswerWithin(timeout);
  return execution;
}

/** @throws {LivescopeError} if there is none */
function assertExecution(execution: Execution | undefined): Execution {
  if (execution !== undefined) return execution;
  throw new LivescopeError("the answer carries no execution: is the server newer?");
}
