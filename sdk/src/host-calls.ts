import type { HostCall, HostResult, Handle as WireHandle } from "@livescope/proto";
import { answerSize } from "./answer-size.js";
import { BySession } from "./by-session.js";
import { type Handle, Preview } from "./handle.js";
import { type HostCallContext, runningHostCall } from "./host-function.js";
import type { Provided } from "./host-functions.js";
import { returnedOutcome, thrownOutcome } from "./host-outcome.js";
import { readDuration } from "./limits.js";
import { LONGEST_TIMER } from "./longest-timer.js";
import type { Connection } from "./transport/connection.js";
import { decodeValue } from "./values.js";

/** Answers that are kept: should the stream break before the server has one, it asks again. */
const KEPT = { answers: 1_000, bytes: 16 * 1024 * 1024 };
/** How long after the end of its execution's time it is looked whether the stream of a call is lost, in milliseconds. */
const GRACE = 1_000;

interface RunningCall {
  readonly call: HostCall;
  readonly controller: AbortController;
  /** Does something in the context in which the function runs. */
  enter: <T>(work: () => T) => T;
  /** Counts streams: that on which it was sent last. */
  stream: number;
  /** Those who wait until it is sent on the stream that there is, or runs no more. */
  readonly waiting: (() => void)[];
}

interface HostCallsHost {
  /** How long a session may wait for the client where its stream is lost, in milliseconds. */
  windowOf(sessionId: string): number;
  /** A call of a session runs no more. */
  onEnded(sessionId: string): void;
}

/** The calls of host functions that a client runs, each once however often it is sent, and their newest answers. */
export class HostCalls {
  readonly #connection: Connection;
  readonly #host: HostCallsHost;
  readonly #running = new Map<string, RunningCall>();
  /** The same. */
  readonly #runningIn = new BySession<RunningCall>();
  readonly #answers = new Map<string, HostResult>();
  #answerBytes = 0;
  #stream = 0;

  constructor(connection: Connection, host: HostCallsHost) {
    this.#connection = connection;
    this.#host = host;
  }

  get areRunning(): boolean {
    return this.#running.size > 0;
  }

  areRunningIn(sessionId: string): boolean {
    return this.#runningIn.hasAnyOf(sessionId);
  }

  /** Of the sessions whose calls run. */
  get sessionIds(): readonly string[] {
    return this.#runningIn.sessionIds;
  }

  onNewStream(): void {
    this.#stream++;
  }

  /** @param provided the function that is called; undefined where there is none any more */
  run(call: HostCall, provided: Provided | undefined): void {
    const { hostCallId } = call;
    const running = this.#running.get(hostCallId);
    const answer = this.#answers.get(hostCallId);
    if (running !== undefined) {
      running.stream = this.#stream;
      for (const resolve of running.waiting.splice(0)) resolve();
    } else if (answer !== undefined) this.#send(answer);
    else if (provided === undefined) {
      const error = new Error(`the client provides the function ${call.function?.name ?? ""} no more`);
      this.#answer({ hostCallId, outcome: thrownOutcome(error) });
    } else this.#begin(call, provided);
  }

  cancel(hostCallId: string): void {
    const running = this.#running.get(hostCallId);
    if (running !== undefined) {
      this.#delete(running);
      abort(running, new DOMException("nobody waits for this host call any more", "AbortError"));
      this.#host.onEnded(running.call.sessionId);
    }
    this.#connection.checkIdle();
  }

