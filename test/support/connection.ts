/** A Connect stream as a plain client of the wire has it. */
import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import {
  CallRequest,
  CancelExecutionRequest,
  type ClientFrame,
  Command,
  type ConnectRequest,
  type ConnectResponse,
  Encoding,
  ExecuteRequest,
  type Execution,
  Expose,
  type HostCall,
  type HostFunction,
  type HostResult,
  type SandboxServiceClient,
  type ServerFrame,
} from "@livescope/proto";

type Flags = Partial<Pick<Command, "consoleAtEnd" | "dropEmitted">>;

export class RawConnection {
  readonly stream: ClientDuplexStream<ConnectRequest, ConnectResponse>;
  /** Messages as they came. */
  readonly messages: ConnectResponse[] = [];
  /** The status that the stream ended with; 0 for OK. */
  readonly ended: Promise<Pick<ServiceError, "code" | "details">>;
  #heard: (() => void)[] = [];

  constructor(client: SandboxServiceClient) {
    this.stream = client.connect();
    this.stream.on("data", (message: ConnectResponse) => {
      this.messages.push(message);
      for (const each of this.#heard.splice(0)) each();
    });
    this.ended = new Promise((resolve) => {
      this.stream.on("error", resolve);
      this.stream.on("status", (status) => resolve(status));
    });
  }

  get frames(): ServerFrame[] {
    return this.messages.flatMap(({ frames }) => frames);
  }

  /** Sends frames in one message. */
  send(...frames: ClientFrame[]): void {
    this.stream.write({ frames });
  }

  /** Waits until a frame came that is meant. */
  async until(isMeant: (frame: ServerFrame) => boolean): Promise<ServerFrame> {
    for (;;) {
      const found = this.frames.find(isMeant);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#heard.push(resolve));
    }
  }

  /** Waits until a frame is answered, and tells how: `value JSON`, `stopped REASON`, `exception NAME`, or `status CODE`. */
  async answer(frameId: number): Promise<string> {
    const isAnswer = ({ frame }: ServerFrame): boolean =>
      frame?.$case === "status" || (frame?.$case === "event" && frame.value.event?.$case === "finished");
    const { frame } = await this.until((each) => each.frameId === BigInt(frameId) && isAnswer(each));
    if (frame?.$case === "status") return `status ${frame.value.code}`;
    if (frame?.$case !== "event" || frame.value.event?.$case !== "finished") return "nothing";
    return outcomeOf(frame.value.event.value);
  }

  /** The host calls that came, in their order. */
  get hostCalls(): HostCall[] {
    return this.frames.flatMap(({ frame }) => (frame?.$case === "hostCall" ? [frame.value] : []));
  }

  /** Waits for so many host calls, and gives the last of them. */
  async hostCall(count = 1): Promise<HostCall> {
    for (;;) {
      const call = this.hostCalls[count - 1];
      if (call !== undefined) return call;
      await new Promise<void>((resolve) => this.#heard.push(resolve));
    }
  }

  /** Waits until a frame is answered by `exposed`: the names that are; or by its status: `status CODE`. */
  async exposed(frameId: number): Promise<string[] | string> {
    const isAnswer = ({ frame }: ServerFrame): boolean => frame?.$case === "status" || frame?.$case === "exposed";
    const { frame } = await this.until((each) => each.frameId === BigInt(frameId) && isAnswer(each));
    if (frame?.$case === "exposed") return [...frame.value.names].sort();
    return `status ${frame?.$case === "status" ? frame.value.code : "none"}`;
  }

  /** What was told of a frame: `console TEXT`, `emitted JSON` and what `answer` gives. */
  async toldOf(frameId: number): Promise<string[]> {
    const answer = await this.answer(frameId);
    const events = this.frames.flatMap(({ frameId: id, frame }) => {
      if (id !== BigInt(frameId) || frame?.$case !== "event") return [];
      const { event } = frame.value;
      if (event?.$case === "console") return [`console ${event.value.text}`];
      return event?.$case === "emitted" ? [`emitted ${textOf(event.value.kind)}`] : [];
    });
    return [...events, answer];
  }
}

export function outcomeOf({ outcome }: Execution): string {
  if (outcome?.$case === "value") return `value ${textOf(outcome.value.kind)}`;
  return outcome?.$case === "exception" ? `exception ${outcome.value.name}` : `stopped ${outcome?.value.reason}`;
}

function textOf(kind: { $case: string; value: unknown } | undefined): string {
  return kind === undefined ? "undefined" : kind.$case === "json" ? String(kind.value) : kind.$case;
}

export function executing(
  frameId: number,
  code: string,
  request: Partial<ExecuteRequest> = {},
  flags: Flags = {},
): ClientFrame {
  const value = ExecuteRequest.create({ code, encoding: Encoding.FULL, ...request });
  const command = Command.fromPartial({ command: { $case: "execute", value }, ...flags });
  return { frameId: BigInt(frameId), frame: { $case: "command", value: command } };
}

export function calling(frameId: number, sessionId: string, path: string, ...args: unknown[]): ClientFrame {
  const values = args.map((arg) => ({ kind: { $case: "json" as const, value: JSON.stringify(arg) } }));
  const value = CallRequest.fromPartial({ sessionId, path, args: values, encoding: Encoding.FULL });
  return {
    frameId: BigInt(frameId),
    frame: { $case: "command", value: Command.fromPartial({ command: { $case: "call", value } }) },
  };
}

export function cancelling(frameId: number, request: Partial<CancelExecutionRequest> = {}): ClientFrame {
  return {
    frameId: BigInt(frameId),
    frame: { $case: "cancel", value: CancelExecutionRequest.create(request) },
  };
}

export function crediting(frameId: number, credit: number): ClientFrame {
  return { frameId: BigInt(frameId), frame: { $case: "credit", value: credit } };
}

export function exposing(frameId: number, request: Partial<Expose>): ClientFrame {
  return { frameId: BigInt(frameId), frame: { $case: "expose", value: Expose.fromPartial(request) } };
}

export function replying(frameId: number, hostCallId: string, outcome: HostResult["outcome"]): ClientFrame {
  return { frameId: BigInt(frameId), frame: { $case: "hostResult", value: { hostCallId, outcome } } };
}

/** The value that JSON has this text for, as what a function returned. */
export function returned(json: unknown): HostResult["outcome"] {
  return { $case: "value", value: { kind: { $case: "json", value: JSON.stringify(json) } } };
}

/** A command that calls a function of the session with functions of the client. */
export function passing(frameId: number, sessionId: string, path: string, ...functions: HostFunction[]): ClientFrame {
  const args = functions.map((value) => ({ kind: { $case: "hostFunction" as const, value } }));
  const value = CallRequest.fromPartial({ sessionId, path, args, encoding: Encoding.FULL });
  return {
    frameId: BigInt(frameId),
    frame: { $case: "command", value: Command.fromPartial({ command: { $case: "call", value } }) },
  };
}
