/** The console of one execution: its entries, at most so many bytes of them, kept for the outcome or told as they come. */
import type { ConsoleText } from "../engine/engine.js";
import type { ExecutionListener } from "./execution.js";
import type { ConsoleEntry } from "./outcome.js";

export class LiveConsole {
  readonly #listener: ExecutionListener | undefined;
  readonly #entries: ConsoleEntry[] = [];
  #bytesLeft: number;
  #isTruncated = false;

  /** @param bytes of text that may be kept; the entry that passes it is cut and ends with a mark, the rest is left out */
  constructor(bytes: number, listener: ExecutionListener | undefined) {
    this.#bytesLeft = bytes;
    this.#listener = listener;
  }

  /** Those that were not told as they came. */
  get entries(): readonly ConsoleEntry[] {
    return this.#entries;
  }

  get isTruncated(): boolean {
    return this.#isTruncated;
  }

  /** Takes an entry of a turn that has ended. */
  add(entry: ConsoleText, undone: boolean): void {
    if (this.#listener === undefined) this.#take(entry, undone, (cut) => this.#entries.push(cut));
  }

  /** Takes an entry of a turn that runs. */
  addLive(entry: ConsoleText): void {
    const listener = this.#listener;
    if (listener !== undefined) this.#take(entry, false, (cut) => listener.console(cut));
  }

  #take({ text, last }: ConsoleText, undone: boolean, give: (entry: ConsoleEntry) => void): void {
    if (this.#isTruncated) return;
    const { level, time, text: line } = JSON.parse(text) as ConsoleEntry;
    this.#bytesLeft -= Buffer.byteLength(line);
    this.#isTruncated = last || this.#bytesLeft < 0;
    const shown = this.#isTruncated ? `${withoutBytes(line, Math.max(0, -this.#bytesLeft))}…` : line;
    give({ level, time, text: shown, undone });
  }
}

/** Cuts so many bytes off the end of a text, and what is left of a character that they were a part of. */
function withoutBytes(text: string, count: number): string {
  const bytes = Buffer.from(text);
  return bytes
    .subarray(0, bytes.length - count)
    .toString()
    .replace(/\ufffd$/, "");
}
