/** Answers for streaming RPCs of the contract that this version does not have. */
import type { ServerDuplexStream, ServerWritableStream } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { unimplemented } from "../session/errors.js";
import { toServiceError } from "./status.js";

type ServerStream =
  | ServerWritableStream<never, never>
  | ServerDuplexStream<never, never>
  | { emit(event: "error", error: Error): boolean };

export function refuseStream(stream: ServerStream, name: string, logger: Logger): void {
  stream.emit("error", toServiceError(unimplemented(name), logger));
}
