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
  /** No stream can be had now; it is tried again. */
  onUnreachable(error: LivescopeError): void;
  /** The server refuses the stream, and would again. */
  onRefused(error: LivescopeError): void;
  /** The client is closed, and its stream ends. */
  onClosed(): void;
}
