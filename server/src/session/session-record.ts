/**
 * What of a session lies outside its memory, and has to go with it wherever its pages go: of each execution in flight who it is
 * and what time it has left, the calls of host functions that were not answered, the clock of its timers.
 */
import type { HostCallText, HostResult } from "../engine/kernel-protocol.js";
import type { SessionImage } from "../engine/session-image.js";
import type { LoopRecord } from "./event-loop.js";
import { DEFAULT_LIMITS, type Limits } from "./limits.js";
import type { ConsoleEntry, Outcome, Warning } from "./outcome.js";
import type { KeptAnswer } from "./request-ids.js";

/** What is kept of a request that made copies or a snapshot: their ids. */
export type CopyIds = readonly string[];

/** An execution that has begun and has no outcome. Times are in milliseconds. */
export interface ExecutionRecord {
  /** Within the session, from 1. */
  readonly number: number;
  readonly executionId: string;
  /** Names the request where it has a request id; else empty. */
  readonly digest: string;
  /** Of its values, as in the contract. */
  readonly encoding: number;
  readonly limits: Limits;
  /** Number of the execution on whose behalf it runs; 0 for none. */
  readonly parent: number;
  /** The kernel waits for a caller to take what it emits. */
  readonly isStreaming: boolean;
  /** When its times were taken, of the clock of its record's `clock`. Absent where an earlier version wrote it: with the record. */
  readonly clock?: number;
  /** It waits for host functions, so `hostTime` goes on from then. */
  readonly isWaiting?: boolean;
  /** Since its first turn. */
  readonly elapsed: number;
  readonly cpuTime: number;
  readonly turns: number;
  /** Calls that were answered. */
  readonly hostCalls: number;
  readonly hostTime: number;
  readonly warnings: readonly Warning[];
  /** Absent where it goes on in a copy: what it wrote before is its origin's. */
  readonly console?: ConsoleRecord | undefined;
}

/** What an execution has written to its console. */
export interface ConsoleRecord {
  /** For the outcome; the first ones where they are not all here. */
  readonly entries: readonly ConsoleEntry[];
  /** Of these entries, as console_bytes counts. */
  readonly bytes: number;
  /** Of console_bytes; below zero where it is full. */
  readonly bytesLeft: number;
  /** Some are not here, or never were. */
  readonly isTruncated: boolean;
}

/** A call of a host function that was not answered. */
export interface HostCallRecord {
  /** Number of the execution that it was made for; 0 for none. */
  readonly execution: number;
  /** That by which clients know it. */
  readonly callId: string;
  readonly text: HostCallText;
}

export interface LenderRecord {
  readonly connectionId: string;
  /** Milliseconds. */
  readonly reconnectWindow: number;
  /** How many functions it has passed. */
  readonly passed: number;
}

/** A client that is not here, and functions that it passed and nobody holds: should it come, it is told so. */
export interface GoneRecord {
  readonly connectionId: string;
  readonly functions: readonly string[];
}

export interface HostFunctionsRecord {
  /** Those that guest code finds as global functions. */
  readonly names: readonly string[];
  /** Ids of those that were passed as values: first those of the first lender, then those of the next. */
  readonly passed: readonly string[];
  /** Clients that have passed some and may come back, for the session itself. Absent where an earlier version wrote it. */
  readonly lenders?: readonly LenderRecord[];
  /** Absent where there is none, and where an earlier version wrote it. */
  readonly gone?: readonly GoneRecord[];
  readonly calls: readonly HostCallRecord[];
}

/** The answer of a call, which the session has not taken yet. */
export interface ReplyRecord {
  readonly callId: string;
  /** Number of the execution that the call was made for; 0 for none. */
  readonly execution: number;
  readonly result: HostResult;
}

export interface SessionRecord {
  /** Milliseconds since the epoch. */
  readonly takenAt: number;
  /** The same by `clock()`, which is never set; timers go by that. Absent where an earlier version wrote it. */
  readonly clock?: number;
  readonly limits: Limits;
  /** The number that the next execution gets. */
  readonly nextExecution: number;
  readonly loop: LoopRecord;
  readonly executions: readonly ExecutionRecord[];
  readonly hostFunctions: HostFunctionsRecord;
  readonly replies: readonly ReplyRecord[];
  /** What was answered by request id: of a session that comes back as itself, not of one that others are made from. */
  readonly answers?: readonly KeptAnswer<Outcome | CopyIds>[];
}

/** Of an image whose record stands elsewhere. */
export const NO_RECORD: SessionRecord = {
  takenAt: 0,
  limits: DEFAULT_LIMITS,
  nextExecution: 1,
  loop: { nextTimer: { at: Number.POSITIVE_INFINITY, owner: 0 }, dropped: [] },
  executions: [],
  hostFunctions: { names: [], passed: [], calls: [] },
  replies: [],
};

/** An execution of a record as it was when that was taken: its own record may be older, since only its times have changed. */
export function atTimeOf({ clock = 0 }: SessionRecord, execution: ExecutionRecord): ExecutionRecord {
  const since = Math.max(0, clock - (execution.clock ?? clock));
  const hostTime = execution.hostTime + (execution.isWaiting === true ? since : 0);
  return { ...execution, elapsed: execution.elapsed + since, hostTime };
}

/** A session as it was between two turns. */
export interface SavedSession {
  readonly image: SessionImage;
  readonly record: SessionRecord;
}

/** What JSON has no form for is told by keys that nothing else has: no text of a guest becomes a key. */
interface Special {
  readonly $bytes?: string;
  readonly $entries?: readonly (readonly [string, unknown])[];
  readonly $infinite?: true;
}

/** Data of this server's own as text: what JSON has, and maps, bytes and Infinity. */
export function writeText(data: unknown): string {
  return JSON.stringify(data, function (this: Record<string, unknown>, key, value: unknown) {
    const plain = this[key];
    if (plain instanceof Uint8Array) return { $bytes: Buffer.from(plain).toString("base64") } satisfies Special;
    if (plain instanceof Map) return { $entries: [...plain] } satisfies Special;
    return value === Number.POSITIVE_INFINITY ? ({ $infinite: true } satisfies Special) : value;
  });
}

/** @param text what `writeText` gave */
export function readText(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value !== "object" || value === null) return value;
    const { $bytes, $entries, $infinite } = value as Special;
    if ($bytes !== undefined) return Buffer.from($bytes, "base64");
    if ($entries !== undefined) return new Map($entries);
    return $infinite === true ? Number.POSITIVE_INFINITY : value;
  });
}
