/** A snapshot as the contract shows it. */
import type { Snapshot } from "@livescope/proto";
import type { StoredSnapshot } from "../session/snapshots.js";

export function snapshotMessage(snapshot: StoredSnapshot): Snapshot {
  const { snapshotId, sessionId, createdAt, expiresAt, sizeBytes, engineDigest, labels } = snapshot;
  return {
    snapshotId,
    sessionId,
    createTime: new Date(createdAt),
    expireTime: expiresAt === undefined ? undefined : new Date(expiresAt),
    sizeBytes: BigInt(sizeBytes),
    engineDigest,
    labels: new Map(labels),
  };
}
