/** What the services of one server share. */
import type { Logger } from "pino";
import type { ArrivingMessages } from "./arriving-messages.js";
import type { HeldBytes } from "./held-bytes.js";
import type { OpenCalls } from "./open-calls.js";
import type { OpenStreams } from "./open-streams.js";

export interface Serving {
  readonly openStreams: OpenStreams;
  readonly openCalls: OpenCalls;
  readonly untaken: HeldBytes;
  readonly arriving: ArrivingMessages;
  readonly logger: Logger;
}
