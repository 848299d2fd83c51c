/**
 * Deadlines that are further away than a timer of Node can be. The gRPC library takes the milliseconds of a `grpc-timeout` as a signed
 * number of 32 bits, so that one of 30 days has passed when its request comes. Here it is cut to the longest that there is.
 */
import type { IncomingHttpHeaders } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { http2ServersOf } from "./http2-servers.js";

const TIMEOUT_HEADER = "grpc-timeout";
/** Milliseconds: 24.8 days. */
const LONGEST = 2 ** 31 - 1;
/** Milliseconds of the units that eight digits can get beyond it with. */
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000 };

/** @param server is bound */
export function cutLongDeadlines(server: Server): void {
  for (const http2Server of http2ServersOf(server)) {
    http2Server.prependListener("stream", (_stream: unknown, headers: IncomingHttpHeaders) => {
      const timeout = headers[TIMEOUT_HEADER];
      if (typeof timeout === "string" && isTooLong(timeout))
        headers[TIMEOUT_HEADER] = `${Math.floor(LONGEST / 1_000)}S`;
    });
  }
}

function isTooLong(timeout: string): boolean {
  const [, digits, unit = ""] = /^(\d{1,8})([HMS])$/.exec(timeout) ?? [];
  return Number(digits) * (UNITS[unit] ?? 0) > LONGEST;
}
