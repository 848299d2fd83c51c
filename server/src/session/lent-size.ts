/** What the main thread keeps of the clients of one session: their ids, and the ids and names of what they lend. */
import type { HeapShare } from "../engine/main-heap.js";

/** What each takes beside the characters of its id or name, about, in bytes. */
const BESIDE = { client: 1024, lent: 128 };

export class LentSize {
  readonly #share: HeapShare;
  #size = 0;

  constructor(share: HeapShare) {
    this.#share = share;
  }

  /** Whether these may be kept, too. */
  hasRoomFor(ids: Iterable<string>, beside = BESIDE.lent): boolean {
    const size = sizeOf(ids, beside);
    return size === 0 || this.#share.hasRoomFor(size, this.#size + size);
  }

  hasRoomForClient(id: string): boolean {
    return this.hasRoomFor([id], BESIDE.client);
  }

  add(ids: Iterable<string>): void {
    this.#change(sizeOf(ids, BESIDE.lent));
  }

  remove(ids: Iterable<string>): void {
    this.#change(-sizeOf(ids, BESIDE.lent));
  }

  addClient(id: string): void {
    this.#change(sizeOf([id], BESIDE.client));
  }

  removeClient(id: string): void {
    this.#change(-sizeOf([id], BESIDE.client));
  }

  #change(size: number): void {
    this.#size += size;
    this.#share.change(size);
  }
}

/** What the ids or names of functions take, about, in bytes. */
export function sizeOfLent(ids: Iterable<string>): number {
  return sizeOf(ids, BESIDE.lent);
}

function sizeOf(ids: Iterable<string>, beside: number): number {
  let size = 0;
  for (const { length } of ids) size += length + beside;
  return size;
}
