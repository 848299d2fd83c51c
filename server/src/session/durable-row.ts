/** What the store is told of a durable session beside its pages. */
import type { StoredSession } from "../store/store.js";
import type { RecordFrame } from "./record-parts.js";
import type { SessionInfo } from "./session-info.js";
import { readText, writeText } from "./session-record.js";

/** The request that made a session. */
export interface CreatedBy {
  readonly requestId: string;
  readonly digest: string;
}

/** What stands in the store beside an image. */
export interface DurableRow {
  readonly info: SessionInfo;
  readonly record: RecordFrame;
  /** Absent where its request had no id. */
  readonly createdBy?: CreatedBy | undefined;
}

/** What the store is told of a session. @param sizeBytes of its image */
export function storedRow(row: DurableRow, sizeBytes: number): StoredSession {
  const { sessionId, createdAt, labels, idleAction, lastUsedAt, idleTtl } = row.info;
  // What is in the middle of something is in use.
  const isKept = idleAction !== "delete" || row.record.executions.length > 0;
  const expiresAt = isKept ? undefined : Math.ceil(lastUsedAt + idleTtl);
  const info: SessionInfo = { ...row.info, isHibernated: true, expiresAt };
  return { sessionId, createdAt, expiresAt, labels, record: writeText({ ...row, info }), sizeBytes };
}

export function rowOf({ record }: StoredSession): DurableRow {
  return readText(record) as DurableRow;
}
