import { randomUUID } from "node:crypto";
import {
  CallRequest,
  Encoding,
  ExecuteRequest,
  SandboxServiceService,
  type Execution as WireExecution,
} from "@livescope/proto";
import { LivescopeError, traceToCaller } from "./errors.js";
import { type Execution, ExecutionPromise } from "./execution.js";
import type { Handle } from "./handle.js";
import { writeLimits } from "./limits.js";
import type { CallOptions, ExecuteOptions } from "./options.js";
import { readOutcome } from "./outcome.js";
import type { SessionHandles } from "./session-handles.js";
import type { UnaryMethod, UnaryTransport } from "./transport/unary.js";
import { encodeHandle, encodeValue, encodeValues } from "./values.js";

/** How much longer than the execution's own timeout an answer is waited for, in milliseconds. */
const DEADLINE_GRACE = 1_000;

/** How long a cancellation may take to reach the server, in milliseconds. Nobody waits for it. */
const CANCEL_TIMEOUT = 5_000;

/** The session that code runs in, and who counts the handles that come out of it. */
export interface ExecutorSession {
  readonly id: string;
  readonly handles: SessionHandles;
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
  readonly #transport: UnaryTransport;
  readonly #session: ExecutorSession | undefined;

  /** Without `session` every execution has a session of its own. */
  constructor(transport: UnaryTransport, session?: ExecutorSession) {
    this.#transport = transport;
    this.#session = session;
  }

  execute<T>(code: string, options: ExecuteOptions, encoding = Encoding.FULL): ExecutionPromise<T> {
    return this.#start(SandboxServiceService.execute, options, () =>
      ExecuteRequest.create({
        ...this.#shared(options),
        sessionId: this.#session?.id,
        code,
        filename: options.filename ?? "",
        bindings: encodeValues(options.bindings, "bindings"),
        encoding,
      }),
    );
  }

  call<T>(
    target: CallTarget,
    args: readonly unknown[],
    options: CallOptions,
    encoding = Encoding.FULL,
  ): ExecutionPromise<T> {
    return this.#start(SandboxServiceService.call, options, () =>
      CallRequest.create({
        ...this.#shared(options),
        sessionId: this.#session?.id ?? "",
        handleId: target.handle && encodeHandle(target.handle, "what is called").handleId,
        path: target.path,
        args: args.map((arg, index) => encodeValue(arg, `args[${index}]`)),
        construct: target.construct ?? false,
        encoding,
      }),
    );
  }

  /** The fields that both requests have. */
  #shared({ timeout, limits, locals, requestId, atomic }: CallOptions) {
    return {
      locals: encodeValues(locals, "locals"),
      limits: writeLimits({ ...limits, timeout }),
      handleGroup: this.#session?.handles.group ?? "",
      requestId: requestId ?? randomUUID(),
      atomic: atomic ?? false,
    };
  }

  #start<T, Request extends { requestId: string }>(
    method: UnaryMethod<Request, { execution?: WireExecution | undefined }>,
    options: CallOptions,
    write: () => Request,
  ): ExecutionPromise<T> {
    return new ExecutionPromise(this.#run<T, Request>(method, options, write, new Error("called here")));
  }

  async #run<T, Request extends { requestId: string }>(
    method: UnaryMethod<Request, { execution?: WireExecution | undefined }>,
    options: CallOptions,
    write: () => Request,
    caller: Error,
  ): Promise<Execution<T>> {
    const handles = this.#session?.handles;
    try {
      handles?.assertUsable();
      options.signal?.throwIfAborted();
      // Written before anything is waited for: what the caller does to its arguments afterwards is not sent.
      const request = write();
      const send = () => this.#send<T, Request>(method, options, request);
      return await (handles ? handles.track(send) : send());
    } catch (error) {
      if (error instanceof LivescopeError) traceToCaller(error, caller);
      throw error;
    }
  }

  async #send<T, Request extends { requestId: string }>(
    method: UnaryMethod<Request, { execution?: WireExecution | undefined }>,
    { signal, timeout }: CallOptions,
    request: Request,
  ): Promise<Execution<T>> {
    const answerTimeout = timeout === undefined ? undefined : timeout + DEADLINE_GRACE;
    try {
      const { execution } = await this.#transport.send(method, request, { signal, timeout: answerTimeout });
      return readOutcome<T>(execution, this.#session?.handles);
    } catch (error) {
      // A call with a request id that is cancelled leaves its execution running.
      if (signal?.aborted) this.#cancel(request.requestId);
      throw error;
    }
  }

  #cancel(executionId: string): void {
    const request = { sessionId: this.#session?.id ?? "", executionId };
    this.#transport
      .send(SandboxServiceService.cancelExecution, request, { timeout: CANCEL_TIMEOUT })
      .catch(() => undefined);
  }
}
