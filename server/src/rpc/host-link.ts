/** The functions of one Connect client: what its sessions ask of them, and what it answers. */
import { randomUUID } from "node:crypto";
import type {
  Exception,
  Expose,
  Exposed,
  HostCall as HostCallMessage,
  HostResult,
  ServerFrame,
} from "@livescope/proto";
import type { HostException, HostResult as HostResultInput, InputValue } from "../engine/kernel-protocol.js";
import { invalid, SessionError } from "../session/errors.js";
import { RECONNECT_WINDOW } from "../session/host-functions.js";
import type { CalledBack, HostCall, HostLink } from "../session/lending.js";
import { deletedMeanwhile } from "../session/live-sessions.js";
import type { Sessions } from "../session/sessions.js";
import { encodeFrame, MESSAGE_BYTES } from "./streamed-command.js";
import { durationOf, millisecondsOf } from "./time.js";
import { checkedName, checkedText, inputValue, valueMessage } from "./values.js";

/** The longest that calls may wait for a client, in milliseconds. */
const LONGEST_WINDOW = 10 * 60_000;
/** Names of one `expose`. A session has no more, and `exposed` may have them all: they are short enough for a message. */
const NAMES = 1_000;
/** Calls that are remembered though another stream is asked for them now. */
const PASSED_ON = 10_000;
/** Causes of an error that the guest gets to see. */
const CAUSES = 16;

/** What it needs of its stream. */
export interface HostStream {
  readonly sessions: Sessions;
  /** Sends an encoded frame. */
  say(frame: Uint8Array): void;
  /** Answers a frame with a failure. */
  refuse(frameId: bigint, error: unknown): void;
  /** A call is not open any more. */
  onAnswered(): void;
}

/** The end of a stream by which sessions call functions of its client. */
export class StreamHostLink implements HostLink {
  readonly #stream: HostStream;
  /** Sessions that may call. */
  readonly #attached = new Set<CalledBack>();
  /** Calls that the client has not answered. */
  readonly #calls = new Map<string, CalledBack>();
  /** Such as it has not answered either, but that another stream of the client is asked for now: they are not sent here again. */
  readonly #passedOn = new Set<string>();
  /** The frames that exposed something to a session last, by the ids of the sessions. */
  readonly #exposedBy = new Map<string, bigint>();
  #isDetached = false;

  constructor(stream: HostStream) {
    this.#stream = stream;
  }

  get isOpen(): boolean {
    return !this.#isDetached;
  }

  /** Calls that the client has not answered. */
  get openCalls(): number {
    return this.#calls.size;
  }

  /** How many sessions may call. */
  get sessions(): number {
    return this.#attached.size;
  }

