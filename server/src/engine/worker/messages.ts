/** The messages between the main thread and a worker. Texts are the kernel's own (see guest/protocol.ts). */
import type { BaseImage } from "./layout.js";

/** `workerData` of a worker. */
export interface WorkerSetup {
  readonly control: SharedArrayBuffer;
  readonly mailbox: SharedArrayBuffer;
  readonly checkpoint: SharedArrayBuffer;
  /** Of the sum of all heaps; this worker counts in its slot what it makes grow. */
  readonly heaps: { readonly sum: SharedArrayBuffer; readonly slot: number };
  /** Heap in use, in bytes, above which a session's stores may be tracked; 0: always. */
  readonly trackAbove: number;
  /** Absent for the first worker, which builds both and posts them. */
  readonly engine?: SharedEngine;
}

/** What the first worker builds and all others get. */
export interface SharedEngine {
  readonly resume: WebAssembly.Module;
  /** Code of a module that does the same and tracks its stores (tracked-stores.ts). */
  readonly trackedCode: Uint8Array<ArrayBuffer>;
  readonly baseImage: BaseImage;
  /** SHA-256 over engine, base image and libraries, hexadecimal: names the engine build that a snapshot needs. */
  readonly digest: string;
  /** Bytecode of the guest's libraries, by name. */
  readonly libraries: ReadonlyMap<string, Uint8Array>;
}

/** Groups of different sessions that go to a worker together, to be run in order. */
export interface BatchRequest {
  /** Instances that will not be needed again. */
  readonly drop: readonly number[];
  /** Their turns, at most MAXIMUM_BATCH of all groups together, have numbers that follow each other. */
  readonly groups: readonly GroupRequest[];
}

/** As many turns as there are bits to ask each of them to stop. */
export const MAXIMUM_BATCH = 30;

/**
 * Turns of one session, to be run in order. They share a checkpoint as long as they are quick: their effects are held until
 * all of them went well, and if one has to be undone the others are run again without it.
 */
export interface GroupRequest {
  /** Names one incarnation of a memory; instances are cached under it. */
  readonly memoryKey: number;
  /** Counts the groups of this memory: a checkpoint from after group n holds for group n + 1 alone. */
  readonly sequence: number;
  /** Sent when this worker holds no instance under the key. */
  readonly memory?: WebAssembly.Memory;
  /** Maximum of the memory, in pages of 64 KiB. */
  readonly maximumPages: number;
  readonly turns: readonly TurnRequest[];
}

/** Between batches: drop instances, and collect garbage. */
export interface CollectRequest {
  readonly drop: readonly number[];
}

export interface TurnRequest {
  readonly turn: number;
  readonly input: EncodedInput;
  /** Source texts that the input names by index. */
  readonly sources: readonly Source[];
  /** Milliseconds this turn may hold the worker. */
  readonly budget: number;
  /** UTF-8 bytes of console entries that may leave for each execution; the one that passes it is its last. */
  readonly consoleBytes: number;
}

/** What a turn begins with, as the kernel reads it: numbers, and the texts they measure. */
export interface EncodedInput {
  readonly numbers: readonly number[];
  readonly text: string;
  /** Two numbers for each long string, which stands there as JSON text: the index of its arm in `numbers`, and where its text begins. */
  readonly strings: readonly number[];
  /** Byte strings that the text names by number. */
  readonly bytes: readonly Uint8Array[];
}

/** What a turn brought out: four numbers for each effect, and the texts they measure. */
export interface EncodedEffects {
  readonly numbers: readonly number[];
  readonly text: string;
  /** Byte strings that the text names by number. */
  readonly bytes: readonly Uint8Array[];
}

export interface Source {
  readonly code: string;
  /** The name its frames carry. */
  readonly filename: string;
  readonly isTypeScript: boolean;
  /** Names that are bound for this source alone. */
  readonly bindings: readonly string[];
}

/** Why a worker undid a turn by itself. */
export type UndoReason = "budget" | "stopped" | "memory" | "serverMemory" | "valueSize" | "handles" | "trap";

/** The message of turns that were stopped before any of it ran. */
export const NEVER_BEGAN = "it had not begun";

export type TurnReply = {
  readonly turn: number;
  /** `clock()` when the guest began. */
  readonly startedAt: number;
  /** Milliseconds the turn held the worker. */
  readonly cpuTime: number;
} & (
  | {
      readonly kind: "committed";
      readonly effects: EncodedEffects;
      /** Handles the session holds. */
      readonly handles: number;
      /** Heap in use, in bytes. */
      readonly heapBytes: number;
      /** Milliseconds until the next timer of the session is due; -1 where there is none. */
      readonly nextTimer: number;
      /** Number of the execution whose timer that is; 0 where none owns it. */
      readonly nextTimerOwner: number;
      /** Number of the execution that a timer was called for; 0 for none. */
      readonly owner: number;
    }
  | {
      readonly kind: "undone";
      /** False when it was stopped before any of it ran. */
      readonly began: boolean;
      readonly reason: UndoReason;
      readonly message: string;
      /** Number of the execution that was running; 0 for none. */
      readonly culprit: number;
      /** The memory the session lives in now, when the old one had grown. */
      readonly memory?: WebAssembly.Memory;
    }
);

/** A console entry on its way. */
export interface ConsoleText {
  /** Number of the execution that wrote it; 0 for none. */
  readonly execution: number;
  /** The entry, JSON text. */
  readonly text: string;
  /** No more of this execution will come in this turn. */
  readonly last: boolean;
}

/** As text, replies whose numbers stand in the mailbox. */
export type WorkerMessage =
  | string
  | { readonly type: "engine"; readonly engine: SharedEngine }
  | { readonly type: "ready" }
  /** A console entry. It leaves while the turn runs: a worker that is ended cannot send it later. */
  | { readonly type: "console"; readonly turn: number; readonly entry: ConsoleText }
  /** The turn is run again; what it wrote to the console before does not count. */
  | { readonly type: "restarted"; readonly turn: number }
  | { readonly type: "replies"; readonly replies: readonly TurnReply[] }
  /** This turn and those behind it in its group are not run: others are to have the worker before them. */
  | { readonly type: "left"; readonly turn: number };

/** A batch, or what to do between batches; as text, a batch whose numbers stand in the mailbox (mailbox.ts). */
export type WorkerRequest = BatchRequest | CollectRequest | string;
