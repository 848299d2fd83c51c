import type { ExecutionLimits } from "./limits.js";

/** How long a request may take and what ends it early. */
export interface RequestOptions {
  /**
   * How long the request may take, in milliseconds. Passing it is a {@link StatusError} with code DEADLINE_EXCEEDED. Left out:
   * as long as it takes.
   */
  readonly timeout?: number | undefined;
  /** Ends the request when aborted, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of everything that runs code in a session. */
export interface CallOptions {
  /**
   * The wall time of the execution from its first turn, in milliseconds; passing it is a {@link StoppedError} with reason
   * TIMEOUT. If nothing was heard from the server one second after it, counted from the sending and so with the waiting in the
   * session's queue, the error is a {@link StatusError} with code DEADLINE_EXCEEDED. Left out: the session's limit, without
   * the waiting.
   */
  readonly timeout?: number | undefined;
  /** Ends the execution when aborted: the promise rejects at once with the signal's reason, and the server is told. */
  readonly signal?: AbortSignal | undefined;
  /** What the execution may use, where that is less than what the session may. */
  readonly limits?: ExecutionLimits | undefined;
  /**
   * What guest code finds in `locals` during this execution: `locals.user` there is what `user` is here, in everything that the
   * execution calls, also after awaits and in timers. Other executions see nothing of it. The name `with` cannot be used. JSON
   * data, Uint8Arrays, undefined and handles.
   */
  readonly locals?: Readonly<Record<string, unknown>> | undefined;
  /**
   * Makes all turns of the execution one: if it throws or is stopped, all that it did is undone. It waits until no other
   * execution of the session is in flight, and holds the session until it ends. Host calls that it made and values that it
   * emitted stay made. Left out: false.
   */
  readonly atomic?: boolean | undefined;
  /**
   * A UUID that makes a repeat of the same request safe, also from another process: it gives the outcome of the first one
   * instead of running again. Left out: one is made, which makes the SDK's own retries safe.
   */
  readonly requestId?: string | undefined;
}

/** Options of the execution of source text. */
export interface ExecuteOptions extends CallOptions {
  /**
   * Names visible to the source and to the closures made in it, and what they stand for. They are never written to the global
   * object. JSON data, Uint8Arrays, undefined and handles.
   */
  readonly bindings?: Readonly<Record<string, unknown>> | undefined;
  /** What stack traces call the source. Left out: a name that the server makes. */
  readonly filename?: string | undefined;
}

/** Options of looking at a value without running guest code. */
export interface InspectOptions extends RequestOptions {
  /** The most properties to list, at most 1,000. Left out: 100. */
  readonly maxProperties?: number | undefined;
}
