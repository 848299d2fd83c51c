/**
 * Ids of requests that sessions know, so that late repeats are refused: each session knows some thousands at most, and as many sessions
 * as there may be would know more than the heap of the process can hold. Where they are too many, who knows most forgets its oldest.
 */
import { getHeapStatistics } from "node:v8";

/** What one takes, with what it stands in, measured; longer ones than a UUID take some more. */
const ID_BYTES = 250;
const PART_OF_HEAP = 1 / 8;
/** So much of what one holder knows is forgotten at once: to find who knows most is to look at all. */
const FORGOTTEN = 1 / 4;

/** Who knows ids. */
export interface IdHolder {
  /** Forgets so many, the oldest, and says so by `change`. */
  forgetIds(count: number): void;
}

export class IdRoom {
  readonly #most: number;
  /** How many each knows; without those that know none. */
  readonly #known = new Map<IdHolder, number>();
  #count = 0;

  /** @param most ids of all holders together; default: as many as an eighth of what the heap of the process may grow to has room for */
  constructor(most = (getHeapStatistics().heap_size_limit * PART_OF_HEAP) / ID_BYTES) {
    this.#most = most;
  }

  /** So many more are known by this one, or fewer. */
  change(holder: IdHolder, by: number): void {
    const known = (this.#known.get(holder) ?? 0) + by;
    if (known > 0) this.#known.set(holder, known);
    else this.#known.delete(holder);
    this.#count += by;
    if (by > 0 && this.#count > this.#most) this.#forget();
  }

  /** It is gone, with all that it knew. */
  end(holder: IdHolder): void {
    this.change(holder, -(this.#known.get(holder) ?? 0));
  }

  #forget(): void {
    let most: IdHolder | undefined;
    let known = 0;
    for (const [holder, count] of this.#known) {
      if (count <= known) continue;
      most = holder;
      known = count;
    }
    most?.forgetIds(Math.ceil(known * FORGOTTEN));
  }
}
