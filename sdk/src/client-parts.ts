import type { HostFunctions } from "./host-functions.js";
import type { Lifetime } from "./lifetime.js";
import type { Channel } from "./transport/channel.js";
import type { CommandTransport } from "./transport/commands.js";

/** What a session object is to its session. */
export interface SessionKind {
  /** Its disposal deletes the session. */
  readonly isOwned: boolean;
  readonly isDurable: boolean;
}

/** What session objects have of their client. */
export interface ClientParts {
  readonly channel: Channel;
  readonly commands: CommandTransport;
  readonly hostFunctions: HostFunctions;
  readonly lifetime: Lifetime;
}
