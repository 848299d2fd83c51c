/** What the kernel tells of values that it does not carry: of handles, and of what was thrown. */
import { describeHandle } from "../describe-handle.js";
import { handleCount } from "../handle-lookup.js";
import { StopCause, stopTurn } from "../host.js";
import { KernelTypeError } from "../intrinsics.js";
import { idOf } from "../other-results.js";
import { Arm } from "../protocol.js";
import type { EncodedResult, ResultOptions } from "../result.js";

export { describeRejection } from "../errors.js";
export { tellThrown } from "../thrown-values.js";

/** What becomes of an execution that nothing can settle any more. */
export function deadlock(): Error {
  const message = "the awaited promise can never settle: nothing is left in the session that could resolve it";
  return new KernelTypeError(message);
}

/** @returns undefined where the turn is stopped because the session would have too many */
export function asHandle(value: unknown, options: ResultOptions): EncodedResult | undefined {
  const text = describeHandle(value, idOf(value, options));
  if (handleCount() > options.handles) return stopTurn(StopCause.HANDLES) as undefined;
  return { arm: Arm.HANDLE, text, bytes: undefined };
}
