/**
 * The event loop of one session: inputs wait here for their turns, and timers for their time. Turns never overlap; inputs come
 * in the order they arrived. What waits at one moment goes to the engine together, where quick turns share a checkpoint.
 *
 * Guest code runs only while an execution is open: a timer that falls due in a still session waits for the next one.
 */
import { type Engine, MAXIMUM_TURNS, type Turn, type TurnResult, type TurnSpec } from "../engine/engine.js";
import type { InputHeader } from "../engine/kernel-protocol.js";
import type { SessionImage } from "../engine/session-image.js";
import type { SessionMemory } from "../engine/session-memory.js";
import { DroppedExecutions } from "./dropped-executions.js";
import { NextTimer, type NextTimerHost, type TimerRecord } from "./next-timer.js";

/** What is to be run, and what becomes of it. */
export interface Input {
  /** Number of the execution that this is for; 0 for none. */
  readonly owner: number;
  /** Set for the first turn of an execution. */
  readonly start?:
    | {
        /** It waits until no other execution is in flight, and holds the session until it ends. */
        readonly isAtomic: boolean;
        /** Numbers of it and of those on whose behalf it runs, directly or not: it runs inside their hold, and as they do. */
        readonly chain: readonly number[];
      }
    | undefined;
  /** What is to be run now. */
  begin(): Pick<TurnSpec, "input" | "budget" | "consoleBytes" | "onConsole">;
  /** Its turn changes nothing that anybody could find. */
  readonly isReading?: boolean;
  /** Its turn ended. */
  done(result: TurnResult): void;
}

/** What is done while no turn of the session is on its way; until it resolves none is. It never rejects. */
export interface Pause {
  readonly atRest: () => Promise<void>;
}

/** What the loop asks of its session. */
export interface EventLoopHost extends NextTimerHost {
  /** True where executions are open and no host function has been called for them that may still answer. */
  readonly mayNeverSettle: boolean;
  /** The input that runs nothing: what was dropped goes, and what has become hopeless is told. */
  look(): Input;
  /** The session is not as it was. */
  changed(): void;
  /** Something of it, or of what was told of it, is to be kept before it goes on. */
  readonly isCommitDue: boolean;
  /** Keeps it. Never rejects: where it cannot be kept the session has ended. */
  commit(): Promise<void>;
  /** Nothing runs, and nothing waits but for the client or the clock. */
  onStill(): void;
}

/** What of a session's loop lies outside its memory. */
export interface LoopRecord {
  readonly nextTimer: TimerRecord;
  /** Executions that were ended here and that the kernel still takes for open. */
  readonly dropped: readonly number[];
}

/** The session as it is before an atomic execution begins. */
interface SetAside {
  readonly input: Input;
  readonly image: SessionImage;
}

/** With the record of before. */
interface Hold extends LoopRecord {
  readonly owner: number;
  readonly image: SessionImage;
}

interface Posted {
  readonly input: Input;
  turn?: Turn;
}

/** A heap of more bytes is copied a piece at a time: at once it would take the thread from all other sessions for as long as it takes. */
const LARGE_HEAP = 4 << 20;

/** How often it is looked whether an execution that was dropped goes on in a turn that was on its way, in milliseconds. */
const LOOK_FOR_DROPPED = 10;

export class EventLoop {
  readonly #engine: Engine;
  readonly #memory: SessionMemory;
  readonly #host: EventLoopHost;
  #waiting: (Input | Pause)[] = [];
  /** So many of them, the first, are pauses and what begins on behalf of nobody: such as waits behind an atomic one. */
  #outside = 0;
  #posted: Posted[] = [];
  #isPaused = false;
  /** A turn is on its way within the pause. */
  #runsAtRest = false;
  #isScheduled = false;
  readonly #timer: NextTimer;
  /** The one that was given its turn last: it waits, or had it. */
  #dueTimer: Input | undefined;
  readonly #dropped = new DroppedExecutions();
  #lookForDropped: NodeJS.Timeout | undefined;
  /** What the turn that was committed last was told: it did not look whether anything can never settle. */
  #wasMoreToCome = false;
  /** Executions whose first turn was posted and that have not ended. */
  readonly #begun = new Set<number>();
  /** The atomic execution that holds the session, and the session as it was before; undefined while none does. */
  #hold: Hold | undefined;
  /** What the next turns may begin with; of a large heap alone. */
  #setAside: SetAside | undefined;
  #rollBacks = 0;

