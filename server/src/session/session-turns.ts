/**
 * The turns of one session: the rules by which each is answered for. What comes out of a turn that was committed is applied; for one
 * that was undone an execution answers, and the others go on as if nothing had happened.
 */
import type { ConsoleText, TurnResult } from "../engine/engine.js";
import type { Effect, TurnInput } from "../engine/kernel-protocol.js";
import type { Commits } from "./commits.js";
import type { EventLoop, Input } from "./event-loop.js";
import type { HostFunctions } from "./host-functions.js";
import type { Limits } from "./limits.js";
import type { OpenExecutions } from "./open-executions.js";
import { type Outcome, templateWarning } from "./outcome.js";
import { refusalOf } from "./refusals.js";
import type { RunningExecution } from "./running-execution.js";
import type { SessionLife } from "./session-life.js";

/** What turns ask of their session. */
export interface TurnsSession {
  readonly sessionId: string;
  /** As they are now. */
  readonly limits: Limits;
  /** Heap in use, in bytes. */
  readonly memoryBytes: number;
}

/** How executions end, which follows from what becomes of turns. */
export interface TurnsHost {
  settle(execution: RunningExecution, outcome: Outcome): void;
  /** It never ran. */
  reject(execution: RunningExecution, error: Error): void;
  /** Ends one of which nothing runs. */
  endBetweenTurns(execution: RunningExecution): void;
}

/** What a turn may change beside the session's memory. */
interface TurnsParts {
  readonly loop: EventLoop;
  readonly open: OpenExecutions;
  readonly hostFunctions: HostFunctions;
  readonly life: SessionLife;
  readonly commits: Commits;
}

interface InputOptions extends Pick<Input, "start"> {
  readonly cpuTime?: number | undefined;
  readonly setBy?: number;
  readonly over?: () => void;
  readonly lost?: () => void;
}

/**
 * What becomes of the input of a turn that was undone: it is given again, as if it had not been given before, or for the last time; or an
 * execution has answered for it, or nobody does.
 */
type Fate = "again" | "once more" | "answered" | "nobody";

export class SessionTurns {
  readonly #session: TurnsSession;
  readonly #host: TurnsHost;
  readonly #loop: EventLoop;
  readonly #open: OpenExecutions;
  readonly #hostFunctions: HostFunctions;
  readonly #life: SessionLife;
  readonly #commits: Commits;
  /** Those that are being stopped in a turn that is not their own: the first of them answers for that turn. */
  #stopping: RunningExecution[] = [];

  constructor(session: TurnsSession, host: TurnsHost, parts: TurnsParts) {
    const { loop, open, hostFunctions, life, commits } = parts;
    this.#session = session;
    this.#host = host;
    this.#loop = loop;
    this.#open = open;
    this.#hostFunctions = hostFunctions;
    this.#life = life;
    this.#commits = commits;
  }

  /** The turn that runs is asked to end because of this execution, which is to answer for it. */
  stopFor(execution: RunningExecution): void {
    this.#stopping.push(execution);
  }

