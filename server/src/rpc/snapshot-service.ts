/** SnapshotService: take, get, list, delete; export and import are in snapshot-streams.ts. */
import { CreateSnapshotRequest, type SnapshotServiceServer } from "@livescope/proto";
import { SessionError } from "../session/errors.js";
import type { Sessions } from "../session/sessions.js";
import type { Snapshots } from "../session/snapshots.js";
import { canonicalTexts, checkedRequestId, digestOf } from "./commands.js";
import { checkedLabels } from "./labels.js";
import { checkedPageSize } from "./pages.js";
import type { Serving } from "./serving.js";
import { snapshotMessage } from "./snapshot-message.js";
import { exportSnapshot, importSnapshot } from "./snapshot-streams.js";
import { toServiceError } from "./status.js";
import { millisecondsOf } from "./time.js";
import { answer, type Handler, isUnheard, unary } from "./unary.js";

export function snapshotService(sessions: Sessions, snapshots: Snapshots, serving: Serving): SnapshotServiceServer {
  const { openCalls, logger } = serving;
  const handle = <Request, Response>(handler: Handler<Request, Response>) => unary(handler, serving);
  return {
    createSnapshot: handle(async (request, context) => {
      const labels = checkedLabels(request.labels);
      const ttl = millisecondsOf(request.ttl, "ttl");
      const requestId = checkedRequestId(request.requestId);
      const canonical = { ...request, labels: canonicalTexts(labels) };
      const digest = digestOf("createSnapshot", CreateSnapshotRequest.encode(canonical).finish());
      const isLost = isUnheard(context, requestId);
      const [snapshotId = ""] = await sessions.use(request.sessionId, (session) =>
        session.onceKept(requestId, digest, async () => {
          sessions.checkNotDraining();
          const { snapshotId } = await snapshots.take(session, { labels, ttl, requestId, digest });
          return [snapshotId];
        }),
      );
      if (isLost()) await snapshots.delete(snapshotId);
      return { snapshot: snapshotMessage(await snapshots.get(snapshotId)) };
    }),
    getSnapshot: handle(async ({ snapshotId }) => ({ snapshot: snapshotMessage(await snapshots.get(snapshotId)) })),
    listSnapshots: handle(async ({ pageSize, pageToken, labels }) => {
      const page = await snapshots.list(checkedPageSize(pageSize), pageToken, checkedLabels(labels));
      return { snapshots: page.snapshots.map(snapshotMessage), nextPageToken: page.next };
    }),
    deleteSnapshot: handle(async ({ snapshotId, allowMissing }) => {
      try {
        await snapshots.delete(snapshotId);
      } catch (error) {
        const isMissing = error instanceof SessionError && error.reason === "SNAPSHOT_NOT_FOUND";
        if (!allowMissing || !isMissing) throw error;
      }
      return {};
    }),
    exportSnapshot: async (stream) => {
      openCalls.begin();
      try {
        openCalls.checkNotOver();
        await exportSnapshot(snapshots, stream);
        stream.end();
      } catch (error) {
        stream.emit("error", toServiceError(error, logger));
      } finally {
        openCalls.end();
      }
    },
    importSnapshot: (call, callback) => {
      const work = async () => {
        sessions.checkNotDraining();
        return { snapshot: snapshotMessage(await importSnapshot(snapshots, call)) };
      };
      void answer(work, callback, serving);
    },
  };
}
