/** The HTTP/2 servers below a gRPC server. grpc-js keeps them to itself; the version is pinned. */
import type { Http2Server } from "node:http2";
import type { Server } from "@grpc/grpc-js";

/** @param server is bound */
export function http2ServersOf(server: Server): Iterable<Http2Server> {
  const { http2Servers } = server as unknown as { http2Servers?: ReadonlyMap<Http2Server, unknown> };
  return http2Servers?.keys() ?? [];
}
