/**
 * One Connect stream: the commands in flight on it, and what bounds them.
 *
 * A client that does not read what it is told is not read either, beyond some point, and emits nothing; beyond another the
 * stream ends. So what is kept for it is bounded, whatever it asked for.
 */
import type { CancelExecutionRequest, ClientFrame, Command, Expose } from "@livescope/proto";
import type { Logger } from "pino";
import { invalid, SessionError } from "../session/errors.js";
import type { Sessions } from "../session/sessions.js";
import { cancelExecution } from "./cancel.js";
import { handleFrame } from "./client-frames.js";
import { FrameReader } from "./frame-reader.js";
import { StreamHostLink } from "./host-link.js";
import { Outbox, type Send } from "./outbox.js";
import { AT_ONCE, FEW, type Slices } from "./slices.js";
import { toStatus } from "./status.js";
import { type CommandHost, encodeFrame, ROOM, StreamedCommand } from "./streamed-command.js";

/** Executions of one stream that have not been answered. */
const COMMANDS = 10_000;
/** Exposures to one session that have not been answered: as many as it may have names. */
const EXPOSURES = 1_000;
/** An exposure counts for so many frames: it is answered with all names of its client, which may be a megabyte. */
const FRAMES_OF_EXPOSURE = 50;
/** What names a session that is not in memory counts for so many: the store is asked. */
const FRAMES_OF_REST = 50;
/** Calls that are sent to another client, and sessions of a stream that are asked for a function: so many take as long as a frame. */
const PER_FRAME = { calls: 5, sessions: 50 };
/** What all of a stream may take to be kept, about, in bytes: they wait while their sessions are busy. */
const EXPOSURE_SIZE = 16 * 1024 * 1024;
/** Bytes of answers that the client has not taken; with more the stream ends. */
const UNTAKEN_BYTES = 128 * 1024 * 1024;
/** Some of ten thousand will have ended by then, in milliseconds. */
const RETRY = 100;

/** How a connection acts on its stream. */
export interface Transport {
  readonly send: Send;
  /** Told how many bytes of answers the client has not taken, whenever it is something else. */
  readonly untaken: (bytes: number) => void;
  /** Told how many bytes there are of messages that are handled in parts, whenever it is something else. */
  readonly unhandled: (bytes: number) => void;
  /** Milliseconds since the epoch; Infinity for none. */
  readonly deadline: number;
  /** Reads no more frames for now. */
  pause(): void;
  resume(): void;
  /** Ends the stream after what was sent; without an error with OK. */
  end(error?: SessionError): void;
}

export class Connection implements CommandHost {
  readonly sessions: Sessions;
  readonly logger: Logger;
  readonly outbox: Outbox;
  /** The functions that the client lends. */
  readonly hostFunctions: StreamHostLink;
  readonly deadline: number;
  readonly #transport: Transport;
  readonly #commands = new Map<bigint, StreamedCommand>();
  /** Frames that expose and have not been answered, by session. */
  readonly #exposing = new Map<string, number>();
  /** What these take to be kept, about, in bytes. */
  #exposingSize = 0;
  /** Frames that end an execution by its id, and that may still fail. */
  #cancelling = 0;
  #lastFrameId = 0n;
  /** Commands that may emit more when there is room. */
  readonly #waitForRoom = new Set<StreamedCommand>();
  readonly #slices: Slices;
  /** Messages of which frames have not been handled. No more are read meanwhile. */
  readonly #unhandled: FrameReader[] = [];
  /** Of these. */
  #unhandledBytes = 0;
  /** Others have the thread before more of these are handled. */
  #waitsForSlice = false;
  #isPaused = false;
  #isOver = false;
  /** Set when it ends as soon as everything is answered. */
  #ending: { readonly error: SessionError | undefined } | undefined;