  cancelAll(): void {
    for (const id of [...this.#running.keys()]) this.cancel(id);
  }

  /** Nobody waits any more for those of a session that were not sent again. */
  cancelLeftBehind(sessionId: string): void {
    for (const { call, stream } of this.#runningIn.of(sessionId)) {
      if (stream < this.#stream) this.cancel(call.hostCallId);
    }
  }

  #delete(running: RunningCall): void {
    const { hostCallId, sessionId } = running.call;
    this.#running.delete(hostCallId);
    this.#runningIn.delete(sessionId, running);
  }

  #begin(call: HostCall, provided: Provided): void {
    const { hostCallId } = call;
    const name = call.function?.name || "the function";
    const controller = new AbortController();
    const enter = <T>(work: () => T): T => provided.lentIn.runInAsyncScope(work);
    const running: RunningCall = { call, controller, enter, stream: this.#stream, waiting: [] };
    this.#running.set(hostCallId, running);
    this.#runningIn.add(call.sessionId, running);
    const timers: NodeJS.Timeout[] = [];
    const settle = (outcome: HostResult["outcome"]): void => {
      for (const timer of timers) clearTimeout(timer);
      for (const resolve of running.waiting.splice(0)) resolve();
      if (this.#running.get(hostCallId) !== running) return;
      this.#delete(running);
      this.#answer({ hostCallId, outcome });
      this.#host.onEnded(call.sessionId);
      this.#connection.checkIdle();
    };
    const { timeout } = provided;
    if (timeout !== undefined) {
      const expire = (): void => {
        const error = new DOMException(`${name} did not answer within ${timeout} ms`, "TimeoutError");
        settle(thrownOutcome(error));
        abort(running, error);
      };
      timers.push(setTimeout(expire, Math.min(timeout, LONGEST_TIMER)));
    }
    if (call.remainingTime !== undefined) {
      const left = readDuration(call.remainingTime) + GRACE;
      // A call may outlive its execution, and is answered. While its stream is there the server says when nobody waits for it; else
      // it is sent again, as long as the server waits for another stream.
      const unlessHere = (then: () => void): void => {
        if (running.stream < this.#stream || !this.#connection.isOpen) then();
      };
      const giveUp = (): void => unlessHere(() => this.cancel(hostCallId));
      const wait = (): void => void timers.push(setTimeout(giveUp, this.#host.windowOf(call.sessionId)).unref());
      const look = (): void => unlessHere(wait);
      timers.push(setTimeout(look, Math.min(left, LONGEST_TIMER)).unref());
    }
    controller.signal.addEventListener("abort", () => settle(undefined), { once: true });
    this.#call(running, provided).then(
      (value) => settle(returnedOutcome(value, name)),
      (error: unknown) => settle(thrownOutcome(error)),
    );
  }

  async #call(begun: RunningCall, { run, scope, lentIn, wrap = (handle) => handle }: Provided): Promise<unknown> {
    const { call, controller } = begun;
    const { session, sessionId } = scope;
    const handles = new Map<string, Handle>();
    const isOpen = (): boolean => this.#running.has(call.hostCallId);
    const onHandle = (description: WireHandle): unknown => {
      if (description.handleId === "") return new Preview(description);
      const handle = handles.get(description.handleId) ?? scope.makeHandle(description, isOpen);
      handles.set(handle.id, handle);
      return wrap(handle);
    };
    const args = call.args.map((arg) => decodeValue(arg, onHandle));
    const locals = Object.fromEntries([...call.locals].map(([key, value]) => [key, decodeValue(value, onHandle)]));
    const context: HostCallContext = {
      locals,
      signal: controller.signal,
      session,
      callId: call.hostCallId,
      keep: (handle) => session.handle("handle", { bindings: { handle } }),
    };
    while (args.length < run.length - 1) args.push(undefined);
    const { executionId } = call;
    const untilAsked = (): Promise<void> | undefined => this.#untilAsked(begun);
    const running = { context, sessionId, executionId, untilAsked };
    begun.enter = (work) => lentIn.runInAsyncScope(() => runningHostCall.run(running, work));
    return await begun.enter(() => run(...args, context));
  }

  #untilAsked(running: RunningCall): Promise<void> | undefined {
    const isRunning = this.#running.get(running.call.hostCallId) === running;
    if (!isRunning || (running.stream === this.#stream && this.#connection.isOpen)) return undefined;
    return new Promise((resolve) => void running.waiting.push(resolve));
  }

  #answer(result: HostResult): void {
    this.#answers.set(result.hostCallId, result);
    this.#answerBytes += answerSize(result);
    for (const [id, oldest] of this.#answers) {
      if (this.#answers.size <= KEPT.answers && this.#answerBytes <= KEPT.bytes) break;
      this.#answers.delete(id);
      this.#answerBytes -= answerSize(oldest);
    }
    this.#send(result);
  }

  #send(result: HostResult): void {
    const { hostCallId } = result;
    this.#connection.say({
      frame: { $case: "hostResult", value: result },
      tooLarge: (bytes) => {
        const error = new RangeError(`the result has ${bytes} bytes, more than a message carries: give a part of it`);
        this.#send({ hostCallId, outcome: thrownOutcome(error) });
      },
    });
  }
}

/** Whoever listens to the signal does so in the host function's context, whatever it is that ends the call. */
function abort({ controller, enter }: RunningCall, reason: DOMException): void {
  enter(() => controller.abort(reason));
}
