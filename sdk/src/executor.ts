import { randomUUID } from "node:crypto";
import {
  CallRequest,
  Encoding,
  ExecuteRequest,
  Language,
  RenderRequest,
  SourceType,
  type ConsoleEntry as WireConsoleEntry,
} from "@livescope/proto";
import {
  ConnectionLostError,
  DisposedError,
  ExecutionError,
  LivescopeError,
  StatusError,
  traceToCaller,
} from "./errors.js";
import { type Execution, ExecutionPromise, readConsoleEntry } from "./execution.js";
import { ExecutionStream, type StreamSink } from "./execution-stream.js";
import { GuestExecution, type GuestExecutionSource, Reading } from "./guest-execution.js";
import { placeOf } from "./guest-place.js";
import { Handle } from "./handle.js";
import { runningHostCall } from "./host-function.js";
import { PassedFunctions } from "./host-functions.js";
import type { Lifetime } from "./lifetime.js";
import { writeLimits } from "./limits.js";
import type { CallOptions, ExecuteOptions, RenderContext, RenderOptions, Template } from "./options.js";
import { readOutcome, readValue, type WrapHandle } from "./outcome.js";
import type { SessionHandles } from "./session-handles.js";
import type { AnyCommand, CommandListener, CommandTransport, Sending, StartedCommand } from "./transport/commands.js";
import { encodeHandle, encodeValue, encodeValues, type PassFunction } from "./values.js";

/** How much longer than the execution's own timeout an answer is waited for, in milliseconds. */
const DEADLINE_GRACE = 1_000;
/** What stacks call the scripts that do with a guest what a path cannot say. */
export const GUEST_SCRIPT = "guest-call.js";

/** The session that code runs in, and who counts the handles that come out of it. */
export interface ExecutorSession {
  readonly id: string;
  /** It outlives the server, so calls of it are worth repeating. */
  readonly isDurable: boolean;
  readonly handles: SessionHandles;
  /** Keeps functions that a command carries. @returns forgets them: the command was refused */
  pass(functions: PassedFunctions): () => void;
}

/** A command, and the functions of the client that it carries. What it is may be decided when it is sent. */
interface Written {
  readonly command: AnyCommand | (() => { readonly command: AnyCommand; readonly sink: StreamSink | undefined });
  readonly functions: PassedFunctions;
}

/** Who hears of an execution before its end, and what stands for handles in its values. */
interface Taking {
  readonly sink?: StreamSink | undefined;
  readonly started?: ((command: StartedCommand) => void) | undefined;
  readonly wrap?: WrapHandle | undefined;
}

/** What to call: a handle, a function below it, or without a handle one below the session's names. */
export interface CallTarget {
  readonly handle?: Handle;
  /** Dotted; empty is the handle itself. */
  readonly path: string;
  /** Calls it with `new`. */
  readonly construct?: boolean;
}

/**
 * A call of a guest's function: by its path, or where no path leads to it, or what is asked for is more than calling it, by a
 * script over `bindings`. Values are written when it is asked for.
 */
export interface GuestCommand {
  /** Undefined where a script has to call. */
  readonly target: CallTarget | undefined;
  /** Names of bindings: the arguments of a call by path. */
  readonly args: readonly string[];
  readonly bindings: Readonly<Record<string, unknown>>;
  /** The script that calls, or that gives one after the other what the result iterates over. */
  script(reading: "result" | "items"): string;
}

/** Sends code to run, and makes a value or an error of what became of it. */
export class Executor {
  readonly #commands: CommandTransport;
  readonly #lifetime: Lifetime;
  readonly #session: ExecutorSession | undefined;

  /** @param lifetime its end gives up what is under way. Without `session` every execution has a session of its own. */
  constructor(commands: CommandTransport, lifetime: Lifetime, session?: ExecutorSession) {
    this.#commands = commands;
    this.#lifetime = lifetime;
    this.#session = session;
  }

  /** @param wrap makes what stands for handles in the value */
  execute<T>(code: string, given: ExecuteOptions, encoding = Encoding.FULL, wrap?: WrapHandle): ExecutionPromise<T> {
    const options = this.#repeatable(given);
    return this.#start(options, () => this.#execute(code, options, encoding, wrap), wrap);
  }

  call<T>(
    target: CallTarget,
    args: readonly unknown[],
    given: CallOptions,
    encoding = Encoding.FULL,
    wrap?: WrapHandle,
  ): ExecutionPromise<T> {
    const options = this.#repeatable(given);
    return this.#start(options, () => this.#call(target, args, options, encoding, wrap), wrap);
  }

