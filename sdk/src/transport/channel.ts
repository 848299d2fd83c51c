import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  connectivityState,
  credentials,
  Metadata,
} from "@grpc/grpc-js";
import { SandboxServiceService } from "@livescope/proto";
import { type DisposedError, LivescopeError, StatusError, traceToCaller, UnavailableError } from "../errors.js";
import { Lifetime } from "../lifetime.js";
import { LONGEST_TIMER } from "../longest-timer.js";
import type { RequestOptions } from "../options.js";
import type { SessionPresence } from "../session-presence.js";
import { whenAborted } from "../when-aborted.js";
import { withResolvers } from "../with-resolvers.js";
import { channelOptions, isLoopback } from "./channel-options.js";
import { checkTimeout, noAnswerWithin } from "./commands.js";
import { errorFrom } from "./status.js";
import { UnaryCall } from "./unary-call.js";

/** One method of a generated service definition. */
export interface Method<Request, Response> {
  readonly path: string;
  requestSerialize(request: Request): Buffer;
  responseDeserialize(response: Buffer): Response;
}

/** How often a unary call is sent at most, of which each may be repeated by gRPC. */
const ATTEMPTS = 3;
/** How long letting go of something may take, in milliseconds: leaving a block must not hang. */
const LET_GO_TIMEOUT = 5_000;
/** How long it may take to learn why there is no connection, in milliseconds. */
const CAUSE_TIMEOUT = 200;

/** What is further away cannot be told as a deadline, and is none; gRPC would throw. In milliseconds: eight digits of hours. */
const LONGEST_DEADLINE = 99_999_999 * 3_600_000;

/** Makes the error for something that has waited so many milliseconds for a connection in vain. */
export type Unreachable = (waited: number) => UnavailableError;

/** What all channels of one client have in common. */
interface Line {
  readonly client: Client;
  readonly lifetime: Lifetime;
  readonly address: string;
  readonly reconnectTimeout: number;
  /** What is being made that nobody waits for any more. */
  readonly leaving: Set<Leaving>;
}

/** Something that is made undone when it is made. */
interface Leaving {
  /** It is not waited for any longer. */
  giveUp(): void;
  readonly unmade: Promise<void>;
}

/** As `letGo` of a channel, also while the client is closing. */
export type LetGo = <Request>(method: Method<Request, unknown>, request: Request) => Promise<void>;

/** A channel to a server, as something that ends uses it: the client, or one of its session objects. */
export class Channel {
  readonly #line: Line;
  readonly #client: Client;
  readonly #lifetime: Lifetime;
  readonly #presence: SessionPresence | undefined;

  /**
   * Connects with the first call. Without credentials a loopback address is used in plain text, any other with TLS. Whoever opens a
   * channel closes it, when the lifetime has ended.
   * @param reconnectTimeout how long calls wait for a connection where there is none, in milliseconds
   */
  static open(
    address: string,
    lifetime: Lifetime,
    reconnectTimeout: number,
    channelCredentials?: ChannelCredentials,
  ): Channel {
    const chosen = channelCredentials ?? (isLoopback(address) ? credentials.createInsecure() : credentials.createSsl());
    const client = new Client(address, chosen, channelOptions(address, reconnectTimeout));
    return new Channel({ client, lifetime, address, reconnectTimeout, leaving: new Set() }, lifetime);
  }

  private constructor(line: Line, lifetime: Lifetime, presence?: SessionPresence) {
    this.#line = line;
    this.#client = line.client;
    this.#lifetime = lifetime;
    this.#presence = presence;
  }

  /** The same channel for a session object, whose lifetime is its own: errors tell then if its session is lost. */
  within(lifetime: Lifetime, presence: SessionPresence): Channel {
    return new Channel(this.#line, lifetime, presence);
  }

  /** How long each call waits for a connection to the server, in milliseconds. */
  get reconnectTimeout(): number {
    return this.#line.reconnectTimeout;
  }

  /**
   * Sends a request and gives the answer. Where there is no connection it waits for one, for some seconds; where it breaks the request
   * is sent again: a second time changes nothing.
   * @throws {StatusError} if the server answers with an error or cannot be reached
   * @throws {DisposedError} if the lifetime is over, or ends meanwhile
   * @throws {RangeError} if the timeout is no positive number
   * @throws the signal's reason if it is aborted
   */
  send<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: RequestOptions,
  ): Promise<Response> {
    return this.#guard(options, (call) => this.#sendUntilAnswered(method, request, call));
  }

