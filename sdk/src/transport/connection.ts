import type { ClientDuplexStream } from "@grpc/grpc-js";
import { type ConnectResponse, SandboxServiceService, type ServerFrame } from "@livescope/proto";
import { ConnectionLostError, type LivescopeError, StatusError } from "../errors.js";
import type { Channel } from "./channel.js";
import {
  type CommandOptions,
  type CommandTransport,
  checkTimeout,
  type Sending,
  type StartedCommand,
} from "./commands.js";
import type { HostSide } from "./host-side.js";
import { Outgoing } from "./outgoing.js";
import { PendingCommand, type PendingCommandHost } from "./pending-command.js";
import type { Saying } from "./saying.js";
import { errorFrom, errorFromStatus } from "./status.js";

/** How long a stream without anything in flight is kept, in milliseconds: it keeps the process from ending. */
const IDLE = 1_000;
/** How long a stream may take to end, in milliseconds: until then it keeps the process from ending. */
const ENDING = 1_000;
/** How often a command, or what exposes functions, is sent until it has an answer. */
export const ATTEMPTS = 4;
/** How long a command waits before it is sent again, in milliseconds. */
const BACKOFF = { first: 100, factor: 2.5, jitter: 0.2 };
/** The longest wait before a stream is opened again that is kept for what is lent to sessions, in milliseconds. */
const LONGEST_BACKOFF = 2_000;
/** Codes of a stream that another one may do without. */
const PASSING: ReadonlySet<string> = new Set(["UNAVAILABLE", "CANCELLED", "INTERNAL", "UNKNOWN"]);
/** Those after which another stream may be had. */
const REOPENED: ReadonlySet<string> = new Set([...PASSING, "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED"]);

/** The method, for messages that are encoded already. */
const CONNECT = { ...SandboxServiceService.connect, requestSerialize: (message: Buffer): Buffer => message };

type Stream = ClientDuplexStream<Buffer, ConnectResponse>;

/**
 * One Connect stream at a time, on which all commands of a client travel; what is said in one tick travels in one message. The
 * stream is opened with the first command, ended when it was idle for a while, and opened anew when it broke. While functions are
 * lent to sessions it is kept, and opened again at once.
 */
export class Connection implements CommandTransport, PendingCommandHost {
  readonly #channel: Channel;
  /** What is in flight on the stream, by the id of its frame. */
  readonly #commands = new Map<number, PendingCommand>();
  /** What waits before it is sent again. */
  readonly #delayed = new Set<PendingCommand>();
  readonly #outgoing = new Outgoing();
  #host: HostSide | undefined;
  #reopening: NodeJS.Timeout | undefined;
  /** How often a stream that is kept was lost in a row. */
  #losses = 0;
  #stream: Stream | undefined;
  /** Something was heard on the stream. */
  #isAlive = false;
  #isScheduled = false;
  /** The transport has not taken the last message yet, or a connection is waited for. */
  #isBusy = false;
  #isClosed = false;
  #idleTimer: NodeJS.Timeout | undefined;
  #idleSince = 0;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Carries what this has to say, too. */
  serve(host: HostSide): void {
    this.#host = host;
  }

  get isOpen(): boolean {
    return this.#stream !== undefined;
  }

