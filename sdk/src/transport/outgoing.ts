import { type ClientFrame, ConnectRequest, encoded } from "@livescope/proto";
import { ResourceExhaustedError } from "../errors.js";
import { PendingCommand } from "./pending-command.js";
import type { Saying } from "./saying.js";

/** The most that a message may have, in bytes, and how much of it is filled by joining what was said in one tick. */
const MESSAGE_BYTES = 4 * 1024 * 1024;
const JOINED_BYTES = 1024 * 1024;

/** Something about a command that was said before: credit for it, or its end. */
interface Control {
  readonly command: PendingCommand;
  readonly credit: number | undefined;
}

/** What a connection has still to say, in order. */
export class Outgoing {
  #waiting: (PendingCommand | Control | Saying)[] = [];
  /** Frames ascend within a stream. */
  #nextFrameId = 1;

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  add(command: PendingCommand): void {
    this.#waiting.push(command);
  }

  addSaying(saying: Saying): void {
    this.#waiting.push(saying);
  }

  /** What is said first on a new stream, before all that waits. */
  putFirst(sayings: readonly Saying[]): void {
    this.#waiting.unshift(...sayings);
  }

  addCredit(command: PendingCommand, credit: number): void {
    this.#waiting.push({ command, credit });
  }

  addCancel(command: PendingCommand): void {
    this.#waiting.push({ command, credit: undefined });
  }

  /** Since when the one waits that waits longest, as `performance.now()` tells the time; undefined if none does. */
  get waitsSince(): number | undefined {
    const times = this.#commands.map((command) => command.waitsSince);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Takes commands back that wait, all or those chosen; what is no command has no stream any more, and is dropped. */
  takeCommands(isTaken: (command: PendingCommand) => boolean = () => true): PendingCommand[] {
    const commands = this.#commands;
    this.#waiting = commands.filter((command) => !isTaken(command));
    return commands.filter(isTaken);
  }

  get #commands(): PendingCommand[] {
    return this.#waiting.filter((each): each is PendingCommand => each instanceof PendingCommand && !each.isOver);
  }

  /**
   * Takes as much as fits into a message. Empty: nothing that waited is of any use any more.
   *
   * @param onSent called with each command that is in it, and has its frame id
   */
  nextMessage(onSent: (command: PendingCommand) => void): Buffer {
    const parts: Uint8Array[] = [];
    let size = 0;
    let taken = 0;
    const refused: (() => void)[] = [];
    for (const each of this.#waiting) {
      if (size > JOINED_BYTES) break;
      const part = encode(each, this.#nextFrameId);
      if (part !== undefined && size > 0 && size + part.length > MESSAGE_BYTES) break;
      taken++;
      if (part === undefined) continue;
      if (each instanceof PendingCommand) {
        if (part.length > MESSAGE_BYTES) {
          each.reject(tooLarge(part.length));
          continue;
        }
        each.frameId = this.#nextFrameId++;
        each.wasSent = true;
        onSent(each);
      } else if ("frame" in each) {
        if (part.length > MESSAGE_BYTES) {
          refused.push(() => each.tooLarge?.(part.length));
          continue;
        }
        const frameId = this.#nextFrameId++;
        each.sent?.(frameId);
      }
      parts.push(part);
      size += part.length;
    }
    this.#waiting.splice(0, taken);
    for (const each of refused) each();
    return Buffer.concat(parts, size);
  }
}

/** Undefined where nobody waits for it any more. */
function encode(each: PendingCommand | Control | Saying, nextFrameId: number): Uint8Array | undefined {
  if (each instanceof PendingCommand) {
    if (each.isOver) return undefined;
    const frame = each.frame(nextFrameId);
    return encodeFrames(each.isCancelled ? [frame, cancelOf(frame.frameId)] : [frame]);
  }
  if ("frame" in each) return encodeFrames([{ frameId: BigInt(nextFrameId), frame: each.frame }]);
  const { command, credit } = each;
  if (command.frameId === 0) return undefined;
  const frameId = BigInt(command.frameId);
  return encodeFrames([
    credit === undefined ? cancelOf(frameId) : { frameId, frame: { $case: "credit", value: credit } },
  ]);
}

function cancelOf(frameId: bigint): ClientFrame {
  return { frameId, frame: { $case: "cancel", value: { sessionId: "", executionId: "" } } };
}

/** Encoded messages that follow each other are one message with the frames of all. */
function encodeFrames(frames: ClientFrame[]): Uint8Array {
  return encoded(ConnectRequest, { frames });
}

function tooLarge(bytes: number): ResourceExhaustedError {
  const message = `the request has ${bytes} bytes, and a message carries at most ${MESSAGE_BYTES}: send it in parts`;
  return new ResourceExhaustedError(message, { code: "RESOURCE_EXHAUSTED" });
}
