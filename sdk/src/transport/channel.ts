import { type ChannelCredentials, type ClientDuplexStream, type ClientReadableStream, Metadata } from "@grpc/grpc-js";
import { ConnectionLostError, LivescopeError, StatusError, traceToCaller, UnavailableError } from "../errors.js";
import { Lifetime } from "../lifetime.js";
import type { RequestOptions } from "../options.js";
import type { SessionPresence } from "../session-presence.js";
import { assertNotAborted, whenAborted } from "../when-aborted.js";
import { checkTimeout } from "./commands.js";
import { ATTEMPTS, callOptions, Line, type Method } from "./line.js";
import { UnaryCall } from "./unary-call.js";

/** A channel to a server, as something that ends uses it: the client, or one of its session objects. */
export class Channel {
  readonly line: Line;
  /** Of what uses it. */
  readonly lifetime: Lifetime;
  readonly #presence: SessionPresence | undefined;

  /** Opens the line of a client. Whoever opens it closes it, when the lifetime has ended. */
  static open(
    address: string,
    lifetime: Lifetime,
    reconnectTimeout: number,
    channelCredentials?: ChannelCredentials,
  ): Channel {
    return new Channel(new Line(address, lifetime, reconnectTimeout, channelCredentials), lifetime);
  }

  private constructor(line: Line, lifetime: Lifetime, presence?: SessionPresence) {
    this.line = line;
    this.lifetime = lifetime;
    this.#presence = presence;
  }

  /** The same channel for a session object, whose lifetime is its own: errors tell then if its session is lost. */
  within(lifetime: Lifetime, presence: SessionPresence): Channel {
    return new Channel(this.line, lifetime, presence);
  }

  /** The same channel for what is waited for also after the lifetime has ended. */
  lasting(): Channel {
    return new Channel(this.line, Lifetime.ofClient(), this.#presence);
  }

  /**
   * Sends a request and gives the answer. Where there is no connection it waits for one, for some seconds; where it breaks the request
   * is sent again: a second time changes nothing.
   * @param begun is given what is on its way, at once
   * @throws {StatusError} if the server answers with an error or cannot be reached
   * @throws {DisposedError} if the lifetime is over, or ends meanwhile
   * @throws {RangeError} if the timeout is no positive number
   * @throws the signal's reason if it is aborted
   */
  send<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: RequestOptions,
    begun?: (call: UnaryCall) => void,
  ): Promise<Response> {
    return this.#guard(options, (call) => {
      begun?.(call);
      return this.#sendUntilAnswered(method, request, call);
    });
  }

  /** Sends a request as `send` does, once, and fails at once where there is no connection. */
  sendOnce<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: RequestOptions,
  ): Promise<Response> {
    return this.#guard(options, (call) => this.line.sendOnce(method, request, call));
  }

  /**
   * Tells the server that something is needed no more. It may be told after the lifetime has ended, and is never given up but after
   * some seconds.
   * @throws {StatusError} if the server answers with an error or cannot be reached
   * @throws {DisposedError} if the client is closed
   */
  async letGo<Request>(method: Method<Request, unknown>, request: Request): Promise<void> {
    this.line.lifetime.assertUsable();
    await this.line.letGo(method, request);
  }

  async #guard<T>(options: RequestOptions, send: (call: UnaryCall) => Promise<T>): Promise<T> {
    const caller = new Error("called here");
    try {
      const answer = await this.#interruptible(options, send);
      this.#presence?.note();
      return answer;
    } catch (error) {
      throw this.explained(error, caller);
    }
  }

  /** What something that went wrong is to whoever asked for it, at `caller`. */
  explained(thrown: unknown, caller: Error): unknown {
    const error = this.#presence?.explain(thrown) ?? thrown;
    if (error instanceof LivescopeError) traceToCaller(error, caller);
    return error;
  }

  async #interruptible<T>({ timeout, signal }: RequestOptions, send: (call: UnaryCall) => Promise<T>): Promise<T> {
    checkTimeout(timeout);
    assertNotAborted(signal);
    this.assertUsable();
    const call = new UnaryCall(timeout);
    const over = this.lifetime.hold({ giveUp: (error) => call.interrupt(error) });
    const notAborted = whenAborted(signal, () => call.interrupt(signal?.reason));
    try {
      return await send(call);
    } catch (error) {
      // The answer to a cancelled call says CANCELLED; who interrupted it knows better why.
      call.throwIfInterrupted();
      throw error;
    } finally {
      over();
      notAborted();
    }
  }

  async #sendUntilAnswered<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    call: UnaryCall,
  ): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      if (!this.line.isReady) await this.#untilReady(call);
      try {
        return await this.line.sendOnce(method, request, call);
      } catch (error) {
        if (!(error instanceof UnavailableError) || attempt === ATTEMPTS) throw error;
        // Where there is a connection gRPC has repeated it, unless it was large, or its answer had begun to come.
        if (this.line.isReady && !(error instanceof ConnectionLostError)) throw error;
      }
    }
  }

  #untilReady(call: UnaryCall): Promise<void> {
    return new Promise((resolve, reject) => {
      call.stop = () => reject(new LivescopeError("nobody waits for it any more"));
      const wait = Math.min(call.timeLeft, this.line.reconnectTimeout);
      this.line.whenReady((unreachable) => {
        if (unreachable === undefined) return resolve();
        const error = unreachable(Math.round(wait));
        reject(call.timeLeft > 0 ? error : new StatusError(error.message, { code: "DEADLINE_EXCEEDED" }));
      }, wait);
    });
  }

  /**
   * Opens a stream of answers to one request.
   * @throws {DisposedError} if the lifetime is over
   */
  readable<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    timeout?: number,
  ): ClientReadableStream<Response> {
    this.assertUsable();
    return this.line.client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      callOptions(timeout),
    );
  }

  /**
   * Opens a stream in both directions.
   * @throws {DisposedError} if the lifetime is over
   */
  duplex<Request, Response>(method: Method<Request, Response>): ClientDuplexStream<Request, Response> {
    this.assertUsable();
    return this.line.client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
  }

  /**
   * Waits for a connection, where there is none.
   * @returns what is left of the timeout, in milliseconds
   * @throws as `send`
   */
  async untilReady(options: RequestOptions): Promise<number> {
    const caller = new Error("called here");
    try {
      return await this.#interruptible(options, async (call) => {
        await this.#untilReady(call);
        return call.timeLeft;
      });
    } catch (error) {
      throw this.explained(error, caller);
    }
  }

  /** @throws {DisposedError} if the lifetime is over */
  assertUsable(): void {
    this.lifetime.assertUsable();
  }
}
