import type { ConsoleEntry } from "./execution.js";
import type { ExecutionLimits } from "./limits.js";

/** How long a request may take and what ends it early. */
export interface RequestOptions {
  /**
   * How long the request may take, in milliseconds. Passing it is a {@link StatusError} with code DEADLINE_EXCEEDED. Left out, or
   * longer than 11,000 years: as long as it takes.
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
  /**
   * Called with what the guest writes to its console as it comes, while the code runs. The entries are with the execution as
   * well.
   */
  readonly onConsole?: ((entry: ConsoleEntry) => void) | undefined;
  /** What the execution may use, where that is less than what the session may. */
  readonly limits?: ExecutionLimits | undefined;
  /**
   * What guest code finds in `locals` during this execution: `locals.user` there is what `user` is here, in everything that the
   * execution calls, also after awaits and in timers. Other executions see nothing of it. The name `with` cannot be used. Values
   * that can be copied, handles, guests, and functions of yours.
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
   * instead of running again. With one a call whose connection breaks is sent again; without one it fails with
   * {@link ConnectionLostError} then. Left out: none; for a durable session, or over the transport "unary", one that is made for
   * each call.
   */
  readonly requestId?: string | undefined;
}

/** Options of the execution of source text. */
export interface ExecuteOptions extends CallOptions {
  /**
   * Names visible to the source and to the closures made in it, and what they stand for. They are never written to the global
   * object. Values that can be copied, handles, guests, and functions of yours.
   */
  readonly bindings?: Readonly<Record<string, unknown>> | undefined;
  /** What stack traces call the source. Left out: a name that the server makes. */
  readonly filename?: string | undefined;
  /**
   * What the source is written in. Of TypeScript the types are taken out and positions stay; they are not checked, and what
   * would have to become code, such as an enum, does not parse. Left out: JavaScript.
   */
  readonly language?: "javascript" | "typescript" | undefined;
  /**
   * How the source is evaluated. A module's name is `filename`, which later imports lead to; what comes out is its namespace.
   * Bindings are for scripts alone. Left out: a script, as at a console.
   */
  readonly sourceType?: "script" | "module" | undefined;
  /**
   * Texts of modules by the name that `import` gives; they are added to the session first and stay. Those whose name ends in
   * `.ts` are TypeScript. A name that the session has already for another text is an {@link InvalidRequestError}.
   */
  readonly modules?: Readonly<Record<string, string>> | undefined;
}

/** Options of loading a module. */
export interface LoadOptions extends CallOptions {
  /** The module's name, which imports lead to and stack traces show. Left out: the session names it. */
  readonly filename?: string | undefined;
  /** What the module is written in; see {@link ExecuteOptions}. Left out: TypeScript if `filename` ends in `.ts`, else JavaScript. */
  readonly language?: "javascript" | "typescript" | undefined;
  /** Texts of modules by the name that `import` gives; see {@link ExecuteOptions}. */
  readonly modules?: Readonly<Record<string, string>> | undefined;
}

/** The text of a template, or the name of one that the session has. */
export type Template = string | { readonly name: string };

/** Names that a template sees before those of its session, and what they stand for; values as those of bindings. */
export type RenderContext = Readonly<Record<string, unknown>>;

/** Options of rendering a template. */
export interface RenderOptions extends CallOptions {
  /** Templates that are added to the session first, by name; those of the same name are replaced. */
  readonly templates?: Readonly<Record<string, string>> | undefined;
  /** What errors call a template given as text. Names in it are relative to its folder. Left out: a name that the server makes. */
  readonly filename?: string | undefined;
  /** Says whether `{{ }}` escapes for HTML, where a template does not say so itself. Left out: true. */
  readonly autoescape?: boolean | undefined;
}

/** Options of looking at a value without running guest code. */
export interface InspectOptions extends RequestOptions {
  /** The most properties to list, at most 1,000. Left out: 100. */
  readonly maxProperties?: number | undefined;
}
