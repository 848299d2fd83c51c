import { StatusError } from "../errors.js";
import { LONGEST_TIMER } from "../longest-timer.js";
import type { RequestOptions } from "../options.js";
import { assertNotAborted, whenAborted } from "../when-aborted.js";
import { withResolvers } from "../with-resolvers.js";
import type { Channel } from "./channel.js";
import { checkTimeout, noAnswerWithin } from "./commands.js";
import type { Leaving, LetGo, Method, Unreachable } from "./line.js";
import type { UnaryCall } from "./unary-call.js";

/**
 * Sends a request that makes something, as `send` of the channel does. The server makes it whoever hears of it: where nobody waits for it
 * any more, because it was aborted, its time is over or the lifetime has ended, it is made undone, unless it can be had by an id that the
 * caller gave.
 * @param unmake lets go of what an answer tells of
 */
export async function make<Request, Response>(
  channel: Channel,
  method: Method<Request, Response>,
  request: Request,
  { signal, timeout, requestId }: RequestOptions & { readonly requestId?: string | undefined },
  unmake: (response: Response, letGo: LetGo) => Promise<unknown>,
): Promise<Response> {
  if (requestId !== undefined) return channel.send(method, request, { signal, timeout });
  const caller = new Error("called here");
  checkTimeout(timeout);
  assertNotAborted(signal);
  channel.assertUsable();
  const { line } = channel;
  const unsent = new AbortController();
  // As of what does not end, and without a deadline: what was sent cannot be taken back, in its own tick neither, and its answer has to
  // be heard.
  let sending: UnaryCall | undefined;
  const made = channel.lasting().send(method, request, { signal: unsent.signal }, (call) => {
    sending = call;
  });
  const { promise, resolve, reject } = withResolvers<Response>();
  let isOver = false;
  const leave = (error: unknown): void => {
    // Why there is no connection may be known too late.
    if (isOver) return;
    end();
    reject(error);
    // Else it is asked for again where the connection breaks, and has made it then, too.
    if (!sending?.wasSent) return unsent.abort();
    const letGo: LetGo = (to, what) => line.letGo(to, what);
    const unmade = made.then((response) => unmake(response, letGo)).catch(() => undefined);
    const left: Leaving = { giveUp: () => unsent.abort(), unmade: unmade.then(() => void line.leaving.delete(left)) };
    line.leaving.add(left);
  };
  const over = channel.lifetime.hold({ giveUp: (error) => leave(channel.explained(error, caller)) });
  const notAborted = whenAborted(signal, () => leave(signal?.reason));
  const expire = (): void =>
    line.whenReady((unreachable) => leave(channel.explained(noTimeLeft(timeout, unreachable), caller)), 1);
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

/** @param unreachable makes the error where there is no connection */
function noTimeLeft(timeout: number | undefined, unreachable: Unreachable | undefined): StatusError {
  if (timeout === undefined || unreachable === undefined) return noAnswerWithin(timeout);
  return new StatusError(unreachable(timeout).message, { code: "DEADLINE_EXCEEDED" });
}
