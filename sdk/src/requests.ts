import { randomUUID } from "node:crypto";
import { CallRequest, Encoding, ExecuteRequest, Language, RenderRequest, SourceType } from "@livescope/proto";
import {
  checkCallback,
  checkId,
  checkList,
  checkOneOf,
  checkRecord,
  checkSwitch,
  checkText,
  checkTexts,
} from "./checks.js";
import { DisposedError } from "./errors.js";
import type { StreamSink } from "./execution-stream.js";
import type { Reading } from "./guest-execution.js";
import type { Handle } from "./handle.js";
import { type RunningHostCall, runningHostCall } from "./host-function.js";
import { type Limits, writeLimits } from "./limits.js";
import type { CallOptions, ExecuteOptions, RenderContext, RenderOptions, Template } from "./options.js";
import type { WrapHandle } from "./outcome.js";
import { PassedFunctions } from "./passed-functions.js";
import type { SessionHandles } from "./session-handles.js";
import type { SessionPresence } from "./session-presence.js";
import type { AnyCommand } from "./transport/commands.js";
import { encodeHandle, encodeValue, encodeValues, type PassFunction } from "./values.js";

/** What stacks call the scripts that do with a guest what a path cannot say. */
export const GUEST_SCRIPT = "guest-call.js";

/** The session that code runs in, and who counts the handles that come out of it. */
export interface ExecutorSession {
  readonly id: string;
  readonly presence: SessionPresence;
  /** It outlives the server, so calls of it are worth repeating. */
  readonly isDurable: boolean;
  readonly handles: SessionHandles;
  /** Keeps functions that a command carries. @returns forgets them: the command was refused */
  pass(functions: PassedFunctions): () => void;
}

/** A command, and the functions of the client that it carries. What it is may be decided when it is sent. */
export interface Written {
  readonly command: AnyCommand | (() => { readonly command: AnyCommand; readonly sink: StreamSink | undefined });
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

/** Writes what is asked for as commands, with values as they are now. */
export class Requests {
  readonly #session: ExecutorSession | undefined;

  /** Without `session` every execution has a session of its own. */
  constructor(session: ExecutorSession | undefined) {
    this.#session = session;
  }

  /**
   * Options with a request id where a call is worth repeating. What runs on behalf of another execution is nothing without that one;
   * and of streams some values may be lost.
   */
  repeatable<T extends CallOptions>(options: T): T {
    if (this.#session?.isDurable !== true || options.requestId !== undefined) return options;
    if (this.#running !== undefined && this.#running.executionId !== "") return options;
    return { ...options, requestId: randomUUID() };
  }

  execute(code: string, options: ExecuteOptions, encoding: Encoding, wrap?: WrapHandle): Written {
    checkText("the code", code);
    checkOneOf("language", options.language, ["javascript", "typescript"]);
    checkOneOf("sourceType", options.sourceType, ["script", "module"]);
    checkRecord("bindings", options.bindings);
    checkTexts("modules", options.modules);
    checkText("filename", options.filename ?? "");
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

  /** What it is is decided when it is sent: what the reader wants is known then. */
  callGuest(call: GuestCommand, options: CallOptions, reading: Reading, wrap: WrapHandle): Written {
    const { target } = call;
    const functions = new PassedFunctions(wrap);
    const pass = this.#passer(functions);
    const repeatable = this.repeatable(options);
    const shared = { ...this.#shared(options, pass), sessionId: this.#session?.id ?? "", encoding: Encoding.FULL };
    const bindings = new Map(
      Object.entries(call.bindings).map(([name, value]) => [name, encodeValue(value, name, pass)]),
    );
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

  call(
    target: CallTarget,
    args: readonly unknown[],
    options: CallOptions,
    encoding: Encoding,
    wrap?: WrapHandle,
  ): Written {
    checkText("the path", target.path);
    checkList("args", args);
    const functions = new PassedFunctions(wrap);
    const pass = this.#passer(functions);
    const shared = this.#shared(options, pass);
    // With all its fields at once: this is the way of every call, and one that is copied and grown costs as much as the rest of it.
    const value: CallRequest = {
      sessionId: this.#session?.id ?? "",
      handleId: target.handle && encodeHandle(target.handle, "what is called").handleId,
      path: target.path,
      thisValue: undefined,
      // What a sparse array lacks is undefined, as for who calls a function with it.
      args: Array.from(args, (arg, index) => encodeValue(arg, `args[${index}]`, pass)),
      construct: target.construct ?? false,
      locals: shared.locals,
      limits: shared.limits,
      encoding,
      handleGroup: shared.handleGroup,
      atomic: shared.atomic,
      parentExecutionId: shared.parentExecutionId,
      requestId: shared.requestId,
    };
    return { command: { $case: "call", value }, functions };
  }

  /** Functions live as long as a session holds them: without one they cannot be sent. */
  #passer(functions: PassedFunctions): PassFunction | undefined {
    return this.#session && ((run) => functions.add(run));
  }

  render(template: Template, context: RenderContext, options: RenderOptions, stream: boolean): Written {
    checkText("the template", typeof template === "object" ? template?.name : template);
    checkRecord("context", context);
    checkTexts("templates", options.templates);
    checkSwitch("autoescape", options.autoescape);
    checkText("filename", options.filename ?? "");
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
  #shared({ timeout, limits, locals, requestId, atomic, onConsole }: CallOptions, pass: PassFunction | undefined) {
    checkRecord("locals", locals);
    checkCallback("onConsole", onConsole);
    checkId("requestId", requestId);
    checkSwitch("atomic", atomic);
    return {
      locals: encodeValues(locals, "locals", pass),
      limits: writeExecutionLimits(limits, timeout),
      handleGroup: this.#session?.handles.group ?? "",
      requestId: requestId ?? "",
      atomic: atomic ?? false,
      parentExecutionId: this.#parentExecutionId(),
    };
  }

  /** Undefined where what is written may be sent; else resolves when that has to be asked again. @throws as writing it does */
  untilSequenceGoesOn(): Promise<void> | undefined {
    const running = this.#running;
    const sequence = running?.sequence;
    if (running === undefined || sequence === undefined) return undefined;
    this.#parentExecutionId();
    const asked = running.untilAsked();
    return asked && Promise.race([asked, sequence.failed]);
  }

  /**
   * What a host function runs in the session that called it runs on behalf of the caller.
   * @throws {DisposedError} if that is an atomic sequence that has failed
   */
  #parentExecutionId(): string {
    const running = this.#running;
    const sequence = running?.sequence;
    if (running === undefined || sequence === undefined) return running?.executionId ?? "";
    const { signal } = running.context;
    if (sequence.failure === undefined && !signal.aborted) return running.executionId;
    const cause = sequence.failure === undefined ? signal.reason : sequence.failure.error;
    const why = cause instanceof Error ? cause.message : "it failed";
    throw new DisposedError(`the atomic sequence that this call belongs to is over: ${why}`, { cause });
  }

  /** The host call that the running code belongs to, if the session made it. */
  get #running(): RunningHostCall | undefined {
    const running = runningHostCall.getStore();
    return running !== undefined && running.sessionId === this.#session?.id ? running : undefined;
  }
}

/** Those of a session, which types let pass as well, may have a timeout: it counts where the option is left out. */
function writeExecutionLimits(limits: Limits | undefined, timeout: number | undefined) {
  if (timeout !== undefined) return writeLimits({ ...limits, timeout });
  return limits === undefined ? undefined : writeLimits(limits);
}
