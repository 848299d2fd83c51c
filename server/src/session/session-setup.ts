/** What a new session is to be, and what is done in it before anybody gets it. */
import type { InputValue } from "../engine/kernel-protocol.js";
import { invalid } from "./errors.js";
import type { Limits } from "./limits.js";
import type { GuestException } from "./outcome.js";
import type { Session } from "./session.js";
import type { IdleAction } from "./session-info.js";

export interface CreateOptions {
  /** Empty: the server draws one. */
  readonly sessionId: string;
  /** What it is made from; empty for a session that is made afresh. */
  readonly snapshotId: string;
  readonly labels: ReadonlyMap<string, string>;
  /** Left out: those of the server, or of the snapshot. */
  readonly limits: Partial<Limits> | undefined;
  /** Milliseconds; 0 for the default. */
  readonly idleTtl: number;
  readonly idleAction: IdleAction;
  /** It survives the process. */
  readonly isDurable: boolean;
  readonly globals: ReadonlyMap<string, InputValue>;
  /** Texts of modules by name. */
  readonly modules: ReadonlyMap<string, string>;
  /** Source that runs before anybody gets the session; empty for none. */
  readonly setup: string;
  readonly requestId: string;
  readonly digest: string;
  /** By which the setup has to be through, as `deadlineAt` gives it; Infinity for none. */
  readonly deadline: number;
}

/** Adds modules and globals and runs the setup. @throws SessionError INVALID_REQUEST, also when the setup throws */
export async function prepare(session: Session, options: CreateOptions): Promise<void> {
  if (options.modules.size > 0) await session.addModules(options.modules);
  if (options.globals.size > 0) await session.defineGlobals(options.globals);
  if (options.setup === "") return;
  const { outcome } = session.submit(
    { kind: "execute", code: options.setup, filename: "setup.js", bindings: new Map() },
    {
      encoding: 4,
      handleGroup: "",
      atomic: false,
      parentExecutionId: "",
      requestId: "",
      digest: "",
      deadline: options.deadline,
    },
  );
  const { result } = await outcome;
  if (result.kind === "exception") throw invalid("setup", `threw ${describe(result.exception)}`);
  if (result.kind === "stopped") throw invalid("setup", `was stopped: ${result.message}`);
}

/** What was thrown, and the place in the setup or in a module that it is of. */
function describe({ name, message, frames: [frame] }: GuestException): string {
  const place = frame === undefined ? "" : ` at ${frame.filename}:${frame.line}:${frame.column}`;
  return `${name === "" ? "" : `${name}: `}${message}${place}`;
}