  /** @param slices of all streams */
  constructor(sessions: Sessions, slices: Slices, transport: Transport, logger: Logger) {
    this.sessions = sessions;
    this.#slices = slices;
    this.logger = logger;
    this.deadline = transport.deadline;
    this.#transport = transport;
    this.hostFunctions = new StreamHostLink({
      sessions,
      say: (frame) => this.say(frame),
      refuse: (frameId, error) => this.#refuse(frameId, error),
      onAnswered: () => this.#endIfDone(),
    });
    this.outbox = new Outbox(transport.send, () => this.#onTaken());
  }

  /**
   * Takes one message, an encoded ConnectRequest. Its frames are begun in one tick, so they reach the engine together; of many, so many
   * at a time.
   */
  receive(message: Uint8Array): void {
    if (message.length === 0 || this.#isOver) return;
    this.#unhandled.push(new FrameReader(message));
    if (this.#unhandled.length === 1) this.#handleNext();
    else this.#countUnhandled();
  }

  /** @param isInTurn those that came before had their slices */
  #handleNext(isInTurn = false): void {
    const [message] = this.#unhandled;
    if (message === undefined) return;
    let handled = 0;
    this.sessions.together(() => {
      handled = this.#handle(message);
    });
    if (message.isAtEnd) this.#unhandled.shift();
    if (this.#unhandled.length > 0) this.#pause();
    this.#countUnhandled();
    this.#goOn(isInTurn && handled === 0 && !message.isAtEnd);
    this.#endIfDone();
  }

  #countUnhandled(): void {
    const bytes = this.#unhandled.reduce((sum, message) => sum + message.bytes, 0);
    if (bytes === this.#unhandledBytes) return;
    this.#unhandledBytes = bytes;
    this.#transport.unhandled(bytes);
  }

  /** @returns how many frames were handled, as they count */
  #handle(message: FrameReader): number {
    const { room } = this.#slices;
    let handled = 0;
    while (handled < room && !this.#isOver) {
      const frame = this.#nextOf(message);
      if (frame === undefined) break;
      const weight = this.#weightOf(frame);
      if (weight > FEW && weight > room - handled) {
        message.putBack(frame);
        break;
      }
      handled += weight;
      try {
        handleFrame(this, frame);
      } catch (error) {
        this.#refuse(frame.frameId, error);
      }
    }
    this.#slices.took(handled);
    return handled;
  }

  /** For how many frames one counts, at most for as many as are handled in a round. */
  #weightOf({ frame }: ClientFrame): number {
    switch (frame?.$case) {
      case "expose": {
        // All of these may be its client's from now on.
        const calls = this.sessions.openCallsOf(frame.value.sessionId);
        return Math.min(AT_ONCE, FRAMES_OF_EXPOSURE + Math.floor(calls / PER_FRAME.calls));
      }
      case "releaseHostFunctionId":
        return 1 + Math.floor(this.hostFunctions.sessions / PER_FRAME.sessions);
      case "command":
        return this.#weightFor(frame.value.command?.value.sessionId);
      case "cancel":
        return frame.value.executionId === "" ? 1 : this.#weightFor(frame.value.sessionId);
      default:
        return 1;
    }
  }

  #weightFor(sessionId = ""): number {
    return sessionId === "" || this.sessions.isAtHand(sessionId) ? 1 : FRAMES_OF_REST;
  }

