/** What only libraries ask of the host. In the kernel each session would carry it; each library that asks has its own. */
import { CLOCK, cells, dispatch } from "./host.js";

/** What the dispatcher is asked, by its first argument. Mirrored in engine/worker/kernel-asks.ts. */
const LOG = 1;
const PROMISE_STATE = 6;
const PROMISE_RESULT = 7;
const CLASS_OF = 8;
const TO_BASE64 = 12;
const FROM_BASE64 = 13;
const WRITE_PLAIN = 18;
const COMPILE_TEMPLATE = 20;

/** Mirrored in engine/worker/layout.ts. */
const SEED_GENERATION = 1;
const KEY = 144;

/**
 * @param execution number of the execution that wrote it; 0 for none
 * @param entry JSON text of one console entry; leaves at once, whatever becomes of the turn
 */
export function log(execution: number, entry: string): void {
  dispatch(LOG, entry, execution);
}

/** 0: pending, 1: fulfilled, 2: rejected, -1: no promise of the engine's. Runs no guest code. */
export function promiseState(value: unknown): number {
  return dispatch(PROMISE_STATE, value) as number;
}

/** What a promise that has settled was fulfilled with, or rejected; it does not count as handled by that. */
export function promiseResult(promise: object): unknown {
  return dispatch(PROMISE_RESULT, promise);
}

/** The engine's own class of an object, one of `ClassId` or another; runs no guest code. */
export function classOf(object: object): number {
  return dispatch(CLASS_OF, object) as number;
}

/**
 * @param request JSON text; see engine/worker/template-evaluator.ts
 * @param number that the file name of the compiled template carries; 0 to be told about it first
 * @returns JSON text, or with a number the function that renders the template
 */
export function compileTemplate(request: string, number: number): unknown {
  return dispatch(COMPILE_TEMPLATE, request, number);
}

/** JSON text of an object, in the session's memory; else what `keepObject` gives in place of a number. @param limit as there */
export function writePlain(value: object, limit: number): string | number {
  return dispatch(WRITE_PLAIN, value, limit) as string | number;
}

export function toBase64(buffer: ArrayBuffer): string {
  return dispatch(TO_BASE64, buffer) as string;
}

/** Undefined where the text is not base64. */
export function fromBase64(text: string): ArrayBuffer | undefined {
  return dispatch(FROM_BASE64, text) as ArrayBuffer | undefined;
}

/** Milliseconds, with their fractions, of a clock that is never set; what it counts from differs between processes of the server. */
export function clock(): number {
  return dispatch(CLOCK, undefined) as number;
}

/** Changes whenever the host has put new entropy into the cells. */
export function seedGeneration(): number {
  return cells[SEED_GENERATION] as number;
}

/** One of eight words of entropy that are for `crypto` alone. */
export function keyWord(index: number): number {
  return cells[KEY + index] as number;
}
