/** Milliseconds inside, Duration and Timestamp outside. */
import type { Duration } from "@livescope/proto";
import { invalid } from "../session/errors.js";

export function durationOf(milliseconds: number): Duration {
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds: BigInt(seconds), nanos: Math.round((milliseconds - seconds * 1000) * 1e6) };
}

/** @throws SessionError INVALID_REQUEST when seconds and nanos are not a Duration of one sign */
export function millisecondsOf(duration: Duration | undefined, field: string): number {
  if (duration === undefined) return 0;
  const { seconds, nanos } = duration;
  const isNegative = seconds < 0n || nanos < 0;
  if (Math.abs(nanos) > 999_999_999 || (isNegative && (seconds > 0n || nanos > 0))) {
    throw invalid(field, "is not a valid Duration");
  }
  const milliseconds = Number(seconds) * 1000 + nanos / 1e6;
  // Less than a millisecond still is a limit, not the default.
  return milliseconds > 0 ? Math.max(1, milliseconds) : milliseconds;
}
