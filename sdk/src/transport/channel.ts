import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  connectivityState,
  credentials,
  Metadata,
} from "@grpc/grpc-js";
import { SandboxServiceService } from "@livescope/proto";
import type { DisposedError } from "../errors.js";
import type { Lifetime } from "../lifetime.js";
import type { RequestOptions } from "../options.js";
import { withResolvers } from "../with-resolvers.js";
import { checkTimeout } from "./commands.js";
import { errorFrom } from "./status.js";

/** One method of a generated service definition. */
export interface Method<Request, Response> {
  readonly path: string;
  requestSerialize(request: Request): Buffer;
  responseDeserialize(response: Buffer): Response;
}

// Every unary call that this package sends may be repeated: those that change something carry a request id, or are such that
// a second time changes nothing. gRPC itself repeats them, with a jitter of a fifth, unless an answer has begun to come.
const serviceConfig = {
  loadBalancingConfig: [],
  methodConfig: [
    // The question by which `connect` finds out whether there is a server has to fail at once.
    { name: [methodName(SandboxServiceService.getServerInfo)] },
    // What runs on a stream must not be run again behind the back of whoever reads it.
    { name: [methodName(SandboxServiceService.connect), methodName(SandboxServiceService.run)] },
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.1s",
        maxBackoff: "1s",
        backoffMultiplier: 2.5,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

const channelOptions: ChannelOptions = {
  "grpc.service_config": JSON.stringify(serviceConfig),
  "grpc.service_config_disable_resolution": 1,
  // A connection is tried again before the retries of a call are used up, and soon after a server has come back.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  // A call may wait long for its answer: without pings one whose connection has silently gone would wait for ever.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
};

/** How long letting go of something may take, in milliseconds: leaving a block must not hang. */
const LET_GO_TIMEOUT = 5_000;

/** A channel to a server, as something that ends uses it: the client, or one of its session objects. */
export class Channel {
  readonly #client: Client;
  readonly #clientLifetime: Lifetime;
  readonly #lifetime: Lifetime;

  /**
   * Connects with the first call. Without credentials a loopback address is used in plain text, any other with TLS. Whoever opens a
   * channel closes it, when the lifetime has ended.
   */
  static open(address: string, lifetime: Lifetime, channelCredentials?: ChannelCredentials): Channel {
    const chosen = channelCredentials ?? (isLoopback(address) ? credentials.createInsecure() : credentials.createSsl());
    return new Channel(new Client(address, chosen, channelOptions), lifetime, lifetime);
  }

  private constructor(client: Client, clientLifetime: Lifetime, lifetime: Lifetime) {
    this.#client = client;
    this.#clientLifetime = clientLifetime;
    this.#lifetime = lifetime;
  }

  /** The same channel for something with a lifetime of its own within the client's. */
  within(lifetime: Lifetime): Channel {
    return new Channel(this.#client, this.#clientLifetime, lifetime);
  }

  /**
   * Sends a request and gives the answer.
   * @throws {StatusError} if the server answers with an error or cannot be reached
   * @throws {DisposedError} if the lifetime is over, or ends meanwhile
   * @throws {RangeError} if the timeout is no positive number
   * @throws the signal's reason if it is aborted
   */
  async send<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: RequestOptions,
  ): Promise<Response> {
    checkTimeout(options.timeout);
    options.signal?.throwIfAborted();
    this.assertUsable();
    let call: ClientUnaryCall | undefined;
    let disposed: DisposedError | undefined;
    const over = this.#lifetime.hold({
      giveUp: (error) => {
        disposed = error;
        call?.cancel();
      },
    });
    try {
      return await this.#send(method, request, options, (made) => {
        call = made;
      });
    } catch (error) {
      throw disposed ?? error;
    } finally {
      over();
    }
  }

  /**
   * Tells the server that something is needed no more. It may be told after the lifetime has ended, and is never given up but after
   * some seconds.
   * @throws {StatusError} if the server answers with an error or cannot be reached
   * @throws {DisposedError} if the client is closed
   */
  async letGo<Request>(method: Method<Request, unknown>, request: Request): Promise<void> {
    this.#clientLifetime.assertUsable();
    await this.#send(method, request, { timeout: LET_GO_TIMEOUT });
  }

  async #send<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    { signal, timeout }: RequestOptions,
    onCall?: (call: ClientUnaryCall) => void,
  ): Promise<Response> {
    let onAbort: (() => void) | undefined;
    try {
      return await new Promise<Response>((resolve, reject) => {
        const call = this.#client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          new Metadata(),
          callOptions(timeout),
          (error, response) => (response === undefined ? reject(error) : resolve(response)),
        );
        onCall?.(call);
        onAbort = () => call.cancel();
        signal?.addEventListener("abort", onAbort);
      });
    } catch (error) {
      // The answer to a cancelled call says CANCELLED; the caller knows better why.
      signal?.throwIfAborted();
      throw errorFrom(error);
    } finally {
      if (onAbort) signal?.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Sends requests as they come, at the pace that the server takes them, and gives the one answer.
   * @throws as `send`, and what `requests` throws
   */
  async sendAll<Request, Response>(
    method: Method<Request, Response>,
    requests: AsyncIterable<Request>,
    { signal, timeout }: RequestOptions,
  ): Promise<Response> {
    checkTimeout(timeout);
    signal?.throwIfAborted();
    this.assertUsable();
    const { promise, resolve, reject } = withResolvers<Response>();
    const call = this.#client.makeClientStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      new Metadata(),
      callOptions(timeout),
      (error, response) => (response === undefined ? reject(errorFrom(error)) : resolve(response)),
    );
    let isAnswered = false;
    const noteAnswer = (): void => {
      isAnswered = true;
    };
    const answered = promise.then(noteAnswer, noteAnswer);
    const onAbort = (): void => call.cancel();
    signal?.addEventListener("abort", onAbort);
    let disposed: DisposedError | undefined;
    const over = this.#lifetime.hold({
      giveUp: (error) => {
        disposed = error;
        call.cancel();
      },
    });
    try {
      for await (const request of requests) {
        // It may be refused before it is sent whole.
        if (isAnswered) break;
        await Promise.race([new Promise<void>((taken) => void call.write(request, () => taken())), answered]);
      }
      call.end();
      return await promise;
    } catch (error) {
      call.cancel();
      signal?.throwIfAborted();
      throw disposed ?? error;
    } finally {
      over();
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Gives the answers to one request as they come. Leaving the loop ends it.
   * @throws as `send`
   */
  async *sendAndListen<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    { signal, timeout }: RequestOptions,
  ): AsyncGenerator<Response, void, void> {
    signal?.throwIfAborted();
    const stream = this.readable(method, request, timeout);
    const onAbort = (): void => stream.cancel();
    signal?.addEventListener("abort", onAbort);
    const over = this.#lifetime.hold({ giveUp: (error) => void stream.destroy(error) });
    try {
      for await (const response of stream) yield response as Response;
    } catch (error) {
      signal?.throwIfAborted();
      throw errorFrom(error);
    } finally {
      over();
      signal?.removeEventListener("abort", onAbort);
      stream.on("error", () => undefined);
      stream.cancel();
    }
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
    return this.#client.makeServerStreamRequest(
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
    return this.#client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
  }

  /** True while there is a connection to the server. */
  get isReady(): boolean {
    return this.#client.getChannel().getConnectivityState(true) === connectivityState.READY;
  }

  /** Calls back when there is a connection to the server, or with an error after so many milliseconds. */
  whenReady(timeout: number, callback: (error: Error | undefined) => void): void {
    this.#client.waitForReady(Date.now() + timeout, callback);
  }

  /** @throws {DisposedError} if the lifetime is over */
  assertUsable(): void {
    this.#lifetime.assertUsable();
  }

  /** Closes the channel, for all that use it. */
  close(): void {
    this.#client.close();
  }
}

const loopback =
  /^(?:unix:.*|(?:dns:(?:\/\/\/)?|ipv4:|ipv6:)?(?:(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?|::1))$/i;

/** Says whether an address, in any of the forms gRPC knows, cannot lead off this machine. */
export function isLoopback(address: string): boolean {
  return loopback.test(address);
}

function callOptions(timeout: number | undefined): { deadline?: number } {
  return timeout === undefined ? {} : { deadline: Date.now() + timeout };
}

function methodName({ path }: { path: string }): { service: string; method: string } {
  const [, service = "", method = ""] = path.split("/");
  return { service, method };
}
