import { Metadata } from "@grpc/grpc-js";
import type { DisposedError } from "../errors.js";
import type { RequestOptions } from "../options.js";
import { assertNotAborted, whenAborted } from "../when-aborted.js";
import { withResolvers } from "../with-resolvers.js";
import type { Channel } from "./channel.js";
import { checkTimeout } from "./commands.js";
import { callOptions, type Method } from "./line.js";
import { errorFrom } from "./status.js";

/**
 * Sends requests as they come, at the pace that the server takes them, and gives the one answer. Where there is no connection it waits
 * for one, as `send` of the channel does.
 * @throws as `send` of the channel, and what `requests` throws
 */
export async function sendAll<Request, Response>(
  channel: Channel,
  method: Method<Request, Response>,
  requests: AsyncGenerator<Request, void, void>,
  { signal, timeout }: RequestOptions,
): Promise<Response> {
  const caller = new Error("called here");
  checkTimeout(timeout);
  assertNotAborted(signal);
  channel.assertUsable();
  // At once: what they are read from, such as a file, may fail before there is a connection, and nobody else hears of it.
  let next = requests.next();
  next.catch(() => undefined);
  try {
    const timeLeft = channel.line.isReady ? timeout : await channel.untilReady({ signal, timeout });
    const { promise, resolve, reject } = withResolvers<Response>();
    const call = channel.line.client.makeClientStreamRequest(
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
    const over = channel.lifetime.hold({
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
      throw channel.explained(disposed ?? error, caller);
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
 * Gives the answers to one request as they come. Leaving the loop ends it. Where there is no connection it waits for one, as `send` of
 * the channel does.
 * @throws as `send` of the channel
 */
export async function* sendAndListen<Request, Response>(
  channel: Channel,
  method: Method<Request, Response>,
  request: Request,
  { signal, timeout }: RequestOptions,
): AsyncGenerator<Response, void, void> {
  const caller = new Error("called here");
  checkTimeout(timeout);
  assertNotAborted(signal);
  channel.assertUsable();
  const timeLeft = channel.line.isReady ? timeout : await channel.untilReady({ signal, timeout });
  const stream = channel.readable(method, request, timeLeft);
  const notAborted = whenAborted(signal, () => stream.cancel());
  const over = channel.lifetime.hold({
    giveUp: (error) => {
      stream.destroy(error);
      // By itself that ends no call, which would keep the connection of a client that is closed, and so the process.
      end();
    },
  });
  const end = (): void => {
    over();
    notAborted();
    stream.on("error", () => undefined);
    stream.cancel();
  };
  // Who leaves it without saying so, as by asking for the first answer alone, never comes to what is done at last.
  stream.on("status", () => {
    over();
    notAborted();
  });
  try {
    for await (const response of stream) yield response as Response;
  } catch (error) {
    signal?.throwIfAborted();
    throw channel.explained(errorFrom(error), caller);
  } finally {
    end();
  }
}