  #nextOf(message: FrameReader): ClientFrame | undefined {
    try {
      return message.next();
    } catch (error) {
      this.#fail(invalid("frames", `the message is no ConnectRequest: ${(error as Error).message}`));
      return undefined;
    }
  }

  #refuse(frameId: bigint, error: unknown): void {
    this.say(encodeFrame(frameId, { $case: "status", value: toStatus(error, this.logger) }));
  }

  /** @throws SessionError QUEUE_FULL */
  expose(frameId: bigint, request: Expose): void {
    const { sessionId } = request;
    const size = sizeOf(request);
    const before = this.#exposing.get(sessionId) ?? 0;
    const isFull = this.#exposing.size >= COMMANDS || this.#exposingSize + size > EXPOSURE_SIZE;
    if (before >= EXPOSURES || isFull) {
      const message = `the stream already has ${before} exposures to this session under way, to ${this.#exposing.size} sessions in all; wait for some of them`;
      throw new SessionError("QUEUE_FULL", message, { retryAfter: RETRY });
    }
    this.#exposing.set(sessionId, before + 1);
    this.#exposingSize += size;
    this.hostFunctions
      .expose(frameId, request)
      .catch((error: unknown) => this.#refuse(frameId, error))
      .finally(() => {
        this.#exposingSize -= size;
        const left = (this.#exposing.get(sessionId) ?? 1) - 1;
        if (left > 0) this.#exposing.set(sessionId, left);
        else this.#exposing.delete(sessionId);
        this.#endIfDone();
      });
  }

  cancel(frameId: bigint, request: CancelExecutionRequest): void {
    this.#cancelling++;
    cancelExecution(this.sessions, request)
      .catch((error: unknown) => this.#refuse(frameId, error))
      .finally(() => {
        this.#cancelling--;
        this.#endIfDone();
      });
  }

  /** @returns false for an id that is not above all before it */
  takeFrameId(frameId: bigint): boolean {
    if (frameId <= this.#lastFrameId) return false;
    this.#lastFrameId = frameId;
    return true;
  }

  /** @throws SessionError when the command is refused */
  begin(frameId: bigint, command: Command): void {
    if (this.#commands.size >= COMMANDS) {
      const message = `the stream already has ${COMMANDS} executions in flight; wait for some of them, or use another stream`;
      throw new SessionError("QUEUE_FULL", message, { retryAfter: RETRY });
    }
    const begun = new StreamedCommand(this, frameId, command);
    this.#commands.set(frameId, begun);
    // The end came while its message waited to be read on.
    if (this.#ending !== undefined) begun.allow(Number.POSITIVE_INFINITY);
  }

  /** The command of a frame; undefined when it is answered, or never was. */
  command(frameId: bigint): StreamedCommand | undefined {
    return this.#commands.get(frameId);
  }

  say(frame: Uint8Array, taken?: () => void): void {
    this.outbox.push(frame, taken);
    this.#holdBack();
  }

  waitForRoom(command: StreamedCommand): void {
    this.#waitForRoom.add(command);
  }

  onFinished(frameId: bigint): void {
    this.#commands.delete(frameId);
    this.#endIfDone();
  }

  /**
   * Ends the stream once all commands are answered. Who can say nothing more can give no credit: what is still emitted goes at
   * the pace of the transport.
   */
  finish(error?: SessionError): void {
    this.#ending ??= { error };
    // Who has said the last cannot answer: its calls wait for another stream of it.
    if (error === undefined) this.hostFunctions.detach();
    for (const command of this.#commands.values()) command.allow(Number.POSITIVE_INFINITY);
    this.#endIfDone();
  }

  /** The stream is gone. */
  lost(): void {
    this.#isOver = true;
    this.outbox.close();
    this.#transport.untaken(0);
    this.#unhandled.length = 0;
    this.#countUnhandled();
    this.hostFunctions.detach();
    for (const command of this.#commands.values()) command.abandon();
    this.#commands.clear();
  }

  #onTaken(): void {
    this.#transport.untaken(this.outbox.bytes);
    if (this.outbox.bytes <= ROOM) {
      const waiting = [...this.#waitForRoom];
      this.#waitForRoom.clear();
      for (const command of waiting) command.passCreditOn();
      this.#goOn();
    }
    this.#endIfDone();
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#transport.pause();
  }

  /**
   * Goes on with the frames that were read, or reads more, unless the client is behind.
   *
   * @param isFirst there was too little room for the next frame when it was its turn: others that need less are not to go by for ever
   */
  #goOn(isFirst = false): void {
    if (!this.#isPaused || this.#isOver || this.outbox.bytes > ROOM) return;
    if (this.#unhandled.length > 0) {
      if (this.#waitsForSlice) return;
      this.#waitsForSlice = true;
      const slice = (): void => {
        this.#waitsForSlice = false;
        // Meanwhile it may have got behind, with answers to the slice before.
        if (this.outbox.bytes <= ROOM) this.#handleNext(true);
      };
      return isFirst ? this.#slices.addFirst(slice) : this.#slices.add(slice);
    }
    this.#isPaused = false;
    this.#transport.resume();
  }

  #holdBack(): void {
    const { bytes } = this.outbox;
    if (bytes > UNTAKEN_BYTES) return this.cut();
    if (bytes > ROOM) this.#pause();
    this.#transport.untaken(bytes);
  }

  /** Ends the stream of a client that does not read what it is answered. */
  cut(): void {
    if (this.#isOver) return;
    const message = `the client has not read ${this.outbox.bytes} bytes of answers; read them as they come, or ask for less at once`;
    this.#fail(new SessionError("READER_TOO_SLOW", message));
  }

  /** Ends the stream of a client that says more at once than is handled as it comes, where that is too much of all together. */
  cutSender(): void {
    if (this.#isOver) return;
    const message = `${this.#unhandledBytes} bytes of messages wait to be handled, and all clients together have sent too much at once; send fewer frames in a message`;
    this.#fail(new SessionError("QUOTA_EXCEEDED", message));
  }

  #fail(error: SessionError): void {
    this.lost();
    this.#transport.end(error);
  }

  #endIfDone(): void {
    if (this.#isOver || this.#ending === undefined || this.outbox.bytes > 0) return;
    if (this.#commands.size > 0 || this.#exposing.size > 0 || this.#cancelling > 0) return;
    if (this.#unhandled.length > 0) return;
    if (this.hostFunctions.openCalls > 0) return;
    this.#isOver = true;
    this.hostFunctions.detach();
    this.#transport.end(this.#ending.error);
  }
}

/** What an exposure takes to be kept, about, in bytes: of itself and of its names. */
function sizeOf({ names }: Expose): number {
  return names.reduce((sum, { length }) => sum + 64 + 2 * length, 256);
}