  /** Calls a guest's function. How its values are taken may be said as long as the running code does not wait. */
  callGuest<T>(make: () => GuestCommand, options: CallOptions, wrap: WrapHandle): GuestExecution<T> {
    const reading = new Reading();
    const write = (): Written => this.#callGuest(make(), options, reading, wrap);
    const started = (command: StartedCommand): void => reading.onStarted(command);
    const execution = this.#run<T>(options, write, new Error("called here"), { started, wrap });
    return new GuestExecution(execution, reading, this.#reader(wrap));
  }

  streamExecute<T, R>(code: string, options: ExecuteOptions, wrap?: WrapHandle): ExecutionStream<T, R> {
    return this.#stream(options, () => this.#execute(code, options, Encoding.FULL, wrap), wrap);
  }

  streamCall<T, R>(target: CallTarget, args: readonly unknown[], options: CallOptions): ExecutionStream<T, R> {
    return this.#stream(options, () => this.#call(target, args, options, Encoding.FULL));
  }

  render(template: Template, context: RenderContext, given: RenderOptions): ExecutionPromise<string> {
    const options = this.#repeatable(given);
    return this.#start(options, () => this.#render(template, context, options, false));
  }

  streamRender(template: Template, context: RenderContext, options: RenderOptions): ExecutionStream<string, undefined> {
    return this.#stream(options, () => this.#render(template, context, options, true));
  }

  /** What runs on behalf of another execution is nothing without that one; and of streams some values may be lost. */
  #repeatable<T extends CallOptions>(options: T): T {
    if (this.#session?.isDurable !== true || options.requestId !== undefined) return options;
    if (this.#parentExecutionId() !== "") return options;
    return { ...options, requestId: randomUUID() };
  }

  #execute(code: string, options: ExecuteOptions, encoding: Encoding, wrap?: WrapHandle): Written {
    const functions = new PassedFunctions(wrap);
    const pass = this.#passer(functions);
    const command: AnyCommand = {
      $case: "execute",
      value: ExecuteRequest.create({
        ...this.#shared(options, pass),
        sessionId: this.#session?.id,
        code,
        filename: options.filename ?? "",
        language: options.language === "typescript" ? Language.TYPESCRIPT : Language.UNSPECIFIED,
        sourceType: options.sourceType === "module" ? SourceType.MODULE : SourceType.UNSPECIFIED,
        bindings: encodeValues(options.bindings, "bindings", pass),
        modules: new Map(Object.entries(options.modules ?? {})),
        encoding,
      }),
    };
    return { command, functions };
  }

  #callGuest(call: GuestCommand, options: CallOptions, reading: Reading, wrap: WrapHandle): Written {
    const { target } = call;
    const functions = new PassedFunctions(wrap);
    const pass = this.#passer(functions);
    const repeatable = this.#repeatable(options);
    const shared = { ...this.#shared(options, pass), sessionId: this.#session?.id ?? "", encoding: Encoding.FULL };
    const bindings = encodeValues(call.bindings, "guest", pass);
    const handleId = target?.handle && encodeHandle(target.handle, "the guest").handleId;
    const command = (): AnyCommand => {
      const requestId = (reading.wants === "result" ? repeatable : options).requestId ?? "";
      const common = { ...shared, requestId };
      if (target === undefined || reading.wants === "items") {
        const code = call.script(reading.wants === "items" ? "items" : "result");
        return {
          $case: "execute",
          value: ExecuteRequest.create({ ...common, code, filename: GUEST_SCRIPT, bindings }),
        };
      }
      const args = call.args.map((name) => bindings.get(name) ?? {});
      return { $case: "call", value: CallRequest.create({ ...common, handleId, path: target.path, args }) };
    };
    return { command: () => ({ command: command(), sink: reading.settle() }), functions };
  }

  #call(
    target: CallTarget,
    args: readonly unknown[],
    options: CallOptions,
    encoding: Encoding,
    wrap?: WrapHandle,
  ): Written {
    const functions = new PassedFunctions(wrap);
    const pass = this.#passer(functions);
    const command: AnyCommand = {
      $case: "call",
      value: CallRequest.create({
        ...this.#shared(options, pass),
        sessionId: this.#session?.id ?? "",
        handleId: target.handle && encodeHandle(target.handle, "what is called").handleId,
        path: target.path,
        args: args.map((arg, index) => encodeValue(arg, `args[${index}]`, pass)),
        construct: target.construct ?? false,
        encoding,
      }),
    };
    return { command, functions };
  }

