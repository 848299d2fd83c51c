/** SnapshotService: nothing of it is built yet, and every RPC says so. */
import type { SnapshotServiceServer } from "@livescope/proto";
import type { Logger } from "pino";
import { unimplemented } from "../session/errors.js";
import { toServiceError } from "./status.js";
import { type Handler, unary } from "./unary.js";
import { refuseStream } from "./unbuilt.js";

export function snapshotService(logger: Logger): SnapshotServiceServer {
  const refuse = <Request, Response>(name: string) =>
    unary<Request, Response>(
      (() => {
        throw unimplemented(name);
      }) as Handler<Request, Response>,
      logger,
    );
  return {
    createSnapshot: refuse("CreateSnapshot"),
    getSnapshot: refuse("GetSnapshot"),
    listSnapshots: refuse("ListSnapshots"),
    deleteSnapshot: refuse("DeleteSnapshot"),
    exportSnapshot: (stream) => refuseStream(stream, "ExportSnapshot", logger),
    importSnapshot: (_stream, callback) => callback(toServiceError(unimplemented("ImportSnapshot"), logger)),
  };
}