  /** @throws SessionError which becomes the `status` that answers the frame */
  async expose(frameId: bigint, request: Expose): Promise<void> {
    const { sessionId, takeOver } = request;
    if (request.names.length > NAMES) throw invalid("names", `may have at most ${NAMES} elements`);
    const names = [...new Set(request.names.map((name) => checkedName(checkedText(name, "names"), "names")))];
    // Giving a global object this property would set its prototype.
    if (names.includes("__proto__")) throw invalid("names[__proto__]", "cannot be the name of a global function");
    const connectionId = checkedText(request.connectionId, "connection_id") || randomUUID();
    const reconnectWindow = reconnectWindowOf(request);
    await this.#stream.sessions.use(sessionId, async (session) => {
      await session.expose({ connectionId, names, takeOver, reconnectWindow }, this, (all) => {
        if (session.hasEnded) throw deletedMeanwhile(sessionId);
        this.#exposedBy.set(sessionId, frameId);
        this.#exposed(frameId, { sessionId, names: [...all], connectionId });
      });
    });
  }

  /** One for a call that is unknown, has been answered, or is another stream's to answer is ignored. */
  result(result: HostResult): void {
    this.#passedOn.delete(result.hostCallId);
    const functions = this.#calls.get(result.hostCallId);
    if (functions === undefined) return;
    this.#close(result.hostCallId);
    functions.result(this, result.hostCallId, resultOf(result));
  }

  /** The client does not keep a function any more that it passed. */
  forget(hostFunctionId: string): void {
    for (const functions of this.#attached) functions.forget(this, hostFunctionId);
  }

  /** The stream has ended, or the client will say nothing more: it may come back by another. */
  detach(): void {
    this.#isDetached = true;
    const attached = [...this.#attached];
    this.#attached.clear();
    this.#calls.clear();
    this.#exposedBy.clear();
    for (const functions of attached) functions.detach(this);
  }

  // What the sessions say.

  attached(functions: CalledBack): void {
    this.#attached.add(functions);
  }

  ended(functions: CalledBack): void {
    this.#attached.delete(functions);
  }

  sessionLeft(sessionId: string, why: SessionError | undefined): void {
    const frameId = this.#exposedBy.get(sessionId);
    this.#exposedBy.delete(sessionId);
    if (frameId !== undefined && why !== undefined) this.#stream.refuse(frameId, why);
  }

  namesLeft(sessionId: string, connectionId: string, names: readonly string[]): void {
    this.#exposed(0n, { sessionId, names: [...names], connectionId });
  }

  call(call: HostCall, functions: CalledBack): void {
    if (this.#passedOn.delete(call.callId)) {
      this.#calls.set(call.callId, functions);
      return;
    }
    const frame = encodeFrame(0n, { $case: "hostCall", value: messageOf(call) });
    if (frame.length > MESSAGE_BYTES) {
      const message = `the arguments have ${frame.length} bytes, and a message carries at most ${MESSAGE_BYTES}`;
      // Not from within: the session is still noting that it calls.
      queueMicrotask(() => functions.result(this, call.callId, failure("RangeError", message)));
      return;
    }
    this.#calls.set(call.callId, functions);
    this.#stream.say(frame);
  }

  cancelled(callId: string): void {
    if (this.#close(callId)) this.#say(0n, { $case: "hostCallCancelled", value: { hostCallId: callId } });
  }

  passedOn(callId: string): void {
    if (!this.#close(callId)) return;
    this.#passedOn.add(callId);
    const [oldest] = this.#passedOn;
    if (oldest !== undefined && this.#passedOn.size > PASSED_ON) this.#passedOn.delete(oldest);
  }

  released(hostFunctionId: string): void {
    this.#say(0n, { $case: "releasedHostFunctionId", value: hostFunctionId });
  }

  #close(callId: string): boolean {
    const isKnown = this.#calls.delete(callId);
    if (isKnown) this.#stream.onAnswered();
    return isKnown;
  }

  #exposed(frameId: bigint, value: Exposed): void {
    this.#say(frameId, { $case: "exposed", value });
  }

  #say(frameId: bigint, frame: NonNullable<ServerFrame["frame"]>): void {
    this.#stream.say(encodeFrame(frameId, frame));
  }
}

/** @throws SessionError INVALID_REQUEST */
function reconnectWindowOf({ reconnectWindow }: Expose): number {
  if (reconnectWindow === undefined) return RECONNECT_WINDOW;
  const milliseconds = millisecondsOf(reconnectWindow, "reconnect_window");
  if (milliseconds >= 0 && milliseconds <= LONGEST_WINDOW) return milliseconds;
  throw invalid("reconnect_window", `must be between 0 and ${LONGEST_WINDOW / 1000} s`);
}

function messageOf(call: HostCall): HostCallMessage {
  const { encoding, remainingTime } = call;
  return {
    hostCallId: call.callId,
    sessionId: call.sessionId,
    executionId: call.executionId,
    function: { hostFunctionId: call.hostFunctionId, name: call.name },
    args: call.args.map((value) => valueMessage(value, encoding)),
    locals: new Map([...call.locals].map(([name, value]) => [name, valueMessage(value, encoding)])),
    ...(remainingTime === undefined ? {} : { remainingTime: durationOf(remainingTime) }),
  };
}

/** What cannot be read is an error for the guest, which waits and did nothing wrong. */
function resultOf({ outcome }: HostResult): HostResultInput {
  try {
    if (outcome?.$case === "exception") return { kind: "exception", exception: exceptionOf(outcome.value, 0) };
    return { kind: "value", value: inputValue(outcome?.value, "value") };
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    return failure("TypeError", `the host function's result cannot be read: ${error.message}`);
  }
}

function exceptionOf({ name, message, cause, thrown }: Exception, depth: number): HostException {
  const value: InputValue | undefined = thrown === undefined ? undefined : inputValue(thrown, "exception.thrown");
  return {
    name: withoutNul(name),
    message: withoutNul(message),
    cause: cause === undefined || depth === CAUSES ? undefined : exceptionOf(cause, depth + 1),
    ...(value === undefined ? {} : { thrown: value }),
  };
}

/** The engine reads text up to the first NUL. */
function withoutNul(text: string): string {
  return text.replaceAll("\0", "\ufffd");
}

function failure(name: string, message: string): HostResultInput {
  return { kind: "exception", exception: { name, message } };
}
