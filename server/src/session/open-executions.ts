/** The executions of a session that have no outcome yet, and what turns say of them: console entries and warnings. */
import type { ConsoleText } from "../engine/engine.js";
import type { Effect } from "../engine/kernel-protocol.js";
import { consoleEntryOf, type Warning } from "./outcome.js";
import type { RunningExecution } from "./running-execution.js";
import { nameOf, warningsOf } from "./warnings.js";
import type { Watchers } from "./watchers.js";

/** Executions that can still be named when a promise of theirs is rejected after they ended. */
const NAMES_KEPT = 100;
/** Executions that have ended, and that a client may still name as those on whose behalf it runs something. */
const ENDED_KEPT = 1_000;

export class OpenExecutions {
  readonly #watchers: Watchers;
  readonly #byNumber = new Map<number, RunningExecution>();
  readonly #byId = new Map<string, RunningExecution>();
  readonly #children = new Map<RunningExecution, Set<RunningExecution>>();
  /** Ids of the newest that were stopped or undone. */
  readonly #over = new Set<string>();
  /** By the ids of the newest that ended while an atomic execution held the session on whose behalf they ran: that one. */
  readonly #endedInHold = new Map<string, RunningExecution>();
  /** Ids of the newest executions by their number: the kernel knows numbers only. */
  readonly #names = new Map<number, string>();

  /** @param watchers are told what no execution in flight has written */
  constructor(watchers: Watchers) {
    this.#watchers = watchers;
  }

  get size(): number {
    return this.#byNumber.size;
  }

  get(number: number): RunningExecution | undefined {
    return this.#byNumber.get(number);
  }

  byId(executionId: string): RunningExecution | undefined {
    return this.#byId.get(executionId);
  }

  /**
   * On whose behalf runs what names this one: its own, or if it has ended within the hold of an atomic execution that of the latter,
   * which may wait for it.
   */
  parentOf(executionId: string): RunningExecution | undefined {
    return this.#byId.get(executionId) ?? (this.isOver(executionId) ? undefined : this.#endedInHold.get(executionId));
  }

  has({ number }: RunningExecution): boolean {
    return this.#byNumber.has(number);
  }

  all(): RunningExecution[] {
    return [...this.#byNumber.values()];
  }

  /** Those that run on behalf of one, and of none between them that is open. */
  childrenOf(execution: RunningExecution): RunningExecution[] {
    return [...(this.#children.get(execution) ?? [])];
  }

  add(execution: RunningExecution): void {
    const { number, executionId } = execution;
    this.#addChild(execution);
    this.#byNumber.set(number, execution);
    this.#byId.set(executionId, execution);
    this.#over.delete(executionId);
    this.#names.set(number, executionId);
    this.#names.delete(number - NAMES_KEPT);
  }

  delete(execution: RunningExecution): void {
    const { number, executionId } = execution;
    const above = this.#above(execution);
    if (above !== undefined) {
      const children = this.#children.get(above);
      children?.delete(execution);
      if (children?.size === 0) this.#children.delete(above);
    }
    const children = this.childrenOf(execution);
    this.#children.delete(execution);
    this.#byNumber.delete(number);
    for (const child of children) this.#addChild(child);
    // In a copy a request may come again under the id of one that was in flight.
    if (this.#byId.get(executionId) === execution) this.#byId.delete(executionId);
    for (const id of this.#endedFor(execution)) this.#endedInHold.delete(id);
    const holder = holderOf(execution);
    if (holder !== undefined && this.has(holder)) keepNewest(this.#endedInHold.set(executionId, holder));
  }

  /** Ids of those that have ended within the hold of an atomic execution. */
  #endedFor(execution: RunningExecution): string[] {
    if (!execution.isAtomic) return [];
    return [...this.#endedInHold].filter(([, holder]) => holder === execution).map(([id]) => id);
  }

  #addChild(execution: RunningExecution): void {
    const above = this.#above(execution);
    if (above === undefined) return;
    const children = this.#children.get(above);
    if (children === undefined) this.#children.set(above, new Set([execution]));
    else children.add(execution);
  }

  /** The next one that is open of those on whose behalf it runs. */
  #above({ parent }: RunningExecution): RunningExecution | undefined {
    return parent === undefined || this.has(parent) ? parent : this.#above(parent);
  }

  /** One has ended that was stopped or undone. */
  noteOver({ executionId }: RunningExecution): void {
    this.#over.add(executionId);
    keepNewest(this.#over);
  }

  /** An atomic execution is undone, and with it what has ended on its behalf. */
  noteUndone(execution: RunningExecution): void {
    for (const id of this.#endedFor(execution)) this.#over.add(id);
    keepNewest(this.#over);
  }

  isOver(executionId: string): boolean {
    return this.#over.has(executionId);
  }

  /** Takes a console entry of a turn that runs. */
  logLive(entry: ConsoleText): void {
    const execution = this.#byNumber.get(entry.execution);
    if (execution !== undefined) execution.logLive(entry);
    else this.#logUnowned(entry);
  }

  /** Takes a console entry of a turn that has committed. @param wasLive it was told while the turn ran */
  log(entry: ConsoleText, wasLive: boolean): void {
    const execution = this.#byNumber.get(entry.execution);
    if (execution !== undefined) execution.log(entry, false, wasLive);
    else if (!wasLive) this.#logUnowned(entry);
  }

  /** A timer wrote it that an execution left behind: only who watches the session may see it. */
  #logUnowned(entry: ConsoleText): void {
    if (!this.#watchers.isEmpty) this.#watchers.console("", consoleEntryOf(entry.text, false));
  }

  /** Gives a warning to all that are in flight. */
  warnAll(warning: Warning): void {
    for (const execution of this.#byNumber.values()) execution.warn(warning);
  }

  /** Who has ended is named to all that are in flight. */
  warn(effect: Effect & { kind: "warning" }): void {
    const own = this.#byNumber.get(effect.execution);
    const whose = own === undefined ? nameOf(effect.execution, this.#names) : undefined;
    try {
      for (const warning of warningsOf(effect, whose)) {
        if (own === undefined) this.warnAll(warning);
        else own.warn(warning);
      }
    } catch {
      // The text of a session that broke its engine could be anything.
    }
  }
}

/** The atomic execution on whose behalf one runs, directly or not. */
function holderOf({ parent }: RunningExecution): RunningExecution | undefined {
  return parent === undefined || parent.isAtomic ? parent : holderOf(parent);
}

function keepNewest(ids: Set<string> | Map<string, unknown>): void {
  for (const oldest of ids.keys()) {
    if (ids.size <= ENDED_KEPT) return;
    ids.delete(oldest);
  }
}
