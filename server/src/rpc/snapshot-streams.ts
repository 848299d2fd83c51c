/** The bytes of snapshots on their way: ExportSnapshot and ImportSnapshot. */
import type { ServerReadableStream, ServerWritableStream } from "@grpc/grpc-js";
import type {
  ExportSnapshotRequest,
  ExportSnapshotResponse,
  ImportSnapshotRequest,
  ImportSnapshotResponse,
} from "@livescope/proto";
import { SessionError } from "../session/errors.js";
import type { Snapshots, StoredSnapshot } from "../session/snapshots.js";
import { withoutMessage } from "./values.js";

const CHUNK_BYTES = 1 << 20;
/** A stream on which nothing moves for so long is ended, in milliseconds: its snapshot takes memory. */
const STALLED_AFTER = 30_000;

/** @throws SessionError */
export async function exportSnapshot(
  snapshots: Snapshots,
  stream: ServerWritableStream<ExportSnapshotRequest, ExportSnapshotResponse>,
): Promise<void> {
  const ended = new Promise<never>((_resolve, reject) => {
    stream.on("cancelled", () => reject(callerGone()));
  });
  ended.catch(() => undefined);
  await snapshots.export(stream.request.snapshotId, async (bytes) => {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      const chunk = Buffer.from(bytes.buffer, bytes.byteOffset + at, Math.min(CHUNK_BYTES, bytes.length - at));
      const taken = new Promise<void>((resolve) => void stream.write({ chunk }, () => resolve()));
      await Promise.race([inTime(taken), ended]);
    }
  });
}

/** @throws SessionError */
export async function importSnapshot(
  snapshots: Snapshots,
  call: ServerReadableStream<ImportSnapshotRequest, ImportSnapshotResponse>,
): Promise<StoredSnapshot> {
  return snapshots.import(chunksOf(call));
}

async function* chunksOf(call: AsyncIterable<ImportSnapshotRequest>): AsyncGenerator<Uint8Array> {
  const messages = call[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await inTime(messages.next().catch(whenCut));
    if (done === true) return;
    yield withoutMessage(value.chunk);
  }
}

/** @throws SessionError DEADLINE_PASSED where the call ended before its messages did; else what it was */
function whenCut(error: NodeJS.ErrnoException): never {
  throw error.code === "ERR_STREAM_PREMATURE_CLOSE" ? callerGone() : error;
}

function callerGone(): SessionError {
  return new SessionError("DEADLINE_PASSED", "the caller is gone");
}

/** @throws SessionError DEADLINE_PASSED */
async function inTime<T>(moved: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const stalled = new Promise<never>((_resolve, reject) => {
    const message = `nothing of the snapshot moved for ${STALLED_AFTER} ms; read or send it without pauses`;
    timer = setTimeout(() => reject(new SessionError("DEADLINE_PASSED", message)), STALLED_AFTER);
  });
  try {
    return await Promise.race([moved, stalled]);
  } finally {
    clearTimeout(timer);
  }
}
