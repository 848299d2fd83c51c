/** Runs what was typed in a session, and shows what came of it. */
import {
  type ConsoleEntry,
  type ExecuteOptions,
  type ExecutionDetails,
  type Handle,
  LivescopeError,
  type Session,
} from "@livescope/sdk";
import type { SourceFile } from "../source-file.js";

/** `_` where it is a name by itself. */
const LAST = /(?<![\w$.])_(?![\w$])/;
/** Where it becomes the user's own. */
const OWN_LAST = /\b(?:let|const|var|function|class)\s+_(?![\w$])|(?<![\w$.])_\s*=(?!=)/;

const PRIMITIVES: ReadonlySet<string> = new Set(["undefined", "null", "boolean", "number", "bigint", "symbol"]);
/** What a preview ends in that was cut. */
const CUT = "…";

export interface EvaluateOptions {
  readonly signal: AbortSignal;
  readonly onConsole: (entry: ConsoleEntry) => void;
}

/** What an evaluation gave. */
export interface Evaluated extends Pick<ExecutionDetails, "warnings" | "consoleTruncated"> {
  /** The value as the session shows it. */
  readonly text: string;
}

/**
 * Values stay in the session and are shown as its own console shows them: objects keep their classes, and no getter runs. The
 * last one can be had by the name `_`, unless the session has something of that name.
 */
export class Evaluator {
  readonly #session: Session;
  readonly #timeout: number | undefined;
  #last: Handle | undefined;

  /** @param timeout of each execution, in milliseconds; left out: the session's limit */
  constructor(session: Session, timeout: number | undefined) {
    this.#session = session;
    this.#timeout = timeout;
  }

  /** @throws as `session.execute` */
  async evaluate(source: SourceFile, { signal, onConsole }: EvaluateOptions): Promise<Evaluated> {
    const isScript = source.options.sourceType === "script";
    const bindings = isScript ? await this.#bindings(source.text, signal) : undefined;
    const timeout = this.#timeout;
    // What is loaded finds there what `livescope run` gives it.
    const locals = { args: [] };
    const options: ExecuteOptions = { ...source.options, bindings, locals, timeout, signal, onConsole };
    const { value, warnings, consoleTruncated } = await this.#session.handle(source.text, options).execution();
    await this.forget();
    this.#last = value;
    return { text: await this.#show(value, signal), warnings, consoleTruncated };
  }

  /** Lets go of the last value. */
  async forget(): Promise<void> {
    const last = this.#last;
    this.#last = undefined;
    // A value that cannot be let go of goes with the session.
    await last?.release().catch(() => undefined);
  }

  /** Bound, not global: what was typed sees it, and the session's other users do not. */
  async #bindings(text: string, signal: AbortSignal): Promise<Record<string, unknown> | undefined> {
    if (this.#last === undefined || !LAST.test(text) || OWN_LAST.test(text)) return undefined;
    const isTaken = await this.#session.inspect("_", { maxProperties: 1, signal }).then(
      () => true,
      () => false,
    );
    signal.throwIfAborted();
    return isTaken ? undefined : { _: this.#last };
  }

  async #show(value: Handle, signal: AbortSignal): Promise<string> {
    const { type, preview } = value;
    if ((PRIMITIVES.has(type) || type === "string" || type === "function") && !preview.endsWith(CUT)) return preview;
    try {
      const options = { bindings: { value }, filename: "repl", timeout: this.#timeout, signal };
      const { console } = await this.#session.execute("console.dir(value)", options).execution();
      // Guest code may have put something else in the place of its console.
      return console.find(({ level }) => level === "log")?.text ?? preview;
    } catch (error) {
      if (error instanceof LivescopeError) return preview;
      throw error;
    }
  }
}
