/** The life of a session in memory: when it was used, who has it in hand, and how it ended. */
import { invalid, type SessionError } from "./errors.js";
import { MachineClock } from "./machine-clock.js";

/** Milliseconds: 30 minutes unless the session says otherwise, at most a week. */
const DEFAULT_IDLE_TTL = 30 * 60_000;
const MAXIMUM_IDLE_TTL = 7 * 24 * 60 * 60_000;

export class SessionLife {
  #lastUsedAt: number;
  readonly #machineClock = new MachineClock();
  #uses = 0;
  #holds = 0;
  #ended: SessionError | undefined;
  #why: (() => SessionError) | undefined;

  constructor(lastUsedAt: number) {
    this.#lastUsedAt = lastUsedAt;
  }

  /** Milliseconds since the epoch. Where the machine's clock was set since, it is as long ago as it was. */
  get lastUsedAt(): number {
    this.#lastUsedAt += this.#machineClock.takeJump();
    return this.#lastUsedAt;
  }

  set lastUsedAt(time: number) {
    this.#machineClock.takeJump();
    this.#lastUsedAt = time;
  }

  /** Counts whatever changes the session or may. */
  get uses(): number {
    return this.#uses;
  }

  /** True while somebody has it in hand. */
  get isHeld(): boolean {
    return this.#holds > 0;
  }

  /** Why nothing can be done with it any more; undefined while it lives. */
  get ended(): SessionError | undefined {
    // Made for who asks. Most sessions end where nobody does, and what takes longest of that would be the error.
    this.#ended ??= this.#why?.();
    return this.#ended;
  }

  /** It is used now: its time begins anew. */
  use(): void {
    this.#uses++;
    this.lastUsedAt = Date.now();
  }

  /** Something of it changes, which gives it no more time. */
  change(): void {
    this.#uses++;
  }

  /** Counts as in hand until what this gives is called. */
  hold(): () => void {
    this.#holds++;
    return () => void this.#holds--;
  }

  /** @param why for all who come from now on */
  end(why: () => SessionError): void {
    this.#why = why;
  }
}

/** @throws SessionError INVALID_REQUEST */
export function checkedIdleTtl(idleTtl: number): number {
  if (idleTtl >= 0 && idleTtl <= MAXIMUM_IDLE_TTL) return idleTtl || DEFAULT_IDLE_TTL;
  throw invalid("idle_ttl", `must be between 0 (the default) and ${MAXIMUM_IDLE_TTL / 1000} s`);
}
