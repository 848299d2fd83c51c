/** Turns as the main thread keeps them: from what is to be run to how it ended. */
import { decodeEffects, type Effect, type TurnInput } from "./kernel-protocol.js";
import type { SessionMemory } from "./session-memory.js";
import { clock } from "./worker/control.js";
import { NEVER_BEGAN, type Source, type TurnReply, type UndoReason } from "./worker/messages.js";
import type { PostedTurn } from "./worker-thread.js";

/** One turn that is to be run. */
export interface TurnSpec {
  readonly input: TurnInput;
  /** Milliseconds it may hold a worker. */
  readonly budget: number;
  /** UTF-8 bytes of console entries that may leave. */
  readonly consoleBytes: number;
  /** Called once, with how it ended. */
  readonly done: (result: TurnResult) => void;
}

export type TurnResult = Ending & {
  /** Console entries as JSON text, in order; also those of an undone turn. */
  readonly console: readonly string[];
  /** True when entries beyond the limit were left out. */
  readonly consoleTruncated: boolean;
};

/** How a turn ended, without its console. */
export type Ending = {
  /** Milliseconds since the epoch when the guest began. */
  readonly startedAt: number;
  /** Milliseconds the turn held a worker. */
  readonly cpuTime: number;
} & (
  | { readonly kind: "committed"; readonly effects: readonly Effect[] }
  | {
      readonly kind: "undone";
      readonly reason: UndoReason;
      readonly message: string;
      /** False when it was stopped before any of it ran. */
      readonly began: boolean;
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
  console: string[];
  consoleTruncated: boolean;
  readonly done: (result: TurnResult) => void;
}

/** Turns of one session that are run together. */
export interface Group {
  readonly memory: SessionMemory;
  turns: PendingTurn[];
}

export function endingOf(reply: TurnReply): Ending {
  const { startedAt, cpuTime } = reply;
  if (reply.kind === "committed") {
    try {
      return { kind: "committed", effects: decodeEffects(reply.effects), startedAt, cpuTime };
    } catch (error) {
      // Nothing that comes out of a session's memory may stop the server, whatever broke there.
      return { ...undone("trap", String(error)), startedAt, cpuTime };
    }
  }
  const { reason, message, began } = reply;
  return { kind: "undone", reason, message, began, startedAt, cpuTime };
}

export function sourcesOf(input: TurnInput): Source[] {
  if (input.kind !== "run" || input.command.kind !== "execute") return [];
  const { code, filename, isTypeScript = false, isModule = false, bindings } = input.command;
  // The session keeps modules itself.
  if (isModule) return [];
  return [{ code, filename, isTypeScript, bindings: [...bindings.keys()] }];
}

export function undone(reason: UndoReason, message: string): Ending & { kind: "undone" } {
  return { kind: "undone", reason, message, startedAt: clock(), cpuTime: 0, began: true };
}

export function neverBegan(): Ending {
  return { ...undone("stopped", NEVER_BEGAN), began: false };
}

export function clearConsole(turn: PendingTurn | undefined): void {
  if (turn === undefined) return;
  turn.console = [];
  turn.consoleTruncated = false;
}
