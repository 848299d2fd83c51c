/**
 * What all open streams take together. Each takes some room itself, with its headers, whatever is said on it, and a connection may have a
 * thousand; so there is a bound for all connections together.
 */
import type { Http2Stream } from "node:http2";
import { getHeapStatistics } from "node:v8";
import type { Server } from "@grpc/grpc-js";
import { http2ServersOf } from "./http2-servers.js";

/** Bytes of the headers of a request, as HTTP/2 counts them: it is reset with more. gRPC libraries send half of it, unless told otherwise. */
const HEADERS = 16 * 1024;
/** What a stream takes, with headers that are not small, about, in bytes. */
const STREAM = 32 * 1024;
const PART_OF_HEAP = 1 / 4;
/** Connections with so few streams have as much room again: who opens many refuses nobody a few. */
const FEW = 16;

/** @param server is bound */
export function boundHeaders(server: Server): void {
  for (const each of http2ServersOf(server)) each.updateSettings({ maxHeaderListSize: HEADERS });
}

export class StreamRoom {
  readonly #most: number;
  #all = 0;
  readonly #ofConnection = new Map<object, number>();

  /** @param most streams at once; default: what a quarter of the heap of the process has room for */
  constructor(most = (getHeapStatistics().heap_size_limit * PART_OF_HEAP) / STREAM) {
    this.#most = most;
  }

  /** Counts a stream until it is closed. @returns false for one that there is no room for */
  take(stream: Http2Stream): boolean {
    const { session } = stream;
    if (session === undefined) return true;
    const own = this.#ofConnection.get(session) ?? 0;
    if (this.#all >= (own < FEW ? 2 : 1) * this.#most) return false;
    this.#all++;
    this.#ofConnection.set(session, own + 1);
    stream.once("close", () => {
      this.#all--;
      const left = (this.#ofConnection.get(session) ?? 1) - 1;
      if (left > 0) this.#ofConnection.set(session, left);
      else this.#ofConnection.delete(session);
    });
    return true;
  }
}
