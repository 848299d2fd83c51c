import type { Lifetime } from "./lifetime.js";
import { LONGEST_TIMER } from "./longest-timer.js";
import { type CommandOptions, checkTimeout, noAnswerWithin } from "./transport/commands.js";
import { whenAborted } from "./when-aborted.js";
import { withResolvers } from "./with-resolvers.js";

/**
 * Waits for what has to be over before a command can be sent, as long as its answer would be waited for.
 *
 * @param onceOver calls back when it is over
 * @throws {StatusError} if the timeout passes
 * @throws {DisposedError} if the lifetime ends
 * @throws the signal's reason if it is aborted
 */
export async function waitFor(
  onceOver: (listener: () => void) => void,
  lifetime: Lifetime,
  { signal, timeout }: Pick<CommandOptions, "signal" | "timeout">,
): Promise<void> {
  checkTimeout(timeout);
  const { promise, resolve, reject } = withResolvers<void>();
  const notAborted = whenAborted(signal, () => reject(signal?.reason));
  const expire = (): void => reject(noAnswerWithin(timeout));
  const timer = timeout === undefined ? undefined : setTimeout(expire, Math.min(timeout, LONGEST_TIMER));
  const letGo = lifetime.hold({ giveUp: reject });
  try {
    onceOver(resolve);
    await promise;
  } finally {
    notAborted();
    clearTimeout(timer);
    letGo();
  }
}
