/** What the services of one server share. */
import type { Logger } from "pino";
import type { ArrivingMessages } from "./arriving-messages.js";
import type { OpenCalls } from "./open-calls.js";
import type { OpenStreams } from "./open-streams.js";
import type { UntakenBytes } from "./untaken-bytes.js";

export interface Serving {
  readonly openStreams: OpenStreams;
  readonly openCalls: OpenCalls;
  readonly untaken: UntakenBytes;
  readonly arriving: ArrivingMessages;
  readonly logger: Logger;
}
