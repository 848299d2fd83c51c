/**
 * What the main thread keeps of sessions beside their memories: answers that may be asked for again, replies that guest code has not
 * taken, calls that are not answered, console entries of what runs. For one session each of these is bounded; as many sessions as there
 * may be, each just below it, would be more than the heap of the process can hold.
 */
import { getHeapStatistics } from "node:v8";
import { type IdHolder, IdRoom } from "./id-room.js";

/** Sizes are of characters, which may take two bytes each; and requests and answers on their way take room there too. */
const PART_OF_HEAP = 1 / 6;
/** Who keeps no more than this, in bytes, has as much room again as all others: who keeps much takes nothing away from those who keep little. */
const LITTLE = 16 * 1024;

export class MainHeap {
  readonly #most: number;
  /** For what may be forgotten. */
  readonly ids: IdRoom;
  #bytes = 0;

  /** @param most bytes of all sessions together; default: a sixth of what the heap of the process may grow to */
  constructor(most = getHeapStatistics().heap_size_limit * PART_OF_HEAP, ids = new IdRoom()) {
    this.#most = most;
    this.ids = ids;
  }

  /** @param isLittle who asks keeps little */
  hasRoomFor(bytes: number, isLittle: boolean): boolean {
    return this.#bytes + bytes <= (isLittle ? 2 : 1) * this.#most;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }
}

/** What one session keeps of it. */
export class HeapShare implements IdHolder {
  /** Forgets so many ids of requests, the oldest; set by who knows them. */
  forgetIds: (count: number) => void = () => undefined;
  readonly #heap: MainHeap;
  #bytes = 0;
  #isOver = false;

  constructor(heap: MainHeap) {
    this.#heap = heap;
  }

  /**
   * Whether so much more may be kept.
   *
   * @param all bytes with what is kept of the same kind already
   */
  hasRoomFor(bytes: number, all: number): boolean {
    return this.#heap.hasRoomFor(bytes, all <= LITTLE);
  }

  /** So much more is kept, or less. */
  change(bytes: number): void {
    if (this.#isOver) return;
    this.#bytes += bytes;
    this.#heap.add(bytes);
  }

  /** So many more ids of requests are known, or fewer. */
  changeIds(by: number): void {
    if (!this.#isOver) this.#heap.ids.change(this, by);
  }

  /** The session is gone, with all that was kept of it. */
  end(): void {
    this.change(-this.#bytes);
    this.#heap.ids.end(this);
    this.#isOver = true;
  }
}
