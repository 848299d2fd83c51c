import type { Execution } from "@livescope/proto";
import { withResolvers } from "../with-resolvers.js";
import type { StartedCommand } from "./commands.js";

/** A command that begins later in the tick, and may be cancelled or given up before. */
export class LateCommand implements StartedCommand {
  readonly #begin: () => StartedCommand;
  readonly #end = withResolvers<Execution>();
  #started: StartedCommand | undefined;
  #credit = 0;
  #isCancelled = false;
  #isGivenUp = false;

  constructor(begin: () => StartedCommand) {
    this.#begin = begin;
  }

  get finished(): Promise<Execution> {
    return this.#end.promise;
  }

  get wasSent(): boolean {
    return this.#started?.wasSent === true;
  }

  /** Begins it, once. What that throws is how it ends. */
  begin(): void {
    if (this.#isGivenUp) return;
    try {
      this.#started = this.#begin();
    } catch (error) {
      return this.#end.reject(error);
    }
    if (this.#credit > 0) this.#started.allow(this.#credit);
    if (this.#isCancelled) this.#started.cancel();
    this.#started.finished.then(this.#end.resolve, this.#end.reject);
  }

  allow(credit: number): void {
    if (this.#started === undefined) this.#credit += credit;
    else this.#started.allow(credit);
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#started?.cancel();
  }

  giveUp(error: unknown, endsAnyway = false): void {
    this.#isGivenUp = true;
    if (this.#started === undefined) this.#end.reject(error);
    else this.#started.giveUp(error, endsAnyway);
  }
}
