import { AsyncLocalStorage } from "node:async_hooks";
import { LivescopeError, type StatusError } from "./errors.js";
import type { Handle } from "./handle.js";
import type { Session } from "./session.js";

/**
 * A function of the client that guest code calls. It is given what the guest passed, as a result comes out of the session, and
 * after that a {@link HostCallContext}. The last parameter that the function declares is taken for that one: where the guest passed
 * fewer arguments, undefined stands for those missing before it. JavaScript counts no parameter that has a default value, nor those behind
 * it: a function with one asks {@link hostCall}. What it returns, awaited, is the guest's, and so is what it throws.
 */
// biome-ignore lint/suspicious/noExplicitAny: guest code decides what it passes; who knows better declares it
export type HostFunction = (...args: any[]) => unknown;

/** Options of {@link Session.expose}. */
export interface ExposeOptions {
  /**
   * How long each call may take, in milliseconds. After it the function's signal is aborted, and the guest's promise rejected
   * with a TimeoutError. Left out: as long as the guest's execution.
   */
  readonly timeout?: number | undefined;
  /** Takes names from the client that provides them; its calls in flight are made here. Left out: false. */
  readonly takeOver?: boolean | undefined;
  /**
   * How long calls wait when the connection of this client breaks, in milliseconds, before they are rejected; 0 is not at all,
   * the most are ten minutes. It is one for all that the client lends to the session: what the last exposure says counts. Left out:
   * the server's default, 30 seconds.
   */
  readonly reconnectWindow?: number | undefined;
}

/** One call of a host function by guest code. */
export interface HostCallContext {
  /** The locals of the execution that calls, where it calls. */
  readonly locals: Readonly<Record<string, unknown>>;
  /** Aborted when nobody waits for the call any more: it was cancelled, or its time is over. */
  readonly signal: AbortSignal;
  /**
   * The session that calls. What is run in it by this function, through this or any object of the session, runs on behalf of the
   * execution that calls: also within an atomic one, and never longer than it.
   */
  readonly session: Session;
  /** Names the call, also when it is made again after a reconnect. */
  readonly callId: string;
  /** Gives a handle of one's own for one among the arguments, which are released when the call has its answer. */
  keep(handle: Handle): Promise<Handle>;
}

/** Functions that guest code may call, from `session.expose()` until they are released. */
export class Exposure implements AsyncDisposable {
  readonly names: readonly string[];
  /**
   * Resolves when guest code can call the functions no more: they were released, or the client or the session object was
   * closed; with an error if the session was deleted or has expired, another client has taken one of their names over, or the server
   * did not take them back after a reconnect.
   */
  readonly ended: Promise<StatusError | undefined>;
  readonly #release: () => void;

  /** @internal */
  constructor(names: readonly string[], ended: Promise<StatusError | undefined>, release: () => void) {
    this.names = names;
    this.ended = ended;
    this.#release = release;
  }

  /**
   * Ends the use of the functions: calls that guest code makes from now on are rejected; those that run go on. The names stay
   * this client's as long as its stream does, which without other use is a second; then others may have them.
   */
  async release(): Promise<void> {
    this.#release();
  }

  /** See `release`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

/** What a call that runs is known by. */
export interface RunningHostCall {
  readonly context: HostCallContext;
  readonly sessionId: string;
  /** Empty where no execution owns the call. */
  readonly executionId: string;
  /** Undefined while the server waits for the call; else resolves when it does again, or never will. */
  untilAsked(): Promise<void> | undefined;
  /** That of which the call is the callback. */
  readonly sequence?: AtomicSequence;
}

/** A sequence that runs as one atomic execution. */
export interface AtomicSequence {
  /** What ended it, once it has failed: what its callback still asks for would not be undone with it. */
  failure?: { readonly error: unknown };
  /** Resolves when it has failed. */
  readonly failed: Promise<void>;
}

/** The call that the running code belongs to. */
export const runningHostCall = new AsyncLocalStorage<RunningHostCall>();

/**
 * Gives the call that the running code answers, at any depth of the host function, also after awaits. Guest code chooses how
 * many arguments it passes, and so at which place the context comes as an argument; what is asked for here is always the call's.
 * @throws {LivescopeError} if the running code was not called by a host function
 */
export function hostCall(): HostCallContext {
  const running = runningHostCall.getStore();
  if (running !== undefined) return running.context;
  throw new LivescopeError("hostCall() is for host functions, and for what they call");
}
