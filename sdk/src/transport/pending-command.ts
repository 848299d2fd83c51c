import type { CancelExecutionRequest, ClientFrame, Command, Event, Execution } from "@livescope/proto";
import { LONGEST_TIMER } from "../longest-timer.js";
import { whenAborted } from "../when-aborted.js";
import { type CommandOptions, noAnswerWithin, type Sending, type StartedCommand } from "./commands.js";

/** What a command asks of its connection. */
export interface PendingCommandHost {
  allow(command: PendingCommand, credit: number): void;
  cancel(command: PendingCommand): void;
  /** Nobody waits for it any more. @param ends its execution is to end */
  forget(command: PendingCommand, ends: boolean): void;
}

/** A command of a Connect stream, from its start to its answer. */
export class PendingCommand implements StartedCommand {
  readonly finished: Promise<Execution>;
  /** The frame that it was sent with; 0 while it was not, on the stream that there is now. */
  frameId = 0;
  /** On this stream or one before. */
  wasSent = false;
  /** Since when it waits to be sent, as `performance.now()` tells the time. */
  waitsSince = 0;
  /** How often it was sent in vain. */
  failures = 0;
  /** Its execution is to end, however often it is sent. */
  isCancelled = false;
  readonly #host: PendingCommandHost;
  /** Until it is asked for, what tells it. */
  #sending: Sending | (() => Sending);
  readonly #options: CommandOptions;
  readonly #notAborted: () => void;
  readonly #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  #resolve: (execution: Execution) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(host: PendingCommandHost, sending: Sending | (() => Sending), options: CommandOptions) {
    this.#host = host;
    this.#sending = sending;
    this.#options = options;
    this.finished = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { signal, timeout } = options;
    this.#notAborted = whenAborted(signal, () => this.#giveUp(signal?.reason, true));
    if (timeout !== undefined) this.#timer = setTimeout(() => this.#expire(), Math.min(timeout, LONGEST_TIMER));
  }

  /** It was answered, or nobody waits for it any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** It may be sent again: whatever became of it is then told once more, and nothing was heard of it that would be missed. */
  get mayRepeat(): boolean {
    const { command, listener } = this.#sent;
    return command.value.requestId !== "" && listener === undefined;
  }

  /** What names its execution, also on another stream; without an id where only the server knows it. */
  get execution(): CancelExecutionRequest {
    const { requestId: executionId, sessionId = "" } = this.#sent.command.value;
    return { sessionId, executionId };
  }

  /** The frame that sends it. */
  frame(frameId: number): ClientFrame {
    const { command, listener } = this.#sent;
    const value: Command = {
      command,
      consoleAtEnd: listener?.console === undefined,
      dropEmitted: listener?.emitted === undefined,
    };
    return { frameId: BigInt(frameId), frame: { $case: "command", value } };
  }

  allow(credit: number): void {
    if (!this.#isOver) this.#host.allow(this, credit);
  }

  cancel(): void {
    if (this.#isOver || this.isCancelled) return;
    this.isCancelled = true;
    this.#host.cancel(this);
  }

  giveUp(error: unknown, endsAnyway = false): void {
    this.#giveUp(error, !endsAnyway && this.#sent.command.value.requestId === "");
  }

  /** @returns true for its last one */
  hear({ event }: Event): boolean {
    switch (event?.$case) {
      case "console":
        this.#sent.listener?.console?.(event.value);
        return false;
      case "emitted":
        this.#sent.listener?.emitted?.(event.value);
        return false;
      case "finished":
        this.#end();
        this.#resolve(event.value);
        return true;
      default:
        return false;
    }
  }

  reject(error: unknown): void {
    this.#end();
    this.#reject(error);
  }

  get #sent(): Sending {
    if (typeof this.#sending === "function") this.#sending = this.#sending();
    return this.#sending;
  }

  #giveUp(error: unknown, ends: boolean): void {
    if (this.#isOver) return;
    this.#host.forget(this, ends);
    this.reject(error);
  }

  #expire(): void {
    // As of a call that was lost: with a request id it goes on, and its outcome can be had.
    this.#host.forget(this, this.#sent.command.value.requestId === "");
    this.reject(noAnswerWithin(this.#options.timeout));
  }

  #end(): void {
    this.#isOver = true;
    this.#notAborted();
    clearTimeout(this.#timer);
  }
}
