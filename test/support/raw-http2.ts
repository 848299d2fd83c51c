/** A gRPC client without a gRPC library: says exactly the bytes a test wants said, and tells exactly what came back. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from "node:http2";
import { type Any, Code, ErrorInfo, Status } from "@livescope/proto";

/** What a server made of a request. */
export interface Answer {
  /** The gRPC status by name; where there is none `HTTP 415` and the like, `STREAM_RST` or `NO_STATUS`. */
  readonly status: string;
  /** The gRPC message. */
  readonly message: string;
  /** Details of the status. */
  readonly details: readonly Any[];
  /** The response messages, without their prefixes. */
  readonly messages: readonly Buffer[];
}

/** A method as the generated service definitions describe it. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

export interface CallOptions {
  /** Added to those of gRPC; undefined takes one of them away. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Leaves the request open, as a client does that stalls. */
  readonly stall?: boolean;
}

/** The five bytes that stand before a message, and the message. */
export function frame(message: Uint8Array, flags: { compressed?: boolean; length?: number } = {}): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags.compressed ? 1 : 0, 0);
  prefix.writeUInt32BE(flags.length ?? message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** One HTTP/2 connection. Whoever opens it closes it. */
export class RawConnection implements Disposable {
  readonly #session: ClientHttp2Session;

  /** @param address host and port */
  constructor(address: string) {
    // Requests may be larger than what Node thinks one connection should hold, which would end them on this side.
    this.#session = connect(`http://${address}`, { maxSessionMemory: 1_000 });
    // What goes wrong with the connection is told by the streams on it.
    this.#session.on("error", () => undefined);
  }

  /** Sends a request as a well-behaved client would. */
  call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    headers: NonNullable<CallOptions["headers"]> = {},
  ): Promise<Answer> {
    return this.send(method.path, frame(method.requestSerialize(request)), { headers });
  }

  /** Calls and reads the response; fails the test on any status but OK. */
  async ask<Request, Response>(method: Method<Request, Response>, request: Request): Promise<Response> {
    return responseOf(method, await this.call(method, request));
  }

  /** Sends these bytes as the body of a request to this path. */
  send(path: string, body: Uint8Array, options: CallOptions = {}): Promise<Answer> {
    const headers: Record<string, string> = { ":method": "POST", ":path": path };
    const wanted = { "content-type": "application/grpc", te: "trailers", ...options.headers };
    for (const [name, value] of Object.entries(wanted)) if (value !== undefined) headers[name] = value;
    const stream = this.#session.request(headers);
    const answer = answerOf(stream);
    if (options.stall) stream.write(body);
    else stream.end(body);
    return answer;
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

/** The response in an answer; fails the test on any status but OK. */
export function responseOf<Response>(method: Method<never, Response>, answer: Answer): Response {
  const [message] = answer.messages;
  if (answer.status !== "OK" || message === undefined) {
    throw new Error(`${method.path} was answered ${answer.status} ${answer.message}`);
  }
  return method.responseDeserialize(message);
}

const TYPE_PREFIX = "type.googleapis.com/google.rpc.";

/** The details of an answer by their types, an ErrorInfo with its reason: `ErrorInfo SESSION_NOT_FOUND`. */
export function detailNames(answer: Answer): string[] {
  return answer.details.map(({ typeUrl, value }) => {
    const type = typeUrl.slice(TYPE_PREFIX.length);
    return type === "ErrorInfo" ? `${type} ${ErrorInfo.decode(value).reason}` : type;
  });
}

/** Reads all that comes on a stream. */
export function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let headers: IncomingHttpHeaders = {};
    const settle = (): void => {
      const details = headers["grpc-status-details-bin"];
      resolve({
        status: statusOf(headers, stream),
        message: decodeURIComponent(String(headers["grpc-message"] ?? "")),
        details: details === undefined ? [] : Status.decode(Buffer.from(String(details), "base64")).details,
        messages: split(Buffer.concat(chunks)),
      });
    };
    const receive = (received: IncomingHttpHeaders): void => {
      headers = { ...headers, ...received };
    };
    stream.on("response", receive);
    stream.on("trailers", receive);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      // A status is the end of the answer even where the request was left open.
      if (headers["grpc-status"] !== undefined) settle();
    });
    stream.on("error", () => undefined);
    stream.on("close", settle);
  });
}

function statusOf(headers: IncomingHttpHeaders, stream: ClientHttp2Stream): string {
  const code = headers["grpc-status"];
  if (code !== undefined) return Code[Number(code)] ?? `status ${code}`;
  const http = Number(headers[":status"] ?? 200);
  if (http !== 200) return `HTTP ${http}`;
  return stream.rstCode === constants.NGHTTP2_NO_ERROR ? "NO_STATUS" : "STREAM_RST";
}

function split(body: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at + 5 <= body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    messages.push(body.subarray(at + 5, end));
    at = end;
  }
  return messages;
}
