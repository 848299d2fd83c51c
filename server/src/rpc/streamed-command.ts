/** One command of a Connect stream: what it says on its way, and how fast it may say it. */
import { type Command, ConnectResponse, encoded, type ServerFrame } from "@livescope/proto";
import type { Logger } from "pino";
import type { HostLink } from "../session/lending.js";
import { FIRST_CREDIT } from "../session/running-execution.js";
import type { Sessions } from "../session/sessions.js";
import type { Outbox } from "./outbox.js";
import { toStatus } from "./status.js";
import { abandon, eventListener, type Submitted, submit } from "./submit.js";
import { executionMessage } from "./values.js";

/** Above this many bytes that the client has not taken, no command may emit more, and the client is not read. */
export const ROOM = 1024 * 1024;
/** Credit is passed on in lots: each costs a turn. */
const LOT = 8;
/** The most that a message may have. */
export const MESSAGE_BYTES = 4 * 1024 * 1024;

const RESOURCE_EXHAUSTED = 8;

/** What a command needs of its stream. */
export interface CommandHost {
  readonly sessions: Sessions;
  readonly outbox: Pick<Outbox, "bytes">;
  readonly logger: Logger;
  /** By which functions are called that a command carries. */
  readonly hostFunctions: HostLink;
  /** Milliseconds since the epoch by which the stream ends; Infinity for none. */
  readonly deadline: number;
  /** Sends an encoded frame. @param taken called when the transport has taken it */
  say(frame: Uint8Array, taken?: () => void): void;
  /** Calls `passCreditOn` when the client has taken enough. */
  waitForRoom(command: StreamedCommand): void;
  /** It has said its last. */
  onFinished(frameId: bigint): void;
}

export class StreamedCommand {
  readonly #host: CommandHost;
  readonly #frameId: bigint;
  readonly #submitted: Submitted;
  /** Values that the client still takes and the guest does not know of. */
  #credit = 0;
  /** Values that the guest may have emitted and the transport has not taken. */
  #underWay = FIRST_CREDIT;
  #isOver = false;

  /** @throws SessionError when the command is refused */
  constructor(host: CommandHost, frameId: bigint, command: Command) {
    this.#host = host;
    this.#frameId = frameId;
    const listener = eventListener(command, (event) => {
      const { executionId } = this.#submitted.execution;
      const taken = event.$case === "emitted" ? () => this.#taken() : undefined;
      this.#say({ $case: "event", value: { executionId, event } }, taken);
    });
    this.#submitted = submit(host.sessions, command, host, listener, host.hostFunctions);
    const { execution, options } = this.#submitted;
    execution.outcome.then(
      (outcome) => {
        const value = executionMessage(outcome, options.encoding);
        this.#say({ $case: "event", value: { executionId: outcome.executionId, event: { $case: "finished", value } } });
        this.#end();
      },
      (error: unknown) => {
        this.#say({ $case: "status", value: toStatus(error, host.logger) });
        this.#end();
      },
    );
  }

  cancel(): void {
    this.#submitted.execution.cancel();
  }

  /** The client takes so many more emitted values. */
  allow(credit: number): void {
    this.#credit += credit;
    this.passCreditOn();
  }

  /** Lets the guest emit as much as the client takes, unless the client is behind. */
  passCreditOn(): void {
    if (this.#credit === 0) return;
    if (this.#host.outbox.bytes > ROOM) return this.#host.waitForRoom(this);
    const credit = Math.min(this.#credit, FIRST_CREDIT - this.#underWay);
    if (credit < Math.min(LOT, this.#credit)) return;
    this.#credit -= credit;
    this.#underWay += credit;
    this.#submitted.execution.allow(credit);
  }

  /** The client is gone. */
  abandon(): void {
    this.#isOver = true;
    abandon(this.#submitted);
  }

  #taken(): void {
    this.#underWay--;
    this.passCreditOn();
  }

  #say(frame: NonNullable<ServerFrame["frame"]>, taken?: () => void): void {
    if (this.#isOver) return;
    const bytes = encodeFrame(this.#frameId, frame);
    if (bytes.length <= MESSAGE_BYTES) return this.#host.say(bytes, taken);
    const message = `the answer has ${bytes.length} bytes, and a message carries at most ${MESSAGE_BYTES}; keep the value in its session, by a handle`;
    this.#host.say(
      encodeFrame(this.#frameId, { $case: "status", value: { code: RESOURCE_EXHAUSTED, message, details: [] } }),
    );
    this.cancel();
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#host.onFinished(this.#frameId);
  }
}

/** A response with this one frame. */
export function encodeFrame(frameId: bigint, frame: NonNullable<ServerFrame["frame"]>): Uint8Array {
  return encoded(ConnectResponse, { frames: [{ frameId, frame }] });
}
