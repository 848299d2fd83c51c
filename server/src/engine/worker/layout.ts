/**
 * Where things lie in the memory of this engine build, and what of it a session consists of.
 *
 * `[STATIC_START, STACK_START)` static data, `[STACK_START, HEAP_START)` the C stack, from HEAP_START the heap. Between
 * turns the stack is empty, so a session is static data plus heap up to the allocator's last chunk, which is free.
 */

import type { ObjectLayout } from "./guest-objects.js";

export const PAGE_BYTES = 4096;
const STACK_START = 90_208;
export const HEAP_START = 5_333_088;

/** End of the static range, rounded up to a page. */
export const STATIC_END = Math.ceil(STACK_START / PAGE_BYTES) * PAGE_BYTES;
/** Begin of the heap range, rounded down to a page. */
export const HEAP_RANGE_START = Math.floor(HEAP_START / PAGE_BYTES) * PAGE_BYTES;

/** Addresses that are the same in every session, because all come from one base image. */
export interface Layout extends ObjectLayout {
  /** `JSRuntime*`. */
  readonly runtime: number;
  /** `JSContext*`. */
  readonly context: number;
  /** `JSValue*` of the kernel's `enter(inputText)`. */
  readonly enter: number;
  /** `JSValue*` of the kernel's `flush(): effectsText`. */
  readonly flush: number;
  /** `JSValue*` of the kernel's `serveModules(requestText)`. */
  readonly serveModules: number;
  /** `JSValue*` of the kernel's `warnOfRejection(reason, execution, more)`. */
  readonly warnOfRejection: number;
  /** A block of four words (`ARGV_BYTES`) for argument vectors. */
  readonly argv: number;
  /** The cells that kernel and host share (see `Cell`). */
  readonly cells: number;
  /**
   * The word that holds the top of the heap: the address of the allocator's last chunk, which is free. It rises when that chunk is
   * taken from and sinks when its neighbour is freed; how far the chunk goes, the allocator keeps elsewhere.
   */
  readonly heapTopWord: number;
  /** The word of the runtime that triggers a garbage collection when 0. */
  readonly gcThresholdWord: number;
  /** The word of the runtime with the sum of all blocks, in bytes. */
  readonly heapSumWord: number;
  /** The word that tells the engine what its heap may grow to, in bytes (heap-bytes.ts). */
  readonly heapLimitWord: number;
  /** Where the engine's own function for evaluating source text stands in its table; sessions have one of ours instead. */
  readonly evalFunction: number;
  /** Where the functions by which the engine runs jobs stand in its table. */
  readonly jobFunctions: readonly number[];
  /** The head of the list of the context's modules: two words, as each module has them, of which the second leads to the next. */
  readonly modules: number;
  /** Where a module keeps the `JSValue` that it failed with, as an offset from its links. The second word before it is 1 if it has. */
  readonly moduleError: number;
}

export const ARGV_BYTES = 16;

/** 32-bit cells at `Layout.cells`, aliased by a typed array of the kernel. Mirrored in guest/host.ts. */
export const CELL_COUNT = 158;
export const Cell = {
  /** Number of the execution that runs now; 0 between turns. Read by the main thread after a kill. */
  CURRENT_EXECUTION: 0,
  /** Raised by the host when it writes new entropy; `crypto` takes the new key when it differs from what it saw. */
  SEED_GENERATION: 1,
  /** Eight words of entropy, the state of the generators for handle ids and `Math.random`. */
  SEED: 2,
  /** Handles the session holds. */
  HANDLE_COUNT: 10,
  /** How many numbers of the input stand in INPUT; -1 when they are too many and stand in its text. */
  INPUT_LENGTH: 11,
  /** How many effects of four numbers stand in EFFECTS; -1 when they are too many and stand in their text. */
  EFFECT_COUNT: 12,
  /** Milliseconds until the next timer is due; -1 where there is none. */
  NEXT_TIMER: 13,
  /** Number of the execution that a timer was called for; 0 for none. */
  TURN_OWNER: 14,
  /** As CURRENT_EXECUTION, but also of one that has its outcome. */
  CONTEXT_OWNER: 15,
  INPUT: 16,
  EFFECTS: 80,
  /** Eight words of entropy that only the guest's `crypto` draws on. */
  KEY: 144,
  /** What the answer to the last question for a source is. */
  ANSWER: 152,
  /** 1 once the session has had top-level constants. */
  HAS_CONSTANTS: 153,
  /** Changes with each job of the engine's queue, and with each turn. */
  JOB: 154,
  /** Number of the execution that ran last in this turn, for the moments at which a job has begun and nobody's code runs yet. */
  LAST_EXECUTION: 155,
  /** Number of the execution whose timer is due next; 0 where none owns it. */
  NEXT_TIMER_OWNER: 156,
  /** The top of the heap above which its garbage is collected after a turn (guest-garbage.ts). */
  COLLECT_ABOVE: 157,
} as const;
/** Words of entropy in SEED, and in KEY. */
export const SEED_WORDS = 8;
export const KEY_WORDS = 8;
/** Numbers that INPUT and EFFECTS hold each. */
export const CELLS_FOR_NUMBERS = 64;

/** The pages that every session starts from, outside the C stack. */
export interface BaseImage {
  readonly layout: Layout;
  /** `[address, bytes]` runs of non-zero pages, ascending. */
  readonly runs: readonly (readonly [address: number, bytes: Uint8Array])[];
  /** Sum of the runs, in bytes. */
  readonly size: number;
}

/**
 * Of the last chunk, what is in use: its first word belongs to the block before it, and its second says, among others, whether that
 * block is free. Without it the allocator aborts.
 */
const LAST_CHUNK_HEADER = 8;

/** End of the heap in use, rounded up to a page. */
export function heapRangeEnd(words: Int32Array, layout: Pick<Layout, "heapTopWord">): number {
  const top = (words[layout.heapTopWord >> 2] ?? 0) >>> 0;
  // Guest code that broke the engine could have written anything there.
  const end = Math.ceil((top + LAST_CHUNK_HEADER) / PAGE_BYTES) * PAGE_BYTES;
  return Math.min(Math.max(end, HEAP_RANGE_START), words.length * 4);
}

/** Size of a memory in pages of 64 KiB. */
export function pageCount(memory: WebAssembly.Memory): number {
  return memory.buffer.byteLength / 65536;
}

/** Number of the execution that runs in a session now, or was running when its worker was ended; 0 for none. */
export function runningExecution(memory: WebAssembly.Memory, layout: Pick<Layout, "cells">): number {
  const words = new Int32Array(memory.buffer);
  const cell = (index: number): number => words[(layout.cells >> 2) + index] ?? 0;
  return cell(Cell.CURRENT_EXECUTION) || cell(Cell.LAST_EXECUTION);
}