  /**
   * Sends a request that makes something, as `send` does. The server makes it whoever hears of it: where nobody waits for it any more,
   * because it was aborted, its time is over or the lifetime has ended, it is made undone, unless it can be had by an id that the caller
   * gave.
   * @param unmake lets go of what an answer tells of
   */
  async make<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    { signal, timeout, requestId }: RequestOptions & { readonly requestId?: string | undefined },
    unmake: (response: Response, letGo: LetGo) => Promise<unknown>,
  ): Promise<Response> {
    if (requestId !== undefined) return this.send(method, request, { signal, timeout });
    const caller = new Error("called here");
    checkTimeout(timeout);
    signal?.throwIfAborted();
    this.assertUsable();
    const { leaving } = this.#line;
    const unsent = new AbortController();
    // As of what does not end, and without a deadline: what was sent cannot be taken back, in its own tick neither, and its answer has to
    // be heard.
    const sender = new Channel(this.#line, Lifetime.ofClient(), this.#presence);
    let wasSent = (): boolean => false;
    const made = sender.#guard({ signal: unsent.signal }, (call) => {
      wasSent = () => call.wasSent;
      return sender.#sendUntilAnswered(method, request, call);
    });
    const { promise, resolve, reject } = withResolvers<Response>();
    let isOver = false;
    const leave = (error: unknown): void => {
      // Why there is no connection may be known too late.
      if (isOver) return;
      end();
      reject(error);
      // Else it is asked for again where the connection breaks, and has made it then, too.
      if (!wasSent()) return unsent.abort();
      const letGo: LetGo = (to, what) => this.#letGo(to, what);
      const unmade = made.then((response) => unmake(response, letGo)).catch(() => undefined);
      const left: Leaving = { giveUp: () => unsent.abort(), unmade: unmade.then(() => void leaving.delete(left)) };
      leaving.add(left);
    };
    const over = this.#lifetime.hold({ giveUp: (error) => leave(this.#explained(error, caller)) });
    const notAborted = whenAborted(signal, () => leave(signal?.reason));
    const expire = (): void =>
      this.whenReady((unreachable) => leave(this.#explained(noTimeLeft(timeout, unreachable), caller)), 1);
    const timer = timeout === undefined ? undefined : setTimeout(expire, Math.min(timeout, LONGEST_TIMER));
    const end = (): void => {
      isOver = true;
      over();
      notAborted();
      clearTimeout(timer);
    };
    // At once: what is aborted from then on has its answer.
    made.then(end, end);
    made.then(resolve, reject);
    return promise;
  }

  /** Sends a request as `send` does, once, and fails at once where there is no connection. */
  sendOnce<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: RequestOptions,
  ): Promise<Response> {
    return this.#guard(options, (call) => this.#sendOnce(method, request, call));
  }

  /**
   * Tells the server that something is needed no more. It may be told after the lifetime has ended, and is never given up but after
   * some seconds.
   * @throws {StatusError} if the server answers with an error or cannot be reached
   * @throws {DisposedError} if the client is closed
   */
  async letGo<Request>(method: Method<Request, unknown>, request: Request): Promise<void> {
    this.#line.lifetime.assertUsable();
    await this.#letGo(method, request);
  }

  async #letGo<Request>(method: Method<Request, unknown>, request: Request): Promise<void> {
    await this.#sendOnce(method, request, new UnaryCall(LET_GO_TIMEOUT));
  }

  async #guard<T>(options: RequestOptions, send: (call: UnaryCall) => Promise<T>): Promise<T> {
    const caller = new Error("called here");
    try {
      const answer = await this.#interruptible(options, send);
      this.#presence?.note();
      return answer;
    } catch (error) {
      throw this.#explained(error, caller);
    }
  }

  #explained(thrown: unknown, caller: Error): unknown {
    const error = this.#presence?.explain(thrown) ?? thrown;
    if (error instanceof LivescopeError) traceToCaller(error, caller);
    return error;
  }

  async #interruptible<T>({ timeout, signal }: RequestOptions, send: (call: UnaryCall) => Promise<T>): Promise<T> {
    checkTimeout(timeout);
    signal?.throwIfAborted();
    this.assertUsable();
    const call = new UnaryCall(timeout);
    const over = this.#lifetime.hold({ giveUp: (error) => call.interrupt(error) });
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
      if (!this.isReady) await this.#untilReady(call);
      try {
        return await this.#sendOnce(method, request, call);
      } catch (error) {
        if (!(error instanceof UnavailableError) || this.isReady || attempt === ATTEMPTS) throw error;
      }
    }
  }

  #untilReady(call: UnaryCall): Promise<void> {
    return new Promise((resolve, reject) => {
      call.stop = () => reject(new LivescopeError("nobody waits for it any more"));
      const wait = Math.min(call.timeLeft, this.reconnectTimeout);
      this.whenReady((unreachable) => {
        if (unreachable === undefined) return resolve();
        const error = unreachable(Math.round(wait));
        reject(call.timeLeft > 0 ? error : new StatusError(error.message, { code: "DEADLINE_EXCEEDED" }));
      }, wait);
    });
  }

  async #sendOnce<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    call: UnaryCall,
  ): Promise<Response> {
    call.throwIfInterrupted();
    call.wasSent = true;
    try {
      return await new Promise<Response>((resolve, reject) => {
        const started = this.#client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          new Metadata(),
          callOptions(call.timeLeft),
          (error, response) => (response === undefined ? reject(error) : resolve(response)),
        );
        call.stop = () => started.cancel();
      });
    } catch (error) {
      throw errorFrom(error);
    }
  }

  /**
   * Sends requests as they come, at the pace that the server takes them, and gives the one answer. Where there is no connection it waits
   * for one, as `send` does.
   * @throws as `send`, and what `requests` throws
   */
  async sendAll<Request, Response>(
    method: Method<Request, Response>,
    requests: AsyncGenerator<Request, void, void>,
    { signal, timeout }: RequestOptions,
  ): Promise<Response> {
    checkTimeout(timeout);
    signal?.throwIfAborted();
    this.assertUsable();
    // At once: what they are read from, such as a file, may fail before there is a connection, and nobody else hears of it.
    let next = requests.next();
    next.catch(() => undefined);
    try {
      const timeLeft = this.isReady ? timeout : await this.#untilSendable({ signal, timeout });
      const { promise, resolve, reject } = withResolvers<Response>();
      const call = this.#client.makeClientStreamRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        new Metadata(),
        callOptions(timeLeft),
        (error, response) => (response === undefined ? reject(errorFrom(error)) : resolve(response)),
      );
      const answered = promise.then(
        () => undefined,
        () => undefined,
      );
      const notAborted = whenAborted(signal, () => call.cancel());
      let disposed: DisposedError | undefined;
      const over = this.#lifetime.hold({
        giveUp: (error) => {
          disposed = error;
          call.cancel();
        },
      });
      try {
        for (;;) {
          // It may be refused before it is sent whole, and what is waited for may never come.
          const taken = await Promise.race([answered, next]);
          if (taken === undefined || taken.done) break;
          const { value } = taken;
          await Promise.race([answered, new Promise<void>((written) => void call.write(value, () => written()))]);
          next = requests.next();
        }
        call.end();
        return await promise;
      } catch (error) {
        call.cancel();
        signal?.throwIfAborted();
        throw disposed ?? error;
      } finally {
        over();
        notAborted();
      }
    } finally {
      // Not awaited: it ends after what it waits for.
      requests.return().catch(() => undefined);
    }
  }

  /**
   * Gives the answers to one request as they come. Leaving the loop ends it. Where there is no connection it waits for one, as `send` does.
   * @throws as `send`
   */
  async *sendAndListen<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    { signal, timeout }: RequestOptions,
  ): AsyncGenerator<Response, void, void> {
    const caller = new Error("called here");
    checkTimeout(timeout);
    signal?.throwIfAborted();
    this.assertUsable();
    const timeLeft = this.isReady ? timeout : await this.#untilSendable({ signal, timeout });
    const stream = this.readable(method, request, timeLeft);
    const notAborted = whenAborted(signal, () => stream.cancel());
    const over = this.#lifetime.hold({ giveUp: (error) => void stream.destroy(error) });
    try {
      for await (const response of stream) yield response as Response;
    } catch (error) {
      signal?.throwIfAborted();
      throw this.#explained(errorFrom(error), caller);
    } finally {
      over();
      notAborted();
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

  /**
   * Waits for a connection, where there is none.
   * @returns what is left of the timeout, in milliseconds
   * @throws as `send`
   */
  async #untilSendable(options: RequestOptions): Promise<number> {
    const caller = new Error("called here");
    try {
      return await this.#interruptible(options, async (call) => {
        await this.#untilReady(call);
        return call.timeLeft;
      });
    } catch (error) {
      throw this.#explained(error, caller);
    }
  }

  /** True while there is a connection to the server. */
  get isReady(): boolean {
    return this.#connect() === connectivityState.READY;
  }

  /** Calls back when there is a connection to the server, or with what makes errors when there was none for `wait` milliseconds. */
  whenReady(callback: (unreachable: Unreachable | undefined) => void, wait = this.reconnectTimeout): void {
    const until = Date.now() + Math.ceil(Math.min(wait, LONGEST_TIMER));
    const look = (late?: Error): void => {
      const state = this.#connect();
      if (late !== undefined || state === connectivityState.SHUTDOWN) {
        void this.#whyUnreachable().then(callback);
      } else if (state === connectivityState.READY) callback(undefined);
      else this.#client.getChannel().watchConnectivityState(state, until, look);
    };
    setImmediate(() => look());
  }

  /** Tries to connect where there is no connection. One that is closed gRPC would open again, also by `waitForReady`. */
  #connect(): connectivityState {
    const channel = this.#client.getChannel();
    const state = channel.getConnectivityState(false);
    return state === connectivityState.SHUTDOWN ? state : channel.getConnectivityState(true);
  }

  /** Undefined where there is a connection after all. gRPC tells why there is none to a call that fails at once, and else to nobody. */
  async #whyUnreachable(): Promise<Unreachable | undefined> {
    let cause: LivescopeError | undefined;
    try {
      if (this.#client.getChannel().getConnectivityState(false) === connectivityState.TRANSIENT_FAILURE) {
        await this.#sendOnce(SandboxServiceService.getServerInfo, {}, new UnaryCall(CAUSE_TIMEOUT));
        return undefined;
      }
    } catch (error) {
      const told = errorFrom(error);
      if (told instanceof UnavailableError) cause = told;
      // Whoever answers with another error is there, but for a call that had no time left.
      else if (told instanceof StatusError && told.code !== "DEADLINE_EXCEEDED") return undefined;
    }
    const why = cause === undefined ? "" : ` (${cause.message})`;
    return (waited) => {
      const message = `no connection to ${this.#line.address} for ${waited} ms${why}`;
      return new UnavailableError(message, { code: "UNAVAILABLE" }, { cause });
    };
  }

  /** @throws {DisposedError} if the lifetime is over */
  assertUsable(): void {
    this.#lifetime.assertUsable();
  }

  /** Closes the channel, for all that use it: when what nobody is to get is deleted again, or after some seconds. */
  close(): void {
    const { leaving } = this.#line;
    if (leaving.size === 0) return this.#client.close();
    const giveUp = (): void => {
      for (const each of leaving) each.giveUp();
    };
    const timer = setTimeout(giveUp, LET_GO_TIMEOUT);
    void Promise.all([...leaving].map(({ unmade }) => unmade)).then(() => {
      clearTimeout(timer);
      this.#client.close();
    });
  }
}

/** @param unreachable makes the error where there is no connection */
function noTimeLeft(timeout: number | undefined, unreachable: Unreachable | undefined): StatusError {
  if (timeout === undefined || unreachable === undefined) return noAnswerWithin(timeout);
  return new StatusError(unreachable(timeout).message, { code: "DEADLINE_EXCEEDED" });
}

function callOptions(timeout = Number.POSITIVE_INFINITY): { deadline?: number } {
  return timeout > LONGEST_DEADLINE ? {} : { deadline: Date.now() + timeout };
}