  /**
   * An input with the rules by which its turn is answered for.
   *
   * @param owner number of the execution that it is for; 0 for none
   * @param run what is to be run, or says so when it is
   * @param start of the first turn of an execution
   * @param cpuTime milliseconds that the turn may take where it has no owner; undefined: as the session says
   * @param setBy number of the execution that set the timer whose turn it is; 0 for none
   * @param over is called when it has had its turn, and is not given again
   * @param lost is called behind that where it could not be run, and nobody has answered for it
   */
  input(
    owner: number,
    run: TurnInput | (() => ReturnType<RunningExecution["begin"]>),
    { start, cpuTime = this.#session.limits.cpuTime, setBy = 0, over, lost }: InputOptions = {},
  ): Input {
    let isRetry = false;
    const input: Input = {
      owner,
      start,
      begin: () => {
        const onConsole = (entry: ConsoleText): void => this.#open.logLive(entry);
        if (typeof run === "function") {
          const { input, budget, consoleBytes } = run();
          return { input, budget, consoleBytes, onConsole };
        }
        return {
          input: run,
          budget: this.#open.get(owner)?.nextBudget() ?? cpuTime,
          consoleBytes: this.#session.limits.consoleBytes,
          onConsole,
        };
      },
      done: (result) => {
        if (this.#life.ended !== undefined) return;
        if (result.kind === "committed") {
          over?.();
          return this.committed(owner, result);
        }
        const fate = this.undone(owner, result, isRetry, setBy);
        this.passed();
        isRetry ||= fate === "once more";
        const isAgain = fate === "again" || fate === "once more";
        const own = this.#open.get(owner);
        // It was asked to stop in this turn, and another has answered for that, or nobody.
        if (isAgain && own?.isStopping === true) this.#host.endBetweenTurns(own);
        // An execution that was to begin may have ended with who answers, as one does that runs within an atomic one.
        else if (isAgain && (start === undefined || own !== undefined)) return this.#loop.addAgain(input);
        over?.();
        if (fate !== "nobody") return;
        lost?.();
        if (typeof run === "object" && run.kind === "timer") this.#dropTimer();
      },
    };
    return input;
  }

  /** The timer that is due could not be run, and no execution in flight is to blame for it. */
  #dropTimer(): void {
    const message = "a timer that no execution in flight owns could not be run, and was taken away";
    this.#open.warnAll({ message });
    this.#loop.addAgain(this.input(0, { kind: "dropTimer" }));
  }

  /** A turn was committed: what came out of it is so. @param owner number of the execution that it was for; 0 for none */
  committed(owner: number, result: TurnResult & { kind: "committed" }): void {
    const payer = this.#open.get(owner || result.owner);
    payer?.account(result);
    for (const [i, entry] of result.console.entries()) this.#open.log(entry, i < result.told);
    // Those of an execution that ends in this turn belong to it.
    for (const effect of result.effects) if (effect.kind === "warning") this.#open.warn(effect);
    const { rollBacks } = this.#loop;
    for (const effect of result.effects) {
      this.apply(effect);
      // What undid the turn makes void what else came out of it.
      if (this.#loop.rollBacks !== rollBacks) break;
    }
    this.passed();
    if (payer === undefined || !this.#open.has(payer)) return;
    payer.goesOn();
    // It was asked to stop in this turn, which was faster.
    if (payer.isStopping) this.#host.endBetweenTurns(payer);
  }

  /** A turn has ended: who was to be stopped in it, and does not answer for it, ends now. */
  passed(): void {
    for (const stopping of this.#stopping.splice(0)) if (this.#open.has(stopping)) this.#host.endBetweenTurns(stopping);
  }

  /** What came out of a turn. */
  apply(effect: Effect): void {
    const execution = "execution" in effect ? this.#open.get(effect.execution) : undefined;
    try {
      if (effect.kind === "hostCall") {
        this.#hostFunctions.call(execution?.number ?? 0, effect.call);
      } else if (effect.kind === "hostFunctionReleased") this.#hostFunctions.letGo(effect.hostFunctionId);
      else if (effect.kind === "answer" || effect.kind === "warning" || execution === undefined) return;
      else if (effect.kind === "emitted") this.#commits.pass(() => execution.emit(effect));
      else if (effect.kind === "templateWarning") execution.warn(templateWarning(effect));
      else if (effect.kind === "refused") this.#host.reject(execution, refusalOf(effect, this.#session.sessionId));
      else this.#host.settle(execution, execution.outcomeOf(effect, this.#session.memoryBytes));
    } catch (error) {
      // Texts of a session that broke its engine could be anything.
      if (execution !== undefined)
        this.#host.reject(execution, error instanceof Error ? error : new Error(String(error)));
    }
  }

  /**
   * A turn was undone. The execution that was running answers for it; if it is not the turn's own, the turn is given again
   * without it: once, and each time where that one was asked to stop, or had ended meanwhile, or where it has no owner. Else the owner
   * answers. Where there is neither it is given again too, once, unless it took too long; then who set the timer answers, if it is
   * one's turn.
   *
   * @returns what is to become of the input
   */
  undone(owner: number, result: TurnResult & { kind: "undone" }, isRetry: boolean, setBy = 0): Fate {
    const own = this.#open.get(owner);
    // It was asked to stop for its own sake, or for that of who ran in it, when it was to be run once more for one behind it.
    if (!result.began) return "again";
    const stopping = this.#stopping.shift();
    const culprit = stopping ?? this.#open.get(result.culprit);
    const isForeign = culprit !== undefined && culprit !== own && (!isRetry || culprit === stopping);
    const running = isForeign ? culprit : (own ?? culprit);
    // Who ran has been answered since the turn was on its way; in the next one the kernel hears of that, and nothing of it runs.
    const hasEnded = culprit === undefined && this.#loop.hasDropped(result.culprit);
    // Who was asked to stop has been answered by now: that a turn before this one had ended was heard after it was asked.
    const isAnswered = hasEnded || (result.reason === "stopped" && running?.isStopping !== true);
    // Nobody's code ran when the engine failed, or its thread died: it may have been none's fault, the timer's owner included.
    const mayHaveFailedAlone = result.reason === "trap" && !isRetry;
    const answers = isAnswered ? undefined : (running ?? (mayHaveFailedAlone ? undefined : this.#open.get(setBy)));
    for (const { execution } of result.console)
      if (execution !== answers?.number) this.#open.get(execution)?.forgetLive();
    if (answers === undefined) return isAnswered ? "again" : mayHaveFailedAlone ? "once more" : "nobody";
    answers.account(result);
    for (const [i, entry] of result.console.entries())
      if (entry.execution === answers.number) answers.log(entry, true, i < result.told);
    this.#host.settle(answers, answers.undone(result, answers === own, this.#session.memoryBytes));
    // One that did not begin in this turn began in one before it, which may be run again and be told of after this.
    if (answers.hasCommitted || answers !== own) this.#loop.drop(answers.number);
    if (answers === own || answers !== running) return "answered";
    return own === undefined || answers.isStopping ? "again" : "once more";
  }
}
