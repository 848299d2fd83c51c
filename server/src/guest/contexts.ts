/**
 * What runs at this moment, for whom, and with which bindings. Guest code always runs in a context: that of the execution whose
 * input the turn is, of the timer that fell due, of the code that an await interrupted, or the root's, which nobody owns.
 *
 * The host numbers the jobs of a turn. A context holds for the job that entered it; a job that has entered none runs in the
 * root's, never in what the job before it left behind.
 */
import type { Execution } from "./executions.js";
import { CONTEXT_OWNER, CURRENT_EXECUTION, cells, interruptJob, JOB } from "./host.js";
import { deleteProperty, freeze, setPrototypeOf } from "./intrinsics.js";
import { makeContext } from "./make-context.js";

/** One value of a context, in a list; a key is in it once. */
export interface Binding {
  readonly key: object;
  readonly value: unknown;
  readonly next: Binding | undefined;
}

/**
 * Compiled sources hold contexts, so guest code can get hold of them. What they have is private, and they inherit nothing:
 * there is nothing to be read, changed or made of one.
 */
export class Context {
  readonly #execution: Execution | undefined;
  readonly #bindings: Binding | undefined;
  /** What it stands for, where that changes. */
  #current: Context | undefined;

  constructor(execution: Execution | undefined, bindings: Binding | undefined) {
    this.#execution = execution;
    this.#bindings = bindings;
  }

  /** The execution that this runs for; undefined for the root. */
  static executionOf(context: Context): Execution | undefined {
    return context.#execution;
  }

  static bindingsOf(context: Context): Binding | undefined {
    return context.#bindings;
  }

  /** From now on the one stands for the other. */
  static standFor(context: Context, current: Context): void {
    context.#current = current;
  }

  /** What is gone on in. @throws TypeError if it is none of the kernel's */
  static current(context: Context): Context {
    return context.#current ?? context;
  }
}
setPrototypeOf(Context.prototype, null);
deleteProperty(Context.prototype, "constructor");
freeze(Context.prototype);

/** What code runs in that no execution owns. */
export const rootContext = makeContext(undefined, undefined);

/** Undefined while it is that of an execution for which nobody has needed it yet. */
let current: Context | undefined = rootContext;
let begun: Execution | undefined;
/** What its context will begin with. */
let begunBindings: Binding | undefined;
/** The job that entered it. */
let enteredIn = -1;

export function currentContext(): Context {
  if (enteredIn !== cells[JOB]) return rootContext;
  current ??= contextOf(begun as Execution);
  return current;
}

/** What the execution's own code begins in; most have their outcome before anybody needs it. */
export function contextOf(execution: Execution): Context {
  execution.context ??= makeContext(execution, execution === begun ? begunBindings : undefined);
  return execution.context;
}

/** A new execution: what runs from now on, in this job, runs in what its own code begins in, with these bindings. */
export function enterExecution(execution: Execution, bindings: Binding | undefined): void {
  begun = execution;
  begunBindings = bindings;
  current = undefined;
  enteredIn = cells[JOB] as number;
  cells[CONTEXT_OWNER] = execution.number;
  cells[CURRENT_EXECUTION] = execution.number;
}

/** True once this job has entered a context. */
export function isEntered(): boolean {
  return enteredIn === cells[JOB];
}

/** What runs from now on, in this job, runs in this context. The host can tell, even of a worker that it had to kill. */
export function enterContext(context: Context): void {
  current = context;
  enteredIn = cells[JOB] as number;
  const execution = Context.executionOf(context);
  const number = execution === undefined ? 0 : execution.number;
  cells[CONTEXT_OWNER] = number;
  cells[CURRENT_EXECUTION] = number !== 0 && execution?.isOpen === true ? number : 0;
}

/** The turn is over: nothing runs, and nothing that ran is held. */
export function leaveContexts(): void {
  if (begunBindings !== undefined) {
    contextOf(begun as Execution);
    begunBindings = undefined;
  }
  current = rootContext;
  begun = undefined;
  enteredIn = -1;
  cells[CONTEXT_OWNER] = 0;
  cells[CURRENT_EXECUTION] = 0;
}

/**
 * Goes on with what was started in this context. Nothing of an execution that the host has ended goes on: the engine then
 * unwinds this job, and no `catch` and no `finally` of the guest sees it.
 */
export function resumeContext(context: Context): void {
  const execution = Context.executionOf(context);
  if (execution?.isDead === true) interruptJob();
  current = context;
  enteredIn = cells[JOB] as number;
  const number = execution === undefined ? 0 : execution.number;
  cells[CONTEXT_OWNER] = number;
  cells[CURRENT_EXECUTION] = number !== 0 && execution?.isOpen === true ? number : 0;
}

/** Makes the context current if this job has none yet, and gives the value. @throws TypeError if it is none of the kernel's */
export function restoreContext<T>(noted: Context, value: T): T {
  if (enteredIn === cells[JOB]) return value;
  resumeContext(Context.current(noted));
  return value;
}

/** Stands for the locals of executions; library/locals.ts reads them. */
export const executionLocals = {};

/** What an execution's own code finds in `locals`. @param values own properties of an object without prototype */
export function localsOf(values: object): Binding {
  return { key: executionLocals, value: values, next: undefined };
}
