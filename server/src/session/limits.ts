/** All limits in one place. Nothing is unlimited: 0 in a request means the default here. */
import { invalid } from "./errors.js";

export interface Limits {
  /** The most a session's heap may grow to, in bytes. */
  readonly memoryBytes: number;
  /** Wall time of one execution from its first turn, in milliseconds. */
  readonly timeout: number;
  /** Time one turn may hold a worker, in milliseconds. */
  readonly cpuTime: number;
  /** Console text kept for one execution, in bytes. */
  readonly consoleBytes: number;
  /** Size of one encoded value, in bytes. */
  readonly valueBytes: number;
  /** Handles a session may hold. */
  readonly handles: number;
  /** Executions that may wait for a session. */
  readonly queuedExecutions: number;
}

const MEBIBYTE = 1 << 20;

export const DEFAULT_LIMITS: Limits = {
  memoryBytes: 64 * MEBIBYTE,
  timeout: 10_000,
  cpuTime: 10_000,
  consoleBytes: 256 * 1024,
  valueBytes: 3 * MEBIBYTE,
  handles: 10_000,
  queuedExecutions: 1_000,
};

export const MAXIMUM_LIMITS: Limits = {
  memoryBytes: 512 * MEBIBYTE,
  timeout: 10 * 60_000,
  cpuTime: 60_000,
  // With the largest value it has to fit into one message of 4 MiB.
  consoleBytes: 512 * 1024,
  valueBytes: 3 * MEBIBYTE,
  handles: 100_000,
  queuedExecutions: 10_000,
};

const NAMES = Object.keys(DEFAULT_LIMITS) as readonly (keyof Limits)[];

/** Those that an execution may lower for itself; the others belong to its session as a whole. */
const OF_EXECUTIONS = ["timeout", "cpuTime", "consoleBytes", "valueBytes"] as const;

/** Field names as the contract spells them, for messages. */
const FIELD: Readonly<Record<keyof Limits, string>> = {
  memoryBytes: "limits.memory_bytes",
  timeout: "limits.timeout",
  cpuTime: "limits.cpu_time",
  consoleBytes: "limits.console_bytes",
  valueBytes: "limits.value_bytes",
  handles: "limits.handles",
  queuedExecutions: "limits.queued_executions",
};

/**
 * The limits of a session.
 *
 * @throws SessionError INVALID_REQUEST for a negative limit or one above the server's maximum
 */
export function sessionLimits(requested: Partial<Limits> | undefined): Limits {
  if (requested === undefined) return DEFAULT_LIMITS;
  refuseNegative(requested);
  for (const name of NAMES) {
    if ((requested[name] ?? 0) > MAXIMUM_LIMITS[name]) {
      throw invalid(FIELD[name], `is above this server's maximum of ${textOf(name, MAXIMUM_LIMITS[name])}`);
    }
  }
  const limits: Record<keyof Limits, number> = { ...DEFAULT_LIMITS };
  for (const name of NAMES) limits[name] = requested[name] || DEFAULT_LIMITS[name];
  return limits;
}

/**
 * The limits of one execution: the smaller of its own and its session's.
 *
 * @throws SessionError INVALID_REQUEST for a negative limit
 */
export function executionLimits(session: Limits, requested: Partial<Limits> | undefined): Limits {
  if (requested === undefined) return session;
  refuseNegative(requested);
  const limits: Record<keyof Limits, number> = { ...session };
  for (const name of OF_EXECUTIONS) limits[name] = Math.min(session[name], requested[name] || session[name]);
  return limits;
}

/** A limit with its unit, spans as the JSON of the contract has them. */
function textOf(name: keyof Limits, value: number): string {
  if (name === "timeout" || name === "cpuTime") return `${value / 1_000} s`;
  return name.endsWith("Bytes") ? `${value} bytes` : `${value}`;
}

function refuseNegative(requested: Partial<Limits>): void {
  for (const name of NAMES) {
    const value = requested[name];
    if (value === undefined) continue;
    // Written so that NaN is refused as well.
    if (!(value >= 0)) throw invalid(FIELD[name], "must not be negative; leave it at 0 for the default");
  }
}
