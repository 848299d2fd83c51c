/** Says of any program whether the server did right by it, whatever the program does. */
import { InvalidRequestError, LivescopeError, type Session } from "@livescope/sdk";
import type { Arena } from "../support/arena.js";
import { describe, type Ending, endingOf } from "../support/ending.js";
import { Harm } from "../support/harm.js";
import type { Program } from "./programs.js";

/** What programs may use: enough to do harm, little enough to be through soon. */
const LIMITS = { memoryBytes: 16 * 1024 * 1024, cpuTime: 150 };
const TIMEOUT = 150;
/** What comes after it, behind all that it left behind, in milliseconds. */
const AFTERWARDS = 3_000;
/** Timers that it left are stopped and taken away one by one, each with an execution that asks. */
const ASKED_AGAIN = 5;

/** How it went: in one word how it ended, or what the server did wrong. */
export type Verdict = { readonly ending: string; readonly session: "lives" | "full" } | { readonly fault: Error };

/** Runs a program in a session of its own and looks at everything that must be so then. */
export async function judge(arena: Arena, program: Program): Promise<Verdict> {
  try {
    return await arena.survive(() => run(arena, program));
  } catch (error) {
    // Nothing that a guest does makes the service fail, or the SDK meet what it does not know.
    return { fault: error instanceof Error ? error : new Error(String(error)) };
  }
}

async function run(arena: Arena, program: Program): Promise<Verdict> {
  await using session = await arena.client.createSession({ limits: LIMITS });
  if (program.code.includes("hostEcho")) await session.expose({ hostEcho: (value: unknown) => value });
  const ending = await arena.inTime(TIMEOUT, () => execute(session, program));
  if (ending !== "refused") expectWellFormed(ending);
  const after = await lives(arena, session);
  if (after.kind !== "value") {
    // A program may fill its session, and what is full cannot run even this. All else is undone or leaves room.
    if (after.kind !== "limit" || after.error.reason !== "MEMORY")
      throw new Harm(`the session is lost: ${describe(after)}`);
    await using fresh = await arena.client.createSession();
    if ((await fresh.execute("40 + 2")) !== 42) throw new Harm("a new session does not work");
  }
  return { ending: ending === "refused" ? ending : nameOf(ending), session: after.kind === "value" ? "lives" : "full" };
}

async function execute(session: Session, { code, mode }: Program): Promise<Ending | "refused"> {
  const options = { timeout: TIMEOUT };
  try {
    if (mode !== "handle") {
      const sourceType = mode === "module" ? "module" : "script";
      return await endingOf(session.execute(code, { ...options, sourceType, atomic: mode === "atomic" }));
    }
    const ending = await endingOf(session.handle(code, options));
    // Looking at it runs nothing of it.
    if (ending.kind === "value") await session.inspect();
    return ending;
  } catch (error) {
    if (error instanceof InvalidRequestError) return "refused";
    throw error;
  }
}

/** How a plain expression ends in the session afterwards. */
async function lives(arena: Arena, session: Session): Promise<Ending> {
  for (let asked = 1; ; asked++) {
    const ending = await arena.inTime(AFTERWARDS, () => endingOf(session.execute("40 + 2", { timeout: AFTERWARDS })));
    if (ending.kind === "value" && ending.value !== 42) throw new Harm(`40 + 2 is ${String(ending.value)} afterwards`);
    if (ending.kind === "value" || asked === ASKED_AGAIN) return ending;
  }
}

function expectWellFormed(ending: Ending): void {
  if (ending.kind === "error") {
    const { guestName, message, phase } = ending.error;
    if (typeof guestName !== "string" || typeof message !== "string" || phase === undefined) {
      throw new Harm(`an exception lacks what it must have: ${describe(ending)}`);
    }
  }
  if (ending.kind === "limit") {
    const { reason, message } = ending.error;
    const isNobodys = reason === "UNSPECIFIED" || reason === "CANCELLED";
    if (isNobodys || message.includes("its worker died")) throw new Harm(describe(ending));
  }
}

function nameOf(ending: Ending): string {
  if (ending.kind === "limit") return ending.error.reason;
  return ending.kind === "error" ? `exception ${ending.error.phase}` : "value";
}

/** True when two faults are the same one, as far as can be told. */
export function isSameFault(one: Error, other: Error): boolean {
  return kindOf(one) === kindOf(other);
}

/** A fault without what differs from time to time. */
export function kindOf(fault: Error): string {
  const name = fault instanceof LivescopeError || fault instanceof Harm ? fault.name : "Error";
  return `${name}: ${fault.message.split("\n")[0]}`.replace(/\d+/g, "N").slice(0, 120);
}