  constructor(engine: Engine, memory: SessionMemory, host: EventLoopHost) {
    this.#engine = engine;
    this.#memory = memory;
    this.#host = host;
    this.#timer = new NextTimer(host, () => this.#wake());
  }

  /** True when no input waits or runs, and nothing is to be kept. */
  get isStill(): boolean {
    return this.#waiting.length === 0 && this.#posted.length === 0 && !this.#isPaused && !this.#isCommitDue;
  }

  /** What an atomic execution does is committed when it ends. */
  get #isCommitDue(): boolean {
    return this.#hold === undefined && this.#host.isCommitDue;
  }

  get record(): LoopRecord {
    return { nextTimer: this.#timer.record, dropped: this.#dropped.record };
  }

  /** The session's memory is another one, in which these executions have begun. No turn may be on its way. */
  restore({ nextTimer, dropped }: LoopRecord, begun: readonly number[]): void {
    this.#timer.restore(nextTimer);
    this.#dropped.restore(dropped);
    // What was to come where the record was taken does not come here.
    this.#wasMoreToCome = begun.length > 0;
    for (const number of begun) this.#begun.add(number);
    this.#tellDropped();
    this.#addTimerIfDue();
    if (this.#waiting.length > 0 || this.#wasMoreToCome) this.#schedule();
  }

  /** Gives an input its turn when those before it had theirs. */
  add(input: Input): void {
    if (this.isStill) this.#addTimerIfDue();
    this.#waiting.push(input);
    this.#schedule();
  }

  /** Gives an input its turn before all that wait: it had begun before, and was undone. */
  addAgain(input: Input): void {
    this.#putFirst(input);
    this.#schedule();
  }

  /** Does something when all that came before has had its turn and no execution holds the session; what comes after waits. */
  pause(pause: Pause): void {
    this.#waiting.push(pause);
    this.#schedule();
  }

  /** As `pause`, before all that wait. */
  pauseNext(pause: Pause): void {
    this.#putFirst(pause);
    this.#schedule();
  }

  #putFirst(entry: Input | Pause): void {
    this.#waiting.unshift(entry);
    this.#outside = 0;
  }

  /** Runs a turn within a pause. */
  runAtRest(spec: Omit<TurnSpec, "done">): Promise<TurnResult> {
    this.#runsAtRest = true;
    return new Promise((resolve) => {
      const done = (result: TurnResult): void => {
        this.#runsAtRest = false;
        if (result.kind === "committed") {
          this.#host.changed();
          this.#timer.note(result);
        }
        resolve(result);
      };
      this.#engine.run(this.#memory, [{ ...spec, done }]);
    });
  }

  /** Takes an input back that waits. False: it is on its way, or was never here. */
  remove(input: Input): boolean {
    const index = this.#waiting.indexOf(input);
    if (index < 0) return false;
    this.#waiting.splice(index, 1);
    if (index < this.#outside) this.#outside--;
    this.#schedule();
    return true;
  }

  /** Takes all back that wait: the session ends, or leaves memory. */
  removeAll(): void {
    this.#timer.stop();
    clearInterval(this.#lookForDropped);
    this.#waiting = [];
    this.#outside = 0;
  }

  /** Asks the turns of these inputs to end. */
  stop(isMeant: (input: Input) => boolean): boolean {
    const meant = this.#posted.filter(({ input }) => isMeant(input));
    for (const { turn } of meant) turn?.stop();
    return meant.length > 0;
  }

  /** Nothing of this execution runs in turns that are posted from now on. */
  drop(execution: number): void {
    this.#dropped.add(execution);
    this.#tellDropped();
    if (this.#posted.length > 0)
      this.#lookForDropped ??= setInterval(() => this.#stopDropped(), LOOK_FOR_DROPPED).unref();
  }

  /** What goes on of it in a turn that is on its way would have others wait for nothing. Who had that turn is given it again. */
  #stopDropped(): void {
    if (this.#posted.length === 0 || !this.#dropped.hasUntold) {
      clearInterval(this.#lookForDropped);
      this.#lookForDropped = undefined;
      return;
    }
    const running = this.#engine.runningExecution(this.#memory);
    if (running !== 0 && this.hasDropped(running)) this.#engine.stopRunning(this.#memory);
  }

  /** True for one that was dropped while the turns were on their way that end now: it may have run in them. */
  hasDropped(execution: number): boolean {
    return this.#dropped.isUntold(execution);
  }

  /** Without a turn nobody would see that what is still open can never settle. */
  #tellDropped(): void {
    if (this.#dropped.isLookDue && this.isStill && this.#host.hasOpenExecutions) this.#schedule();
  }

  /** An execution has its outcome. */
  ended(execution: number): void {
    this.#begun.delete(execution);
    if (this.#hold?.owner === execution) this.#hold = undefined;
    if (this.#waiting.length > 0) this.#schedule();
  }

  /** True while an atomic execution has the session alone. */
  get isHeld(): boolean {
    return this.#hold !== undefined;
  }

  /** Number of the atomic execution that has the session alone; 0 for none. */
  get holder(): number {
    return this.#hold?.owner ?? 0;
  }

  /** How often an atomic execution was undone. */
  get rollBacks(): number {
    return this.#rollBacks;
  }

  /** True while a turn of the session is on its way. */
  get isRunning(): boolean {
    return this.#posted.length > 0 || this.#runsAtRest;
  }

  /**
   * Puts the session back to where it was before this atomic execution began, if it is the one that holds the session. No turn
   * may be on its way then.
   *
   * @returns numbers of the other executions that had begun meanwhile: the session does not know them any more; undefined
   *   for one that had not begun
   */
  rollBack(execution: number): number[] | undefined {
    const hold = this.#hold;
    if (hold?.owner !== execution) return undefined;
    this.#rollBacks++;
    const isLarge = Math.max(this.#memory.heapBytes, hold.image.heapBytes) > LARGE_HEAP;
    if (isLarge) this.#pauseFor(() => this.#putBack(hold.image));
    else this.#engine.restoreImage(this.#memory, hold.image);
    this.#timer.restore(hold.nextTimer);
    this.#dropped.restore([...hold.dropped, ...this.#dropped.record]);
    return [...this.#begun].filter((number) => number !== hold.owner);
  }

  async #putBack(image: SessionImage): Promise<void> {
    await this.#engine.putImageBack(this.#memory, image);
    // The garbage of then is there again.
    this.#engine.collectGarbageOf(this.#memory);
  }

  /** There is something to commit, maybe while nothing runs. */
  commitSoon(): void {
    this.#schedule();
  }

  #schedule(): void {
    if (this.#posted.length > 0 || this.#isPaused || this.#isScheduled) return;
    // After all that came in this tick, so that it goes to the engine together.
    this.#isScheduled = true;
    this.#engine.atEndOfTick(() => {
      this.#isScheduled = false;
      this.#post();
    });
  }

  #post(): void {
    if (this.#posted.length > 0 || this.#isPaused) return;
    const setAside = this.#setAside;
    // What is done first may change the session.
    this.#setAside = undefined;
    if (this.#isCommitDue) return this.#pauseFor(() => this.#host.commit());
    const [first] = this.#waiting;
    if (first !== undefined && isPause(first) && this.#hold === undefined) {
      this.#takeFirst();
      return this.#pauseFor(first.atRest);
    }
    if (!this.#host.hasOpenExecutions) this.#putOffTimer();
    if (this.#dropped.isLookDue && (this.#waiting.length > 0 || this.#host.hasOpenExecutions))
      this.#putFirst(this.#look());
    const atomic = this.#nextHolder;
    if (atomic !== undefined && atomic !== setAside?.input && this.#memory.heapBytes > LARGE_HEAP) {
      return this.#pauseFor(async () => {
        this.#setAside = { input: atomic, image: await this.#engine.copyImage(this.#memory) };
      });
    }
    const inputs = this.#take(setAside?.image);
    // Any of several may be undone and be given again, when the others have had their turns.
    const isMoreToCome = inputs.length > 1 || this.#isMoreToCome;
    if (inputs.length === 0) {
      if (!this.#wasMoreToCome || isMoreToCome || !this.#mayNeverSettle) return this.#host.onStill();
      // What was to come did not: it was stopped before it had its turn, or in it.
      inputs.push(this.#look());
    }
    const header = { isMoreToCome, dropped: this.#dropped.tell() };
    const posted: Posted[] = inputs.map((input) => ({ input }));
    this.#posted = [...posted];
    const turns = this.#engine.run(
      this.#memory,
      posted.map((each) => {
        const { input, budget, consoleBytes, onConsole } = each.input.begin();
        const done = (result: TurnResult): void => this.#finish(each, result, header);
        return { input, header, budget, consoleBytes, onConsole, done };
      }),
    );
    for (const [i, each] of posted.entries()) each.turn = turns[i] as Turn;
  }

  #pauseFor(work: () => Promise<void>): void {
    this.#isPaused = true;
    void work().then(() => {
      this.#isPaused = false;
      this.#tellDropped();
      this.#addTimerIfDue();
      this.#post();
    });
  }

  /** The atomic execution that is about to have the session alone. */
  get #nextHolder(): Input | undefined {
    const [first] = this.#waiting;
    const isNext = this.#hold === undefined && this.#begun.size === 0 && first !== undefined && !isPause(first);
    return isNext && first.start?.isAtomic === true ? first : undefined;
  }

  /** Takes what may run now, in the order it came. @param image of the session as it is, where it was set aside */
  #take(image?: SessionImage): Input[] {
    const holder = this.#nextHolder;
    if (holder !== undefined) return [this.#beginHold(holder, image)];
    if (this.#hold !== undefined) return this.#takeWithin(this.#hold);
    const taken: Input[] = [];
    const [first] = this.#waiting;
    // Thousands may wait behind it, which are not looked at for each turn of what it waits for.
    const behind = first !== undefined && !isPause(first) && first.start?.isAtomic === true ? this.#skipOutside() : 0;
    let mayStart = behind === 0;
    let isPauseMet = false;
    const rest = this.#waiting.slice(0, behind);
    for (const input of this.#waiting.slice(behind)) {
      if (isPause(input)) {
        // It comes next. But what an atomic one before it waits for goes on to its end first.
        isPauseMet = rest.length === 0;
        mayStart = false;
      }
      if (isPause(input) || isPauseMet) {
        rest.push(input);
        continue;
      }
      if (taken.length < MAXIMUM_TURNS && this.#mayRun(input, mayStart)) taken.push(input);
      else {
        rest.push(input);
        // Who waits to have the session alone is not overtaken.
        if (input.start?.isAtomic === true) mayStart = false;
      }
    }
    this.#waiting = rest;
    this.#outside = behind;
    return taken;
  }

  #takeFirst(): void {
    this.#waiting.shift();
    if (this.#outside > 0) this.#outside--;
  }

  /** Takes the first. */
  #beginHold(holder: Input, image = this.#engine.saveImage(this.#memory)): Input {
    const { owner } = holder;
    this.#hold = { owner, image, ...this.record };
    this.#begun.add(owner);
    this.#takeFirst();
    return holder;
  }

  /** Takes the first that may run while one has the session alone. */
  #takeWithin(hold: Hold): Input[] {
    const index = this.#firstWithin(hold);
    if (index < 0) return [];
    const taken = this.#waiting.splice(index, 1) as Input[];
    for (const { owner, start } of taken) if (start !== undefined) this.#begun.add(owner);
    return taken;
  }

  /** Where it waits; -1 where there is none. Thousands may wait for the end of the hold, which are not looked at for each of its turns. */
  #firstWithin(hold: Hold): number {
    const waiting = this.#waiting;
    for (let i = this.#skipOutside(); i < waiting.length; i++) if (isWithin(hold, waiting[i])) return i;
    return -1;
  }

  #skipOutside(): number {
    const waiting = this.#waiting;
    while (this.#outside < waiting.length && this.#isOutside(waiting[this.#outside])) this.#outside++;
    return this.#outside;
  }

  /** One that has begun is given its turn again. */
  #isOutside(entry: Input | Pause | undefined): boolean {
    if (entry === undefined || isPause(entry)) return true;
    return entry.start?.chain.length === 1 && !this.#begun.has(entry.owner);
  }

  /** True where the kernel would find that what is open can never settle. */
  get #mayNeverSettle(): boolean {
    return !this.#timer.isSet && this.#host.mayNeverSettle;
  }

  /** True where something waits that may settle what is open: all but what waits for that to end. */
  get #isMoreToCome(): boolean {
    if (this.#hold !== undefined) return this.#firstWithin(this.#hold) >= 0;
    // Who waits behind an atomic one may come before it, should that leave the queue.
    return this.#waiting.some((input) => !isPause(input) && input.start?.isAtomic !== true);
  }

  /** While none has the session alone; one that is to have it is taken apart from all others. */
  #mayRun({ owner, start }: Input, mayStart: boolean): boolean {
    if (start === undefined) return true;
    if (start.isAtomic || (!mayStart && !start.chain.some((number) => this.#begun.has(number)))) return false;
    this.#begun.add(owner);
    return true;
  }

  #finish(posted: Posted, result: TurnResult, { isMoreToCome, dropped }: InputHeader): void {
    this.#posted.splice(this.#posted.indexOf(posted), 1);
    if (result.kind === "committed") {
      this.#wasMoreToCome = isMoreToCome;
      // The turns of a group name the same ones.
      if (this.#posted.length === 0) this.#dropped.told(dropped.length);
      if (posted.input.isReading !== true) this.#host.changed();
      this.#timer.note(result);
    }
    posted.input.done(result);
    if (this.#posted.length > 0) return;
    this.#addTimerIfDue();
    this.#post();
  }

  /** Called when the loop may have gone still, or a timer fell due. */
  #addTimerIfDue(): void {
    const due = this.#timer.takeDue();
    if (due === undefined) return;
    this.#dueTimer = due;
    this.#waiting.push(due);
  }

  /** It fell due while others ran that have ended since: it waits for the next execution, as one does in a still session. */
  #putOffTimer(): void {
    const index = this.#dueTimer === undefined ? -1 : this.#waiting.indexOf(this.#dueTimer);
    if (index < 0) return;
    this.#waiting.splice(index, 1);
    this.#timer.stop();
  }

  /** A turn of its own: what they left may be much, and who comes next is not to pay for it. */
  #look(): Input {
    // Where it does not succeed it would not the next time.
    this.#dropped.isLookDue = false;
    this.#wasMoreToCome = false;
    return this.#host.look();
  }

  #wake(): void {
    this.#addTimerIfDue();
    if (this.#waiting.length > 0) this.#schedule();
  }
}

/** What is no beginning, and what begins on behalf of who has the session alone; that one itself where it is given its turn again. */
function isWithin({ owner }: Hold, entry: Input | Pause | undefined): boolean {
  if (entry === undefined || isPause(entry)) return false;
  return entry.start === undefined || entry.start.chain.includes(owner);
}

function isPause(entry: Input | Pause): entry is Pause {
  return "atRest" in entry;
}

/** Milliseconds that a turn of the kernel's own may take. */
export const KERNEL_TURN_BUDGET = 1_000;
/** The same of one that runs nothing: were it undone, each turn after it would meet what it was to take away. */
export const LOOK_BUDGET = 10_000;