  /** Says something on the stream. Without one it is opened if it is to be kept, and what is said is left to its opening. */
  say(saying: Saying): void {
    if (this.#stream !== undefined) this.#outgoing.addSaying(saying);
    if (this.#reopening === undefined) this.#schedule();
  }

  start(sending: Sending | (() => Sending), options: CommandOptions): StartedCommand {
    checkTimeout(options.timeout);
    options.signal?.throwIfAborted();
    this.#channel.assertUsable();
    const pending = new PendingCommand(this, sending, options);
    this.#send(pending);
    return pending;
  }

  allow(command: PendingCommand, credit: number): void {
    this.#outgoing.addCredit(command, credit);
    this.#schedule();
  }

  cancel(command: PendingCommand): void {
    // One that was not sent yet will be sent together with its end.
    if (command.frameId === 0) return;
    this.#outgoing.addCancel(command);
    this.#schedule();
  }

  forget(command: PendingCommand, ends: boolean): void {
    this.#delayed.delete(command);
    if (command.frameId === 0) {
      if (ends) this.#endLost(command);
      return;
    }
    if (ends) this.cancel(command);
    this.#commands.delete(command.frameId);
    this.checkIdle();
  }

  /** One that was to be sent again may run yet, since it was sent before. */
  #endLost(command: PendingCommand): void {
    // What is decided when it is sent is not to be decided for this.
    if (!command.wasSent) return;
    const { execution } = command;
    if (execution.executionId === "") return;
    this.#outgoing.addSaying({ frame: { $case: "cancel", value: execution } });
    this.#schedule();
  }

  /** What was said is still sent, such as that executions are to end. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#reopening);
    const stream = this.#stream;
    if (stream !== undefined) {
      this.#host?.onClosing();
      this.#flush();
      cancelLater(stream);
    }
    if (this.#stream === undefined) this.#host?.onClosed();
    this.checkIdle();
  }

  #send(command: PendingCommand): void {
    command.waitsSince = performance.now();
    this.#outgoing.add(command);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isBusy) return;
    this.#isScheduled = true;
    // After all that the running tick still does, its promises included.
    queueMicrotask(() => process.nextTick(() => this.#flush()));
  }

  #flush(): void {
    this.#isScheduled = false;
    // What was said since, such as that one is to end which was lost, has nobody to hear it.
    if (this.#stream === undefined && this.#isClosed) return;
    const isKept = this.#isKept;
    if (this.#isBusy || (this.#outgoing.isEmpty && (this.#stream !== undefined || !isKept))) return;
    if (this.#stream === undefined && !this.#channel.line.isReady) return this.#waitUntilReady();
    if (this.#stream === undefined) this.#outgoing.putFirst(this.#host?.opening() ?? []);
    const message = this.#outgoing.nextMessage((command) => this.#commands.set(command.frameId, command));
    if (message.length === 0) return this.checkIdle();
    this.#stream ??= this.#open();
    const stream = this.#stream;
    this.#isBusy = true;
    stream.write(message, () => {
      if (this.#stream !== stream) return;
      this.#isBusy = false;
      this.#flush();
      if (this.#isClosed) this.checkIdle();
    });
  }

  #waitUntilReady(): void {
    this.#isBusy = true;
    const patience = this.#channel.line.reconnectTimeout;
    const since = Math.min(this.#outgoing.waitsSince ?? performance.now(), this.#host?.waitsSince ?? performance.now());
    // The wait is that of each for itself: here ends that of whoever waits longest.
    const wait = Math.max(1, since + patience - performance.now());
    this.#channel.line.whenReady((unreachable) => {
      this.#isBusy = false;
      if (unreachable === undefined) return this.#flush();
      // Timers of a millisecond may be early by one.
      const waitedFrom = performance.now() - patience + 1;
      const overdue = this.#outgoing.takeCommands((command) => command.waitsSince <= waitedFrom);
      // An error for each, which leads to its own caller.
      for (const command of overdue) command.reject(unreachable(patience));
      this.#host?.onUnreachable(() => unreachable(patience), waitedFrom);
      if (this.#outgoing.isEmpty && this.#host?.waitsSince === undefined) this.#reopen();
      else this.#flush();
    }, wait);
  }

  #open(): Stream {
    const stream = this.#channel.duplex(CONNECT);
    this.#isAlive = false;
    stream.on("data", ({ frames }) => {
      this.#isAlive = true;
      this.#losses = 0;
      for (const frame of frames) this.#hear(frame);
      this.checkIdle();
    });
    stream.on("error", (error) => this.#onEnd(stream, () => errorFrom(error)));
    // It comes last, with or without an error.
    stream.on("status", () => this.#onEnd(stream, undefined));
    return stream;
  }

  #hear(heard: ServerFrame): void {
    const { frameId, frame } = heard;
    const id = Number(frameId);
    const command = this.#commands.get(id);
    if (command === undefined) return this.#host?.hear(heard);
    if (frame?.$case === "event") {
      if (command.hear(frame.value)) this.#commands.delete(id);
    } else if (frame?.$case === "status") {
      this.#commands.delete(id);
      const error = errorFromStatus(frame.value);
      // Where a server is about to stop nothing ran. Else it does not know what became of it, so only its id makes it safe to ask again.
      const mayRun = error.reason === "DRAINING" || command.mayRepeat;
      if (error.code === "UNAVAILABLE" && mayRun) this.#sendAgain([command], () => error);
      else command.reject(error);
    }
  }

  /** @param makeError of why it ended, where that is an error: each that hears of it has its own, which leads to its own caller */
  #onEnd(stream: Stream, makeError: (() => LivescopeError) | undefined): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    this.#isBusy = false;
    const unsent = this.#outgoing.takeCommands();
    const sent = [...this.#commands.values()];
    this.#commands.clear();
    const error = makeError?.();
    if (makeError !== undefined && error instanceof StatusError && !PASSING.has(error.code)) {
      this.#host?.onLost(makeError);
      for (const command of [...sent, ...unsent]) command.reject(makeError());
      if (!REOPENED.has(error.code)) this.#host?.onRefused(makeError);
      this.#reopen();
      return;
    }
    this.#host?.onLost(lostBy(error, EXPOSING));
    this.#reopen();
    const lost = lostBy(error, EXECUTING);
    const again = sent.filter(({ mayRepeat }) => mayRepeat);
    for (const command of sent) if (!command.mayRepeat) command.reject(lost());
    if (this.#isAlive) this.#sendAgain(again, lost, unsent);
    else this.#sendAgain([...again, ...unsent], lost);
  }

  get #isKept(): boolean {
    return !this.#isClosed && this.#host?.isActive === true;
  }

  /** Opens a stream again that is to be kept. Should a command open it before, all is said then. */
  #reopen(): void {
    if (this.#isClosed) return this.#host?.onClosed();
    if (!this.#isKept || this.#reopening !== undefined) return;
    const delay = Math.min(LONGEST_BACKOFF, BACKOFF.first * BACKOFF.factor ** this.#losses++);
    this.#reopening = setTimeout(() => {
      this.#reopening = undefined;
      this.#schedule();
    }, jittered(delay));
  }

  /**
   * After a while, and in the order they have.
   *
   * @param makeError of each that was sent too often
   * @param behind are sent after them, and have not failed
   */
  #sendAgain(
    commands: readonly PendingCommand[],
    makeError: () => Error,
    behind: readonly PendingCommand[] = [],
  ): void {
    const again: PendingCommand[] = [];
    let failures = 0;
    for (const command of commands) {
      command.frameId = 0;
      if (++command.failures === ATTEMPTS || this.#isClosed) command.reject(makeError());
      else {
        again.push(command);
        failures = Math.max(failures, command.failures);
      }
    }
    again.push(...behind);
    const send = (): void => {
      for (const command of again) if (this.#delayed.delete(command)) this.#send(command);
    };
    for (const command of again) this.#delayed.add(command);
    if (failures === 0) send();
    else setTimeout(send, jittered(BACKOFF.first * BACKOFF.factor ** (failures - 1)));
  }

  /** Without anything in flight the stream ends: at once when the client is closed, else after a while. */
  checkIdle(): void {
    if (!this.#isIdle) return;
    if (this.#isClosed) return this.#endStream();
    this.#idleSince = performance.now();
    this.#idleTimer ??= setTimeout(() => this.#onIdleTimer(), IDLE).unref();
  }

  get #isIdle(): boolean {
    return this.#commands.size === 0 && this.#outgoing.isEmpty && this.#stream !== undefined && !this.#isKept;
  }

  #onIdleTimer(): void {
    this.#idleTimer = undefined;
    if (!this.#isIdle) return;
    const left = this.#idleSince + IDLE - performance.now();
    if (left <= 0) this.#endStream();
    else this.#idleTimer = setTimeout(() => this.#onIdleTimer(), left).unref();
  }

  #endStream(): void {
    const stream = this.#stream;
    // What was said has to have its time to leave.
    stream?.once("finish", () => cancelLater(stream)).end();
    this.#stream = undefined;
    this.#isBusy = false;
    if (this.#isClosed) this.#host?.onClosed();
  }
}

/** Where the network takes nothing any more, or the server does not end it, a stream would take until a ping is missed, or for ever. */
export function cancelLater(stream: { cancel(): void }): NodeJS.Timeout {
  return setTimeout(() => stream.cancel(), ENDING).unref();
}

function jittered(milliseconds: number): number {
  return milliseconds * (1 + BACKOFF.jitter * (2 * Math.random() - 1));
}

/** What a connection broke off, and what that means. */
const EXECUTING = [
  "the connection broke while the execution was under way",
  "what became of it is not known; a call with a requestId is sent again when that happens",
] as const;
const EXPOSING = ["the connection broke again and again", "the functions may be exposed or not"] as const;

/** Makes the errors of those whose stream broke: each has its own, which leads to its own caller. */
function lostBy(
  error: LivescopeError | undefined,
  [what, meaning]: readonly [string, string],
): () => ConnectionLostError {
  const why = error === undefined ? "the server ended the stream" : error.message;
  const message = `${what} (${why}), and ${meaning}`;
  return () => new ConnectionLostError(message, { code: "UNAVAILABLE" }, { cause: error });
}
