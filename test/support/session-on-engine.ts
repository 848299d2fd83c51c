/** One session on an engine of the test's own, without a server around it. */
import type { Engine } from "../../server/src/engine/engine.js";
import { SessionError } from "../../server/src/session/errors.js";
import type { Execution, ExecutionListener } from "../../server/src/session/execution.js";
import { type Limits, sessionLimits } from "../../server/src/session/limits.js";
import { Session } from "../../server/src/session/session.js";

export function makeSession(engine: Engine, limits: Partial<Limits> = {}): Session {
  const settings = { limits: sessionLimits(limits), idleTtl: 60_000, idleAction: "delete", parent: "" } as const;
  return new Session(engine, { sessionId: "a", labels: new Map(), ...settings });
}

export function endSession(session: Session): Promise<void> {
  return session.end(() => new SessionError("SESSION_DELETED", "over"));
}

export function execute(session: Session, code: string, atomic = false, listener?: ExecutionListener): Execution {
  return session.submit(
    { kind: "execute", code, filename: "a.js", isModule: false, bindings: new Map() },
    {
      encoding: 2,
      handleGroup: "",
      requestId: "",
      digest: "",
      atomic,
      parentExecutionId: "",
      deadline: Number.POSITIVE_INFINITY,
      listener,
    },
  );
}

/** The value as JSON text, the reason why it was stopped, or that it threw. */
export async function ending({ outcome }: Execution): Promise<string> {
  const { result } = await outcome;
  if (result.kind === "stopped") return result.reason;
  return result.kind === "value" ? String((result.value as { text?: string }).text) : result.kind;
}

/** Resolves when the code has written to its console, with it still running. */
export function executeTillLogged(session: Session, code: string): Promise<Execution> {
  return new Promise((resolve) => {
    const execution = execute(session, code, false, { console: () => resolve(execution) });
  });
}
