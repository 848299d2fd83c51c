import type { ClientFrame } from "@livescope/proto";

/** A frame that is no command and is about none. */
export interface Saying {
  readonly frame: NonNullable<ClientFrame["frame"]>;
  /** Called when it is on its way, with the id of its frame. */
  readonly sent?: ((frameId: number) => void) | undefined;
  /** Called instead where it has more bytes than a message carries. */
  readonly tooLarge?: ((bytes: number) => void) | undefined;
}
