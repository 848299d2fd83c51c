import type { ServerFrame } from "@livescope/proto";
import type { LivescopeError } from "../errors.js";
import type { Saying } from "./saying.js";

/** The part of a client that lends functions to sessions, as its connection knows it. */
export interface HostSide {
  /** The stream is kept, and opened again when it breaks. */
  readonly isActive: boolean;
  /** A stream is about to be opened: what is to be said first. */
  opening(): Saying[];
  /** Takes a frame that answers no command. */
  hear(frame: ServerFrame): void;
  /** The stream broke: what waits for an answer waits for another stream from now on, unless it was asked for too often. */
  onLost(makeError: () => LivescopeError): void;
  /** Since when what waits longest for a stream does so, as `performance.now()` tells the time; undefined if nothing does. */
  readonly waitsSince: number | undefined;
  /** No stream can be had now, and what waits since `since` or longer is to wait no more. It is tried again for the rest. */
  onUnreachable(makeError: () => LivescopeError, since: number): void;
  /** The server refuses the stream, and would again. */
  onRefused(makeError: () => LivescopeError): void;
  /** The client is closed: what is to be said last, where there is a stream. */
  onClosing(): void;
  /** The client is closed, and its stream ends. */
  onClosed(): void;
}
