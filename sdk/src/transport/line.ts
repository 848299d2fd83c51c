import { type ChannelCredentials, Client, connectivityState, credentials, Metadata } from "@grpc/grpc-js";
import { SandboxServiceService } from "@livescope/proto";
import { ConnectionLostError, type LivescopeError, StatusError, UnavailableError } from "../errors.js";
import type { Lifetime } from "../lifetime.js";
import { LONGEST_TIMER } from "../longest-timer.js";
import { channelOptions, isLoopback } from "./channel-options.js";
import { errorFrom } from "./status.js";
import { UnaryCall } from "./unary-call.js";

/** One method of a generated service definition. */
export interface Method<Request, Response> {
  readonly path: string;
  requestSerialize(request: Request): Buffer;
  responseDeserialize(response: Buffer): Response;
}

/** How often a unary call is sent at most, of which each may be repeated by gRPC. */
export const ATTEMPTS = 3;
/** How long letting go of something may take, in milliseconds: leaving a block must not hang. */
const LET_GO_TIMEOUT = 5_000;
/** How long it may take to learn why there is no connection, in milliseconds. */
const CAUSE_TIMEOUT = 200;

/** What is further away cannot be told as a deadline, and is none; gRPC would throw. In milliseconds: eight digits of hours. */
const LONGEST_DEADLINE = 99_999_999 * 3_600_000;

/** Makes the error for something that has waited so many milliseconds for a connection in vain. */
export type Unreachable = (waited: number) => UnavailableError;

/** Something that is made undone when it is made. */
export interface Leaving {
  /** It is not waited for any longer. */
  giveUp(): void;
  readonly unmade: Promise<void>;
}

/** As `letGo` of a line. */
export type LetGo = <Request>(method: Method<Request, unknown>, request: Request) => Promise<void>;

/** What all channels of one client have in common: its connection to the server, which is there or is waited for. */
export class Line {
  readonly address: string;
  /** Of the client. */
  readonly lifetime: Lifetime;
  /** How long each call waits for a connection to the server, in milliseconds. */
  readonly reconnectTimeout: number;
  /** Makes calls at once, whether there is a connection or not. */
  readonly client: Client;
  /** What is being made that nobody waits for any more. */
  readonly leaving = new Set<Leaving>();

  /** Connects with the first call. Without credentials a loopback address is used in plain text, any other with TLS. */
  constructor(address: string, lifetime: Lifetime, reconnectTimeout: number, channelCredentials?: ChannelCredentials) {
    this.address = address;
    this.lifetime = lifetime;
    this.reconnectTimeout = reconnectTimeout;
    const chosen = channelCredentials ?? (isLoopback(address) ? credentials.createInsecure() : credentials.createSsl());
    this.client = new Client(address, chosen, channelOptions(address, reconnectTimeout));
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
      else this.client.getChannel().watchConnectivityState(state, until, look);
    };
    setImmediate(() => look());
  }

  /** Tries to connect where there is no connection. One that is closed gRPC would open again, also by `waitForReady`. */
  #connect(): connectivityState {
    const channel = this.client.getChannel();
    const state = channel.getConnectivityState(false);
    return state === connectivityState.SHUTDOWN ? state : channel.getConnectivityState(true);
  }

  /** Undefined where there is a connection after all. gRPC tells why there is none to a call that fails at once, and else to nobody. */
  async #whyUnreachable(): Promise<Unreachable | undefined> {
    let cause: LivescopeError | undefined;
    try {
      if (this.client.getChannel().getConnectivityState(false) === connectivityState.TRANSIENT_FAILURE) {
        await this.sendOnce(SandboxServiceService.getServerInfo, {}, new UnaryCall(CAUSE_TIMEOUT));
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
      const message = `no connection to ${this.address} for ${waited} ms${why}`;
      return new UnavailableError(message, { code: "UNAVAILABLE" }, { cause });
    };
  }

  /** @throws {StatusError} if the server answers with an error or there is no connection */
  async sendOnce<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    call: UnaryCall,
  ): Promise<Response> {
    call.throwIfInterrupted();
    call.wasSent = true;
    try {
      return await new Promise<Response>((resolve, reject) => {
        const started = this.client.makeUnaryRequest(
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
   * Tells the server that something is needed no more, also while the client is closing; again where that was reset, but without
   * waiting for a connection.
   * @throws as `sendOnce`
   */
  async letGo<Request>(method: Method<Request, unknown>, request: Request): Promise<void> {
    const call = new UnaryCall(LET_GO_TIMEOUT);
    for (let attempt = 1; ; attempt++) {
      try {
        await this.sendOnce(method, request, call);
        return;
      } catch (error) {
        if (!(error instanceof ConnectionLostError) || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /** Closes it, for all that use it: when what nobody is to get is deleted again, or after some seconds. */
  close(): void {
    const { leaving } = this;
    if (leaving.size === 0) return this.client.close();
    const giveUp = (): void => {
      for (const each of leaving) each.giveUp();
    };
    const timer = setTimeout(giveUp, LET_GO_TIMEOUT);
    void Promise.all([...leaving].map(({ unmade }) => unmade)).then(() => {
      clearTimeout(timer);
      this.client.close();
    });
  }
}

/** How gRPC is told of a timeout. */
export function callOptions(timeout = Number.POSITIVE_INFINITY): { deadline?: number } {
  return timeout > LONGEST_DEADLINE ? {} : { deadline: Date.now() + timeout };
}