  /** Functions live as long as a session holds them: without one they cannot be sent. */
  #passer(functions: PassedFunctions): PassFunction | undefined {
    return this.#session && ((run) => functions.add(run));
  }

  #render(template: Template, context: RenderContext, options: RenderOptions, stream: boolean): Written {
    const functions = new PassedFunctions();
    const { handleGroup: _, ...shared } = this.#shared(options, this.#passer(functions));
    const command: AnyCommand = {
      $case: "render",
      value: RenderRequest.create({
        ...shared,
        sessionId: this.#session?.id ?? "",
        template:
          typeof template === "string" ? { $case: "source", value: template } : { $case: "name", value: template.name },
        templates: new Map(Object.entries(options.templates ?? {})),
        context: encodeValues(context, "context", this.#passer(functions)),
        filename: options.filename ?? "",
        autoescape: options.autoescape,
        stream,
      }),
    };
    return { command, functions };
  }

  /** The fields that all requests have. */
  #shared({ timeout, limits, locals, requestId, atomic }: CallOptions, pass: PassFunction | undefined) {
    return {
      locals: encodeValues(locals, "locals", pass),
      limits: timeout === undefined && limits === undefined ? undefined : writeLimits({ ...limits, timeout }),
      handleGroup: this.#session?.handles.group ?? "",
      requestId: requestId ?? "",
      atomic: atomic ?? false,
      parentExecutionId: this.#parentExecutionId(),
    };
  }

  /** What a host function runs in the session that called it runs on behalf of the caller. */
  #parentExecutionId(): string {
    const running = runningHostCall.getStore();
    return running !== undefined && running.sessionId === this.#session?.id ? running.executionId : "";
  }

  #start<T>(options: CallOptions, write: () => Written, wrap?: WrapHandle): ExecutionPromise<T> {
    return new ExecutionPromise(this.#run<T>(options, write, new Error("called here"), { wrap }));
  }

  #stream<T, R>(options: CallOptions, write: () => Written, wrap?: WrapHandle): ExecutionStream<T, R> {
    const caller = new Error("called here");
    return new ExecutionStream<T, R>({
      ...this.#reader(wrap),
      run: (sink) => this.#run<R>(options, write, caller, { sink, started: sink.started, wrap }),
    });
  }

  /** What reads the values of a stream. */
  #reader(wrap: WrapHandle | undefined): GuestExecutionSource {
    return {
      read: (value) => readValue(value, this.#session?.handles, wrap),
      drop: (value) => {
        const handle = value instanceof Handle ? value : placeOf(value)?.handle;
        // Nobody waits for it: should it fail, the handle is let go with its group or its session.
        handle?.release().catch(() => undefined);
      },
    };
  }

  async #run<T>(options: CallOptions, write: () => Written, caller: Error, taking: Taking): Promise<Execution<T>> {
    const handles = this.#session?.handles;
    try {
      this.#lifetime.assertUsable();
      options.signal?.throwIfAborted();
      // Written before anything is waited for: what the caller does to its arguments afterwards is not sent.
      const written = write();
      const send = (): Promise<Execution<T>> => {
        this.#lifetime.assertUsable();
        return this.#send<T>(written, options, taking);
      };
      return await (handles ? handles.track(send) : send());
    } catch (error) {
      if (error instanceof LivescopeError) traceToCaller(error, caller);
      throw error;
    }
  }

  async #send<T>(written: Written, options: CallOptions, taking: Taking): Promise<Execution<T>> {
    const { functions } = written;
    if (functions.byId.size === 0) return this.#transfer<T>(written, options, taking);
    const forget = this.#session?.pass(functions);
    try {
      return await this.#transfer<T>(written, options, taking);
    } catch (error) {
      if (isRefusal(error)) forget?.();
      throw error;
    }
  }

  async #transfer<T>(
    { command, functions }: Written,
    options: CallOptions,
    { sink, started: onStarted, wrap }: Taking,
  ): Promise<Execution<T>> {
    const { signal, timeout, onConsole } = options;
    const handles = this.#session?.handles;
    const told: WireConsoleEntry[] = [];
    const console =
      onConsole &&
      ((entry: WireConsoleEntry) => {
        told.push(entry);
        callBack(() => onConsole(readConsoleEntry(entry)));
      });
    const listenerOf = (to: StreamSink | undefined): CommandListener | undefined =>
      (console || to) && { console, emitted: to?.emitted };
    const decide = (written: Exclude<Written["command"], AnyCommand>): Sending => {
      const decided = written();
      return { command: decided.command, listener: listenerOf(decided.sink) };
    };
    const sending = typeof command === "function" ? () => decide(command) : { command, listener: listenerOf(sink) };
    const answerTimeout = timeout === undefined ? undefined : timeout + DEADLINE_GRACE;
    const hasFunctions = functions.byId.size > 0;
    const started = this.#commands.start(sending, { signal, timeout: answerTimeout, hasFunctions });
    onStarted?.(started);
    const over = this.#lifetime.hold(started);
    const execution = await started.finished.finally(over);
    return readOutcome<T>(told.length === 0 ? execution : { ...execution, console: told }, handles, wrap);
  }
}

/** Nothing ran, so the guest has no function that came with the command. */
function isRefusal(error: unknown): boolean {
  if (error instanceof ExecutionError || error instanceof ConnectionLostError || error instanceof DisposedError)
    return false;
  return !(error instanceof StatusError && error.code === "DEADLINE_EXCEEDED");
}

/** What a callback throws is its owner's to hear of, and must not end what others wait for. */
function callBack(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
