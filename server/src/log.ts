/**
 * Where the log goes. A line that cannot be written is lost, and that is all: a disk has no room, or who reads a pipe is gone or slow, and
 * the server goes on and waits for nobody. It writes by itself because a stream keeps what it could not write, and because that of pino
 * tries for ever at the end of the process.
 */
import { writeSync } from "node:fs";

/** Takes the lines of pino. */
export class Log {
  readonly #descriptor: number;
  /** The last line was written in part, as where a disk becomes full. */
  #isCut = false;

  /** @param descriptor of a pipe one that does not block, as Node has made it for `process.stderr` */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  write(line: string): void {
    const bytes = Buffer.from(this.#isCut ? `\n${line}` : line);
    try {
      this.#isCut = writeSync(this.#descriptor, bytes) < bytes.length;
    } catch {
      // There is no other place to tell it.
    }
  }
}
