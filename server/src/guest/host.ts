/** The kernel's only way out: the dispatcher, and the cells it shares with the host. */

/**
 * What the dispatcher is asked, by its first argument; host-asks.ts has what only libraries ask. Mirrored in
 * engine/worker/kernel-asks.ts.
 */
const EVALUATE = 0;
const IS_PROMISE = 2;
const BYTE_LENGTH = 3;
const STOP = 4;
const LOAD_LIBRARY = 5;
const TAKE_BYTES = 10;
const KEEP_BYTES = 11;
const INTERRUPT = 14;
const KEEP_STRING = 15;
const JSON_LENGTH = 16;
const KEEP_OBJECT = 17;
/** For time-origin.ts, and libraries. */
export const CLOCK = 21;

/** Why the kernel itself ends a turn, which is then undone. Mirrored in engine/worker/kernel-asks.ts. */
export const StopCause = { VALUE_SIZE: 0, HANDLES: 1 } as const;

/** Mirrored in engine/worker/layout.ts. */
/** Number of the execution that runs; the host reads it even after it had to kill this worker. */
export const CURRENT_EXECUTION = 0;
/** Eight words of entropy, which are the state of random.ts. */
export const SEED = 2;
export const HANDLE_COUNT = 10;
export const INPUT_LENGTH = 11;
const EFFECT_COUNT = 12;
export const NEXT_TIMER = 13;
export const TURN_OWNER = 14;
/** Number of the execution whose code runs, even if that has its outcome; 0 for nobody's. */
export const CONTEXT_OWNER = 15;
export const INPUT = 16;
export const EFFECTS = 80;
export const CELLS_FOR_NUMBERS = 64;
/** Changes with each job of the engine's queue, and with each turn. */
export const JOB = 154;
export const NEXT_TIMER_OWNER = 156;
const ANSWER = 152;
const HAS_CONSTANTS = 153;

type Dispatch = (ask: number, argument: unknown, detail?: unknown) => unknown;

export let dispatch: Dispatch;
/** What kernel and host share, by the indices above. Read as they are where a turn reads often. */
export let cells: Int32Array;

export function connectHost(dispatcher: Dispatch, buffer: ArrayBuffer): void {
  dispatch = dispatcher;
  cells = new Int32Array(buffer);
}

/** What an answer for a source is. Mirrored in engine/worker/source-evaluator.ts. */
export const SourceAnswer = { PROMISE: 0, VALUE: 1, PREPARE: 2, THROWN: 3, UNPARSED: 4 } as const;

/**
 * Compiles and runs a source that came with the input; `sourceAnswer` then tells what came of it.
 *
 * @param mark of its file name; undefined until what it needs is prepared
 */
export function runSource(index: number, mark: string | undefined): unknown {
  return mark === undefined ? dispatch(EVALUATE, index) : dispatch(EVALUATE, index, mark);
}

export function sourceAnswer(): number {
  return cells[ANSWER] as number;
}

/** True for the engine's own promises only; runs no guest code. */
export function isPromise(value: unknown): boolean {
  return dispatch(IS_PROMISE, value) === true;
}

/** Bytes of a text in UTF-8. */
export function byteLength(text: string): number {
  return dispatch(BYTE_LENGTH, text) as number;
}

/** Bytes of a well-formed string as JSON text; Infinity where it holds NUL. */
export function jsonByteLength(string: string): number {
  return dispatch(JSON_LENGTH, string, string.length) as number;
}

/**
 * Tells the host a well-formed string, to leave with the effects of the turn; gives its number among them. -1 where it holds NUL, or the
 * host has written enough of them in this turn.
 */
export function keepString(string: string): number {
  return dispatch(KEEP_STRING, string, string.length) as number;
}

/** Of an object, what `keepObject` gives in place of a number where JSON would change it, and the host has not written it. */
export const NOT_PLAIN = -2;

/**
 * Tells the host an object, to leave with the effects of the turn as text that the host writes: JSON, or a graph where JSON would change it
 * and it is not for people. Gives the number of the text among these; `NOT_PLAIN`, or -1 where the host does not know what it is, or
 * the text is too long.
 *
 * @param limit the most bytes of text; below zero where the value is for people, see plain-json.ts
 */
export function keepObject(value: object, limit: number): number {
  return dispatch(KEEP_OBJECT, value, limit) as number;
}

/** Ends the turn: nothing that it did will have happened. */
export function stopTurn(cause: number): void {
  dispatch(STOP, cause);
}

/** Runs the library of this name in the realm; gives what it exports. */
export function loadLibrary(name: string): unknown {
  return dispatch(LOAD_LIBRARY, name);
}

/** Does not return: the engine unwinds what runs, past all `catch` and `finally`, and goes on with its next job. */
export function interruptJob(): never {
  dispatch(INTERRUPT, undefined);
  // The engine looks whether it is to stop every so many branches.
  for (;;);
}

/** The bytes of this number that came with the input. */
export function takeBytes(index: number): ArrayBuffer {
  return dispatch(TAKE_BYTES, index) as ArrayBuffer;
}

/** Copies bytes out, to leave with the effects of the turn; gives their number among them. */
export function keepBytes(buffer: ArrayBuffer): number {
  return dispatch(KEEP_BYTES, buffer) as number;
}

export function setEffectCount(count: number): void {
  cells[EFFECT_COUNT] = count;
}

/** Tells the host that the session has constants; it compiles sources with `var` for them. */
export function meetConstants(): void {
  cells[HAS_CONSTANTS] = 1;
}
