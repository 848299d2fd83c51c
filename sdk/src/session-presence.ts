import { ExecutionError, NotFoundError, SessionLostError } from "./errors.js";

/**
 * What a session object knows of whether its session was there. Of an ephemeral one that was, and of which the server knows nothing, it
 * can tell that it was lost: it is not the server that held it.
 */
export class SessionPresence {
  readonly #sessionId: string;
  readonly #isDurable: boolean;
  #wasThere: boolean;

  /** @param isMade the session was made by this client, and so was there */
  constructor(sessionId: string, isDurable: boolean, isMade: boolean) {
    this.#sessionId = sessionId;
    this.#isDurable = isDurable;
    this.#wasThere = isMade;
  }

  /** The session has answered. */
  note(): void {
    this.#wasThere = true;
  }

  /** What an error of a request of the session's tells its caller: the same one, unless it says that the session is lost. */
  explain(error: unknown): unknown {
    if (error instanceof ExecutionError) this.note();
    if (!this.#wasThere || this.#isDurable || !(error instanceof NotFoundError)) return error;
    if (error.reason !== "SESSION_NOT_FOUND") return error;
    const message =
      `session ${this.#sessionId} is lost: its server has ended since, and with it the session; ` +
      "make another, or make it durable";
    return new SessionLostError(
      message,
      { code: "DATA_LOSS", reason: "SESSION_LOST", metadata: error.metadata },
      { cause: error },
    );
  }
}
