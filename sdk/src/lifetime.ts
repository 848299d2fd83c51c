import { DisposedError } from "./errors.js";

/** Something that somebody waits for. */
export interface UnderWay {
  /**
   * Nobody waits any more: what waits rejects with the error.
   * @param endsAnyway the server ends it without being told so
   */
  giveUp(error: DisposedError, endsAnyway: boolean): void;
}

/** How errors tell of the end of an object. */
interface Words {
  /** What ends, such as "the client". */
  readonly name: string;
  readonly ended: "closed" | "disposed";
  /** What to do instead. */
  readonly advice: string;
}

/**
 * From the making of an object to its end, after which it is of no use: what is under way then is given up, and whoever uses it later
 * hears where it ended. What is under way in a session object is so in its client as well.
 */
export class Lifetime {
  readonly #words: Words;
  readonly #parent: Lifetime | undefined;
  readonly #underWay = new Set<UnderWay>();
  /** Its stack says where it ended. */
  #end: Error | undefined;

  static ofClient(): Lifetime {
    return new Lifetime({ name: "the client", ended: "closed", advice: "connect again" });
  }

  static ofSession(id: string, client: Lifetime): Lifetime {
    const advice = "attach to the session if it lives, or make another";
    return new Lifetime({ name: `this session object (of session ${id})`, ended: "disposed", advice }, client);
  }

  private constructor(words: Words, parent?: Lifetime) {
    this.#words = words;
    this.#parent = parent;
  }

  /** @throws {DisposedError} if it has ended, or that which it is part of */
  assertUsable(): void {
    const { name, ended, advice } = this.#words;
    if (this.#end) throw new DisposedError(`${name} is ${ended}: ${advice}`, { cause: this.#end });
    this.#parent?.assertUsable();
  }

  /** Notes something that is given up if this ends before it. @returns it is over */
  hold(underWay: UnderWay): () => void {
    const over = this.#parent?.hold(underWay);
    this.#underWay.add(underWay);
    return () => {
      this.#underWay.delete(underWay);
      over?.();
    };
  }

  /**
   * Gives up what is under way, which may still tell the server. Ending it again does nothing.
   * @param endsAnyway the server ends what is under way without being told so
   */
  end(endsAnyway = false): void {
    if (this.#end) return;
    const { name, ended } = this.#words;
    const cause = new Error(`${ended} here`);
    // An error for each, which leads to its own caller.
    for (const each of [...this.#underWay]) {
      each.giveUp(new DisposedError(`${name} was ${ended} while this was under way`, { cause }), endsAnyway);
    }
    this.#end = cause;
  }
}
