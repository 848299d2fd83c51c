import { Duration, Limits as WireLimits } from "@livescope/proto";
import { checkCount, checkMilliseconds, checkNames } from "./checks.js";

/** What the guest code of a session may use. A limit that is left out is the server's default. */
export interface Limits {
  /** The most memory the session may hold, the engine's own share included, in bytes. */
  readonly memoryBytes?: number | undefined;
  /** The wall time of one execution from its first turn, in milliseconds. */
  readonly timeout?: number | undefined;
  /** How long one turn may hold a worker, in milliseconds. */
  readonly cpuTime?: number | undefined;
  /** The most console text that one execution may keep, in bytes. More is cut with a mark. */
  readonly consoleBytes?: number | undefined;
  /** The largest encoded value that leaves the session, in bytes. A larger one becomes a handle. */
  readonly valueBytes?: number | undefined;
  /** How many handles the session may hold at once. */
  readonly handles?: number | undefined;
  /** How many executions may wait for the session. */
  readonly queuedExecutions?: number | undefined;
}

/** Limits with every one of them set, as the server tells them. */
export type AllLimits = { readonly [Name in keyof Limits]-?: number };

/**
 * What one execution may use. A limit that is left out, or above the session's, is the session's. The other limits belong to
 * the session as a whole, and the wall time is the option `timeout`.
 */
export type ExecutionLimits = Pick<Limits, "cpuTime" | "consoleBytes" | "valueBytes">;

const NAMES: readonly (keyof Limits)[] = [
  "memoryBytes",
  "timeout",
  "cpuTime",
  "consoleBytes",
  "valueBytes",
  "handles",
  "queuedExecutions",
];

/**
 * @throws {TypeError} if there is no limit of a name, or a limit is no number
 * @throws {RangeError} if a limit is no number that can be sent
 */
export function writeLimits(limits: Limits): WireLimits {
  checkNames("limits", limits, NAMES);
  return {
    memoryBytes: writeCount("memoryBytes", limits.memoryBytes),
    timeout: limits.timeout === undefined ? undefined : writeDuration("timeout", limits.timeout),
    cpuTime: limits.cpuTime === undefined ? undefined : writeDuration("cpuTime", limits.cpuTime),
    consoleBytes: writeCount("consoleBytes", limits.consoleBytes),
    valueBytes: writeCount("valueBytes", limits.valueBytes),
    handles: writeCount("handles", limits.handles),
    queuedExecutions: writeCount("queuedExecutions", limits.queuedExecutions),
  };
}

export function readLimits(limits: WireLimits = WireLimits.create()): AllLimits {
  return {
    memoryBytes: Number(limits.memoryBytes),
    timeout: readDuration(limits.timeout),
    cpuTime: readDuration(limits.cpuTime),
    consoleBytes: Number(limits.consoleBytes),
    valueBytes: Number(limits.valueBytes),
    handles: Number(limits.handles),
    queuedExecutions: Number(limits.queuedExecutions),
  };
}

/**
 * Zero is refused because on the wire it means "not set".
 * @throws {TypeError} if `milliseconds` is no number
 * @throws {RangeError} if it is not positive, or more than 10,000 years
 */
export function writeDuration(name: string, milliseconds: number): Duration {
  checkMilliseconds(name, milliseconds, 315_576_000_000_000);
  // What is shorter than a nanosecond would be zero on the wire.
  const nanoseconds = BigInt(Math.max(1, Math.round(milliseconds * 1e6)));
  return { seconds: nanoseconds / 1_000_000_000n, nanos: Number(nanoseconds % 1_000_000_000n) };
}

/** Gives milliseconds, with a fraction; 0 if it is unset. */
export function readDuration(duration: Duration = Duration.create()): number {
  return Number(duration.seconds) * 1e3 + duration.nanos / 1e6;
}

function writeCount(name: string, count: number | undefined): bigint {
  if (count === undefined) return 0n;
  checkCount(`limits.${name}`, count);
  return BigInt(count);
}
