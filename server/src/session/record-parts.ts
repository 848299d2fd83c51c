/**
 * The parts of a session's record that stay as they are while other things change: executions of which nothing runs, what host functions
 * were called with, and what they answered. They may be large and many, so the store gets each of them once, not with every commit.
 */
import type { StoredPart } from "../store/store.js";
import { SessionError } from "./errors.js";
import {
  type ExecutionRecord,
  type HostCallRecord,
  type ReplyRecord,
  readText,
  type SessionRecord,
  writeText,
} from "./session-record.js";

/** A record of which parts may stand elsewhere. */
export interface RecordFrame extends Omit<SessionRecord, "executions" | "hostFunctions" | "replies"> {
  /** Of each its number, or all of it. */
  readonly executions: readonly (number | ExecutionRecord)[];
  readonly hostFunctions: Omit<SessionRecord["hostFunctions"], "calls"> & {
    readonly calls: readonly (Omit<HostCallRecord, "text"> & Partial<Pick<HostCallRecord, "text">>)[];
  };
  readonly replies: readonly (Omit<ReplyRecord, "result"> & Partial<Pick<ReplyRecord, "result">>)[];
}

/** By their keys. Each is the same object as long as it is the same part. */
export type RecordParts = ReadonlyMap<string, object>;

export const NO_PARTS: RecordParts = new Map();

/** What makes the parts that the store has into those that it is to have. */
export interface PartChanges {
  readonly parts: readonly StoredPart[];
  readonly dropped: readonly string[];
}

const keyOfExecution = (number: number): string => `execution ${number}`;
const keyOfCall = (callId: string): string => `call ${callId}`;
const keyOfReply = (callId: string): string => `reply ${callId}`;

export function partsOf({ executions, hostFunctions, replies }: SessionRecord): RecordParts {
  const parts = new Map<string, object>();
  for (const execution of executions) parts.set(keyOfExecution(execution.number), execution);
  for (const { callId, text } of hostFunctions.calls) parts.set(keyOfCall(callId), text);
  for (const { callId, result } of replies) parts.set(keyOfReply(callId), result);
  return parts;
}

/** What is left of a record without its parts. */
export function frameOf(record: SessionRecord): RecordFrame {
  const calls = record.hostFunctions.calls.map(({ text, ...call }) => call);
  const replies = record.replies.map(({ result, ...reply }) => reply);
  const executions = record.executions.map(({ number }) => number);
  return { ...record, executions, hostFunctions: { ...record.hostFunctions, calls }, replies };
}

export function changesOf(from: RecordParts, to: RecordParts): PartChanges {
  const parts: StoredPart[] = [];
  for (const [key, part] of to) if (from.get(key) !== part) parts.push({ key, text: writeText(part) });
  return { parts, dropped: [...from.keys()].filter((key) => !to.has(key)) };
}

/**
 * The reverse of `frameOf`.
 *
 * @param frame may have some of its parts in it
 * @param stored the others
 * @returns the record, and those of its parts that were stored
 * @throws SessionError SNAPSHOT_INVALID where one is missing
 */
export function recordOf(frame: RecordFrame, stored: readonly StoredPart[]): [SessionRecord, RecordParts] {
  const texts = new Map(stored.map(({ key, text }) => [key, text]));
  const parts = new Map<string, object>();
  const read = <T extends object>(key: string): T => {
    const text = texts.get(key);
    if (text === undefined) throw new SessionError("SNAPSHOT_INVALID", `it lacks the ${key}`);
    const part = readText(text) as T;
    parts.set(key, part);
    return part;
  };
  const executions = frame.executions.map((execution) =>
    typeof execution === "number" ? read<ExecutionRecord>(keyOfExecution(execution)) : execution,
  );
  const calls = frame.hostFunctions.calls.map(({ text, ...call }) => ({
    ...call,
    text: text ?? read<HostCallRecord["text"]>(keyOfCall(call.callId)),
  }));
  const replies = frame.replies.map(({ result, ...reply }) => ({
    ...reply,
    result: result ?? read<ReplyRecord["result"]>(keyOfReply(reply.callId)),
  }));
  return [{ ...frame, executions, hostFunctions: { ...frame.hostFunctions, calls }, replies }, parts];
}
