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
import { ConnectionLostError, ExecutionError, LivescopeError, StatusError, traceToCaller } from "./errors.js";
import { type Execution, ExecutionPromise, readConsoleEntry } from "./execution.js";
import { ExecutionStream, type StreamSink } from "./execution-stream.js";
import { Handle } from "./handle.js";
import { runningHostCall } from "./host-function.js";
import { PassedFunctions } from "./host-functions.js";
import { writeLimits } from "./limits.js";
import type { CallOptions, ExecuteOptions, RenderContext, RenderOptions, Template } from "./options.js";
import { readOutcome, readValue } from "./outcome.js";
import type { SessionHandles } from "./session-handles.js";
import type { AnyCommand, CommandListener, CommandTransport } from "./transport/commands.js";
import { encodeHandle, encodeValue, encodeValues, type PassFunction } from "./values.js";

/** How much longer than the execution's own timeout an answer is waited for, in milliseconds. */
const DEADLINE_GRACE = 1_000;

/** The session that code runs in, and who counts the handles that come out of it. */
export interface ExecutorSession {
  readonly id: string;
  /** It outlives the server, so calls of it are worth repeating. */
  readonly isDurable: boolean;
  readonly handles: SessionHandles;
  /** Keeps functions that a command carries. @returns forgets them: the command was refused */
  pass(functions: PassedFunctions): () => void;
}

/** A command, and the functions of the client that it carries. */
interface Written {
  readonly command: AnyCommand;
  readonly functions: PassedFunctions;
}

/** What to call: a handle, a function below it, or without a handle one below the session's names. */
export interface CallTarget {
  readonly handle?: Handle;
  /** Dotted; empty is the handle itself. */
  readonly path: string;
  /** Calls it with `new`. */
  readonly construct?: boolean;
}

/** Sends code to run, and makes a value or an error of what became of it. */
export class Executor {
  readonly #commands: CommandTransport;
  readonly #session: ExecutorSession | undefined;

  /** Without `session` every execution has a session of its own. */
  constructor(commands: CommandTransport, session?: ExecutorSession) {
    this.#commands = commands;
    this.#session = session;
  }

  execute<T>(code: string, given: ExecuteOptions, encoding = Encoding.FULL): ExecutionPromise<T> {
    const options = this.#repeatable(given);
    return this.#start(options, () => this.#execute(code, options, encoding));
  }

  call<T>(
    target: CallTarget,
    args: readonly unknown[],
    given: CallOptions,
    encoding = Encoding.FULL,
  ): ExecutionPromise<T> {
    const options = this.#repeatable(given);
    return this.#start(options, () => this.#call(target, args, options, encoding));
  }

  streamExecute<T, R>(code: string, options: ExecuteOptions): ExecutionStream<T, R> {
    return this.#stream(options, () => this.#execute(code, options, Encoding.FULL));
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

  #execute(code: string, options: ExecuteOptions, encoding: Encoding): Written {
    const functions = new PassedFunctions();
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

  #call(target: CallTarget, args: readonly unknown[], options: CallOptions, encoding: Encoding): Written {
    const functions = new PassedFunctions();
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

  #start<T>(options: CallOptions, write: () => Written): ExecutionPromise<T> {
    return new ExecutionPromise(this.#run<T>(options, write, new Error("called here")));
  }

  #stream<T, R>(options: CallOptions, write: () => Written): ExecutionStream<T, R> {
    const caller = new Error("called here");
    const handles = this.#session?.handles;
    return new ExecutionStream<T, R>({
      run: (sink) => this.#run<R>(options, write, caller, sink),
      read: (value) => readValue(value, handles),
      drop: (value) => {
        // Nobody waits for it: should it fail, the handle is let go with its group or its session.
        if (value instanceof Handle) value.release().catch(() => undefined);
      },
    });
  }

  async #run<T>(options: CallOptions, write: () => Written, caller: Error, sink?: StreamSink): Promise<Execution<T>> {
    const handles = this.#session?.handles;
    try {
      handles?.assertUsable();
      options.signal?.throwIfAborted();
      // Written before anything is waited for: what the caller does to its arguments afterwards is not sent.
      const written = write();
      const send = () => this.#send<T>(written, options, sink);
      return await (handles ? handles.track(send) : send());
    } catch (error) {
      if (error instanceof LivescopeError) traceToCaller(error, caller);
      throw error;
    }
  }

  async #send<T>(written: Written, options: CallOptions, sink: StreamSink | undefined): Promise<Execution<T>> {
    const { functions } = written;
    if (functions.byId.size === 0) return this.#transfer<T>(written, options, sink);
    const forget = this.#session?.pass(functions);
    try {
      return await this.#transfer<T>(written, options, sink);
    } catch (error) {
      if (isRefusal(error)) forget?.();
      throw error;
    }
  }

  async #transfer<T>(
    { command, functions }: Written,
    options: CallOptions,
    sink: StreamSink | undefined,
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
    const listener: CommandListener | undefined = (console || sink) && { console, emitted: sink?.emitted };
    const answerTimeout = timeout === undefined ? undefined : timeout + DEADLINE_GRACE;
    const hasFunctions = functions.byId.size > 0;
    const started = this.#commands.start(command, { signal, timeout: answerTimeout, listener, hasFunctions });
    sink?.started(started);
    const execution = await started.finished;
    return readOutcome<T>(told.length === 0 ? execution : { ...execution, console: told }, handles);
  }
}

/** Nothing ran, so the guest has no function that came with the command. */
function isRefusal(error: unknown): boolean {
  if (error instanceof ExecutionError || error instanceof ConnectionLostError) return false;
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
