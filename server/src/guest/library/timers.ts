/**
 * Timers. They lie in the session's memory like all else; the host is told when the next one is due, and gives a turn for it
 * while an execution is in flight. Each call of a timer's function is a turn of its own.
 *
 * Those that are due next stand on top of a binary heap, in a map from place to timer: a map, unlike an array, has no elements
 * that guest code could put setters under.
 */
import { runningExecution } from "../bindings.js";
import { Context, currentContext, enterContext } from "../contexts.js";
import { cells, NEXT_TIMER_OWNER, TURN_OWNER } from "../host.js";
import { clock } from "../host-asks.js";
import { apply, KernelPromise, KernelTypeError, promiseReject, SafeMap } from "../intrinsics.js";
import { KernelNumber } from "../natives.js";

interface Timer {
  readonly id: number;
  /** Of `clock()`. */
  due: number;
  /** Orders those that are due at the same time. */
  order: number;
  /** Of the heap. */
  place: number;
  /** Milliseconds between two calls; undefined for one that is called once. */
  readonly interval: number | undefined;
  readonly callback: (...args: unknown[]) => unknown;
  readonly args: unknown[];
  /** That which the timer was started in. */
  readonly context: Context;
}

/** Of the platforms that guest code knows, the longest delay; longer ones fire at once there too. */
const LONGEST_DELAY = 2 ** 31 - 1;

/** Calls of next to nothing that take more of the stack than to put a timer into the heap, or to take one out. */
const STACK = 12;

const byId = new SafeMap<number, Timer>();
const heap = new SafeMap<number, Timer>();
let nextId = 1;
let nextOrder = 1;

export const { setTimeout, setInterval, clearTimeout, clearInterval } = {
  setTimeout(callback: unknown, delay?: unknown, ...args: unknown[]): number {
    return start("setTimeout", callback, delay, args, false);
  },
  setInterval(callback: unknown, delay?: unknown, ...args: unknown[]): number {
    return start("setInterval", callback, delay, args, true);
  },
  clearTimeout(id?: unknown): void {
    clear(id);
  },
  clearInterval(id?: unknown): void {
    clear(id);
  },
};

function start(name: string, callback: unknown, delay: unknown, args: unknown[], repeats: boolean): number {
  if (typeof callback !== "function") throw new KernelTypeError(`${name}: the callback must be a function`);
  requireStack(STACK);
  const wanted = KernelNumber(delay);
  // As everywhere: what is no number, below one or too long counts as one.
  const milliseconds = wanted >= 1 && wanted <= LONGEST_DELAY ? wanted - (wanted % 1) : 1;
  const timer: Timer = {
    id: nextId++,
    due: clock() + milliseconds,
    order: nextOrder++,
    place: heap.size,
    interval: repeats ? milliseconds : undefined,
    callback: callback as Timer["callback"],
    args,
    context: currentContext(),
  };
  byId.set(timer.id, timer);
  place(timer, heap.size);
  rise(timer);
  return timer.id;
}

function clear(id: unknown): void {
  // As text, ids come from keys of objects.
  const number = typeof id === "string" ? KernelNumber(id) : id;
  requireStack(STACK);
  const timer = typeof number === "number" ? byId.get(number) : undefined;
  if (timer !== undefined) remove(timer);
}

/** Throws what the engine throws where so many calls find no room: the heap is changed as a whole, or not at all. */
function requireStack(calls: number): void {
  if (calls > 0) requireStack(calls - 1);
}

/** Calls the function of the timer that is due longest; nothing where none is due yet. */
export function fireTimer(): void {
  const timer = heap.get(0);
  if (timer === undefined || timer.due > clock()) return;
  enterContext(timer.context);
  cells[TURN_OWNER] = runningExecution();
  if (timer.interval === undefined) remove(timer);
  try {
    apply(timer.callback, undefined, timer.args);
  } catch (error) {
    // Nobody waits for it: it is told of like a rejection that nobody handles.
    void apply(promiseReject, KernelPromise, [error]);
  }
  if (timer.interval === undefined || byId.get(timer.id) !== timer) return;
  timer.due = clock() + timer.interval;
  timer.order = nextOrder++;
  sink(timer);
}

/** Takes the timer away that is due, and whose turn could not be run, unless it is one that an execution may wait for. */
export function dropTimer(): void {
  const timer = heap.get(0);
  if (timer === undefined || timer.due > clock()) return;
  if (Context.executionOf(timer.context)?.isOpen !== true) remove(timer);
}

/** Takes away what executions left that the host has ended. */
export function dropDeadTimers(): void {
  let dead = 0;
  byId.forEach((timer) => {
    if (isDead(timer)) dead++;
  });
  if (dead === 0) return;
  // To take one out of the heap takes as long as to look at some ten while it is made anew.
  const areFew = dead * 8 < byId.size;
  byId.forEach((timer) => {
    if (!isDead(timer)) return;
    if (areFew) remove(timer);
    else byId.delete(timer.id);
  });
  if (!areFew) orderAnew();
}

function isDead({ context }: Timer): boolean {
  return Context.executionOf(context)?.isDead === true;
}

/** Makes the heap of all timers that there are. */
function orderAnew(): void {
  heap.clear();
  byId.forEach((timer) => {
    place(timer, heap.size);
  });
  for (let at = heap.size >> 1; at > 0; at--) sink(heap.get(at - 1) as Timer);
}

/** All fall due so many milliseconds later. */
export function postpone(milliseconds: number): void {
  byId.forEach((timer) => {
    timer.due += milliseconds;
  });
}

/** Whole milliseconds until the next timer is due; -1 where there is none. Tells the host whose it is. */
export function untilNextTimer(): number {
  const timer = heap.get(0);
  if (timer === undefined) return -1;
  const execution = Context.executionOf(timer.context);
  cells[NEXT_TIMER_OWNER] = execution === undefined ? 0 : execution.number;
  const left = timer.due - clock();
  if (left <= 0) return 0;
  const whole = left | 0;
  return left > whole ? whole + 1 : whole;
}

function remove(timer: Timer): void {
  byId.delete(timer.id);
  const last = heap.get(heap.size - 1) as Timer;
  heap.delete(heap.size - 1);
  if (last === timer) return;
  place(last, timer.place);
  rise(last);
  sink(last);
}

function place(timer: Timer, at: number): void {
  timer.place = at;
  heap.set(at, timer);
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}

function rise(timer: Timer): void {
  let at = timer.place;
  while (at > 0) {
    const above = heap.get((at - 1) >> 1) as Timer;
    if (!isBefore(timer, above)) break;
    const free = above.place;
    place(above, at);
    at = free;
  }
  place(timer, at);
}

function sink(timer: Timer): void {
  let at = timer.place;
  for (;;) {
    const left = heap.get(2 * at + 1);
    const right = heap.get(2 * at + 2);
    const below = left !== undefined && right !== undefined && isBefore(right, left) ? right : left;
    if (below === undefined || isBefore(timer, below)) break;
    const free = below.place;
    place(below, at);
    at = free;
  }
  place(timer, at);
}
