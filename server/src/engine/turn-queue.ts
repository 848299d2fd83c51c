/** Groups of turns that wait for a worker, in the order they came. */
import type { Group, PendingTurn } from "./pending-turn.js";
import { MAXIMUM_BATCH } from "./worker/messages.js";

export class TurnQueue {
  #groups: Group[] = [];

  get length(): number {
    return this.#groups.length;
  }

  /** The group that waits longest. */
  get first(): Group | undefined {
    return this.#groups[0];
  }

  push(...groups: readonly Group[]): void {
    this.#groups.push(...groups);
  }

  /** Groups that waited before and come again: they are served first. */
  putBack(groups: readonly Group[]): void {
    this.#groups.unshift(...groups);
  }

  /** @returns whether the turn waited here */
  remove(turn: PendingTurn): boolean {
    const group = this.#groups.find(({ turns }) => turns.includes(turn));
    if (group === undefined) return false;
    group.turns = group.turns.filter((other) => other !== turn);
    if (group.turns.length === 0) this.#groups.splice(this.#groups.indexOf(group), 1);
    return true;
  }

  /**
   * Takes up to `share` groups, of no more turns than a batch may have: the first of all, then those that this worker ran
   * last, then others.
   *
   * @param worker its index; left out, the order alone counts
   */
  take(share: number, worker = -1): Group[] {
    const first = this.first;
    if (share === Number.POSITIVE_INFINITY) return this.#groups.splice(0);
    if (share === 1 || first === undefined) return this.#groups.splice(0, 1);
    const batch: Group[] = [];
    let turns = 0;
    const takeIf = (suits: (group: Group) => boolean): void => {
      this.#groups = this.#groups.filter((group) => {
        if (batch.length >= share || turns + group.turns.length > MAXIMUM_BATCH || !suits(group)) return true;
        turns += group.turns.length;
        batch.push(group);
        return false;
      });
    };
    takeIf((group) => group === first);
    takeIf(({ memory }) => memory.lastWorker === worker);
    takeIf(() => true);
    return batch;
  }
}
