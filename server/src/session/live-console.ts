/** The console of one execution: its entries, at most so many bytes of them, told as they come and kept for the outcome. */
import type { ConsoleText } from "../engine/engine.js";
import type { HeapShare } from "../engine/main-heap.js";
import { type ConsoleEntry, consoleEntryOf } from "./outcome.js";
import type { ConsoleRecord } from "./session-record.js";

/** What an entry counts for beside its text and the names in its frame: also empty ones take room here and in an answer. */
const ENTRY_BYTES = 32;
/** What else it takes to be kept. */
const OBJECT_BYTES = 200;

export class LiveConsole {
  readonly #tell: (entry: ConsoleEntry) => void;
  readonly #isKept: boolean;
  readonly #share: HeapShare;
  readonly #entries: ConsoleEntry[] = [];
  /** Told while their turn runs; whether that stands is not known yet. */
  readonly #ofRunningTurn: ConsoleEntry[] = [];
  /** What all that is kept takes. */
  #kept = 0;
  /** Below zero once it is full. */
  #bytesLeft: number;
  /** Something was left out. */
  #isTruncated = false;

  /**
   * @param bytes that may be kept; the entry that passes it is cut and ends with a mark, the rest is left out
   * @param isKept the outcome is to have the entries
   * @param share of what the main thread keeps: where that is full no more entries are
   * @param tell called with each
   */
  constructor(bytes: number, isKept: boolean, share: HeapShare, tell: (entry: ConsoleEntry) => void) {
    this.#bytesLeft = bytes;
    this.#isKept = isKept;
    this.#share = share;
    this.#tell = tell;
  }

  /** Those for the outcome. */
  get entries(): readonly ConsoleEntry[] {
    return this.#entries;
  }

  get isTruncated(): boolean {
    return this.#isTruncated;
  }

  /** What goes on elsewhere. @param room bytes: entries from the first that does not fit are left out, and that is marked */
  record(room: number): ConsoleRecord {
    const entries: ConsoleEntry[] = [];
    let bytes = 0;
    for (const entry of this.#entries) {
      const size = sizeOf(entry);
      if (bytes + size > room) break;
      bytes += size;
      entries.push(entry);
    }
    const isTruncated = this.#isTruncated || entries.length < this.#entries.length;
    return { entries, bytes, bytesLeft: this.#bytesLeft, isTruncated };
  }

  /** Goes on with a console of which this is the record. */
  restore({ entries, bytesLeft, isTruncated }: ConsoleRecord): void {
    this.#entries.push(...entries);
    for (const entry of entries) this.#change(sizeOf(entry) + OBJECT_BYTES);
    this.#bytesLeft = bytesLeft;
    this.#isTruncated = isTruncated;
  }

  /** Takes an entry of a turn that runs. */
  addLive(text: ConsoleText): void {
    const entry = this.#take(text, false);
    if (entry === undefined) return;
    this.#tell(entry);
    if (this.#isKept) this.#ofRunningTurn.push(entry);
  }

  /** Takes an entry of a turn that has ended. @param wasLive it was taken before */
  add(text: ConsoleText, undone: boolean, wasLive: boolean): void {
    if (wasLive) {
      const live = this.#ofRunningTurn.shift();
      if (live !== undefined) this.#entries.push({ ...live, undone });
      return;
    }
    const entry = this.#take(text, undone);
    if (entry === undefined) return;
    this.#tell(entry);
    if (this.#isKept) this.#entries.push(entry);
  }

  /** The turn is undone, and the execution goes on as if it had not been. */
  forgetLive(): void {
    for (const entry of this.#ofRunningTurn.splice(0)) this.#change(-sizeOf(entry) - OBJECT_BYTES);
  }

  /** Nothing is written any more, and its entries are in other hands. */
  close(): void {
    this.#change(-this.#kept);
  }

  #change(bytes: number): void {
    this.#kept += bytes;
    this.#share.change(bytes);
  }

  #take({ text, last }: ConsoleText, undone: boolean): ConsoleEntry | undefined {
    if (this.#bytesLeft < 0) return undefined;
    const entry = this.#cut(consoleEntryOf(text, undone), last);
    if (this.#isKept) this.#change(sizeOf(entry) + OBJECT_BYTES);
    return entry;
  }

  /** @param isLast no more of its turn are to come */
  #cut(entry: ConsoleEntry, isLast: boolean): ConsoleEntry {
    const size = sizeOf(entry);
    const bytes = size + OBJECT_BYTES;
    const hasRoom = !this.#isKept || this.#share.hasRoomFor(bytes, this.#kept + bytes);
    this.#bytesLeft -= hasRoom ? size : Number.POSITIVE_INFINITY;
    const excess = Math.max(0, -this.#bytesLeft);
    if (isLast) this.#bytesLeft = -1;
    if (this.#bytesLeft >= 0) return entry;
    this.#isTruncated = true;
    return { ...entry, text: `${withoutBytes(entry.text, excess)}…` };
  }
}

/** What an entry counts for, in bytes. */
function sizeOf({ text, frame }: ConsoleEntry): number {
  return ENTRY_BYTES + Buffer.byteLength(`${frame?.functionName ?? ""}${frame?.filename ?? ""}${text}`);
}

/** Cuts so many bytes off the end of a text, and what is left of a character that they were a part of. */
function withoutBytes(text: string, count: number): string {
  const bytes = Buffer.from(text);
  return bytes
    .subarray(0, Math.max(0, bytes.length - count))
    .toString()
    .replace(/\ufffd$/, "");
}
