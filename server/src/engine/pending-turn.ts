/** Turns as the main thread keeps them: from what is to be run to how it ended. */
import { decodeEffects, type Effect, type InputHeader, type TurnInput } from "./kernel-protocol.js";
import type { SessionMemory } from "./session-memory.js";
import { clock } from "./worker/control.js";
import { type ConsoleText, NEVER_BEGAN, type Source, type TurnReply, type UndoReason } from "./worker/messages.js";
import type { PostedTurn } from "./worker-thread.js";

/** One turn that is to be run. */
export interface TurnSpec {
  readonly input: TurnInput;
  /** Absent: nothing more comes, and nothing was dropped. */
  readonly header?: InputHeader;
  /** Milliseconds it may hold a worker. */
  readonly budget: number;
  /** UTF-8 bytes of console entries that may leave for each execution. */
  readonly consoleBytes: number;
  /** Called with console entries while the turn runs, once it has run so long that it is never run again. */
  readonly onConsole?: ((entry: ConsoleText) => void) | undefined;
  /** Called once, with how it ended. */
  readonly done: (result: TurnResult) => void;
}

export type TurnResult = Ending & {
  /** Console entries, in order; also those of an undone turn. */
  readonly console: readonly ConsoleText[];
  /** How many of them `onConsole` was called with. */
  readonly told: number;
};

/** How a turn ended, without its console. */
export type Ending = {
  /** Milliseconds since the epoch when the guest began. */
  readonly startedAt: number;
  /** Milliseconds the turn held a worker. */
  readonly cpuTime: number;
} & (
  | {
      readonly kind: "committed";
      readonly effects: readonly Effect[];
      /** Milliseconds until the next timer of the session is due; -1 where there is none. */
      readonly nextTimer: number;
      /** Number of the execution whose timer that is; 0 where none owns it. */
      readonly nextTimerOwner: number;
      /** Number of the execution that a timer was called for; 0 for none. */
      readonly owner: number;
    }
  | {
      readonly kind: "undone";
      readonly reason: UndoReason;
      readonly message: string;
      /** False when it was stopped before any of it ran. */
      readonly began: boolean;
      /** Number of the execution that was running then; 0 for none. */
      readonly culprit: number;
    }
);

/** A turn on its way. */
export interface Turn {
  /** Ends the turn soon, wherever it is; its result is then `undone` with reason `stopped`, unless it was faster. */
  stop(): void;
}

/** A turn between `run` and its result. */
export interface PendingTurn extends PostedTurn {
  readonly memory: SessionMemory;
  console: ConsoleText[];
  /** Its entries are told at once: it is never run again. */
  isLive: boolean;
  /** How many entries were told. */
  told: number;
  readonly onConsole: TurnSpec["onConsole"];
  readonly done: (result: TurnResult) => void;
}

/** Turns of one session that are run together. */
export interface Group {
  readonly memory: SessionMemory;
  turns: PendingTurn[];
}

export function resultOf({ console, told }: PendingTurn, reply: TurnReply): TurnResult {
  const { startedAt, cpuTime } = reply;
  if (reply.kind === "committed") {
    try {
      const { nextTimer, nextTimerOwner, owner } = reply;
      const effects = decodeEffects(reply.effects);
      return { kind: "committed", effects, nextTimer, nextTimerOwner, owner, startedAt, cpuTime, console, told };
    } catch (error) {
      // Nothing that comes out of a session's memory may stop the server, whatever broke there.
      return { ...undone("trap", String(error)), startedAt, cpuTime, console, told };
    }
  }
  const { reason, message, began, culprit } = reply;
  return { kind: "undone", reason, message, began, culprit, startedAt, cpuTime, console, told };
}

export function sourcesOf(input: TurnInput): Source[] {
  if (input.kind !== "run" || input.command.kind !== "execute") return [];
  const { code, filename, isTypeScript = false, isModule = false, bindings } = input.command;
  // The session keeps modules itself.
  if (isModule) return [];
  return [{ code, filename, isTypeScript, bindings: [...bindings.keys()] }];
}

export function undone(reason: UndoReason, message: string): Ending & { kind: "undone" } {
  return { kind: "undone", reason, message, startedAt: clock(), cpuTime: 0, began: true, culprit: 0 };
}

export function neverBegan(): Ending {
  return { ...undone("stopped", NEVER_BEGAN), began: false };
}

export function clearConsole(turn: PendingTurn | undefined): void {
  if (turn === undefined) return;
  turn.console = [];
  turn.isLive = false;
  turn.told = 0;
}

export function addConsole(turn: PendingTurn, entry: ConsoleText): void {
  turn.console.push(entry);
  if (turn.isLive) tellConsole(turn);
}

/** From now on its console entries are told as they come. */
export function goLive(turn: PendingTurn): void {
  if (turn.isLive || turn.onConsole === undefined) return;
  turn.isLive = true;
  tellConsole(turn);
}

function tellConsole(turn: PendingTurn): void {
  while (turn.told < turn.console.length) turn.onConsole?.(turn.console[turn.told++] as ConsoleText);
}
